"""The conformance reports that packages ship: of this version, and of a suite that passed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from release.workspace import CORE, Distribution

FILE: Final = "conformance.json"
_KINDS: Final = {f"civitas.v1.{kind}s": kind for kind in ("transport", "serializer", "instrument")}


def report_problems(distribution: Distribution, core: Distribution) -> Iterator[str]:
    """Say what is wrong with the report in a package.

    Args:
        distribution: core, or a plugin; others ship none.
        core: civitas-core, as it will be released with it.
    """
    if distribution.package is None:
        return
    file = distribution.package / FILE
    place = f"{distribution.name}: {FILE}"
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        yield from (f"{place}: {each}" for each in _problems(report, distribution, core))
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{place} can't be read, `make conformance` writes it: {_words(error, file)}"


def conformance_tests(distribution: Distribution, root: Path) -> list[Path]:
    """Return the files of this repository whose run is what a package's report tells of."""
    if distribution.name == CORE:
        folder = root / "tests/conformance"
        return [folder / "test_in_process.py", folder / "test_serializers.py"]
    points = distribution.project.get("entry-points", {})
    names = sorted(name for group in _KINDS for name in points.get(group, ()))
    return [root / "tests" / name / "test_conformance.py" for name in names]


def disagreements(shipped: Path, fresh: Path) -> list[str]:
    """Return the classes of which two reports do not say the same."""
    ours, theirs = (_by_class(json.loads(path.read_text())) for path in (shipped, fresh))
    return sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))


def _by_class(report: dict[str, Any]) -> dict[str, Any]:
    return {suite["class"]: suite for suite in report["suites"]}


def _problems(
    report: dict[str, Any], distribution: Distribution, core: Distribution
) -> Iterator[str]:
    if not _is(report["core"], core.version):
        yield f"it is of a run with {CORE} {report['core']}, and {core.version} is here"
    suites = report["suites"]
    if not suites:
        yield "it has no run of anything"
    points = distribution.project.get("entry-points", {})
    for group, kind in _KINDS.items():
        for name in points.get(group, ()):
            if not any((each["kind"], each["plugin"]) == (kind, name) for each in suites):
                yield f"it has no run of the {kind} {name}"
    for each in suites:
        yield from _suite_problems(each, distribution)


def _suite_problems(suite: dict[str, Any], distribution: Distribution) -> Iterator[str]:
    if not _is(suite["version"], distribution.version):
        yield f"{suite['class']} ran with version {suite['version']}, not {distribution.version}"
    if not suite["conforms"]:
        yield f"{suite['class']} did not pass {', '.join(suite['not_passed'])}"


def _is(text: str | None, version: Version) -> bool:
    try:
        return Version(text or "") == version
    except InvalidVersion:
        return False


def _words(error: Exception, file: Path) -> str:
    return "there is none" if not file.exists() else f"{type(error).__name__}: {error}"
