"""`python -m release`: run the checks before a release; exit 1 when there should be none."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent

from release.checks import CHECKS, SLOW, Release, findings_of
from release.workspace import distributions

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Result:
    """How a check ended.

    Attributes:
        check: its name.
        state: ok, failed or skipped.
        seconds: how long it took.
        problems: why there should be no release.
        notes: what a reader should know all the same.
    """

    check: str
    state: str
    seconds: float
    problems: list[str]
    notes: list[str]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run the checks that were asked for, say what came of them, and return the exit code."""
    workspace = distributions(root)
    options = _options(arguments, tuple(workspace))
    wanted = _wanted(options)
    with tempfile.TemporaryDirectory(prefix="civitas-release-") as scratch:
        release = Release(
            root=root,
            workspace=workspace,
            names=options.names,
            scratch=Path(scratch),
            jobs=options.jobs,
            today=datetime.now(UTC).date(),
        )
        results = [_result(name, release, name in wanted) for name in CHECKS]
    if options.json:
        print(json.dumps([asdict(each) for each in results], indent=2))
    else:
        print(_text(results))
    return int(any(each.state == "failed" for each in results))


def _options(arguments: Sequence[str] | None, known: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    everything = ", ".join(known)
    parser.add_argument(
        "names", nargs="*", metavar="DISTRIBUTION", help=f"what is released; all: {everything}"
    )
    some = parser.add_mutually_exclusive_group()
    some.add_argument(
        "--only", nargs="+", choices=CHECKS, default=[], help="run these checks alone"
    )
    some.add_argument("--skip", nargs="+", choices=CHECKS, default=[], help="leave these out")
    some.add_argument(
        "--skip-tests", action="store_true", help=f"leave out what runs tests: {', '.join(SLOW)}"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many tests run at the same time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    options.names = tuple(options.names) or known
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no such distribution: {', '.join(unknown)}; there are {everything}")
    return options


def _wanted(options: argparse.Namespace) -> set[str]:
    left_out = {*options.skip, *(SLOW if options.skip_tests else ())}
    return set(options.only or CHECKS) - left_out


def _result(name: str, release: Release, wanted: bool) -> Result:
    if not wanted:
        return Result(name, "skipped", 0.0, [], [])
    doing = (CHECKS[name].__doc__ or name).splitlines()[0]
    _progress(f"{name}: {doing}")
    begun = time.monotonic()
    problems, notes = findings_of(CHECKS[name], release)
    seconds = time.monotonic() - begun
    for problem in problems:
        _progress(f"  ! {problem}")
    return Result(name, "failed" if problems else "ok", round(seconds, 1), problems, notes)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _text(results: Sequence[Result]) -> str:
    """Return the table of all checks, with the reasons why there should be no release."""
    lines = [""]
    for each in results:
        lines.append(f"{each.check:<12}{each.state:<9}{each.seconds:>7.1f} s")
        lines += [indent(f"! {problem}", " " * 12) for problem in each.problems]
        lines += [indent(note, " " * 12) for note in each.notes]
    failed = [each.check for each in results if each.state == "failed"]
    skipped = [each.check for each in results if each.state == "skipped"]
    if failed:
        verdict = f"not to be released: {', '.join(failed)}"
    elif skipped:
        verdict = f"nothing found, but not all was checked: {', '.join(skipped)} left out"
    else:
        verdict = "ready to be released: the files are in dist/"
    return "\n".join([*lines, "", verdict])


if __name__ == "__main__":
    sys.exit(main())
