"""What a plugin's own report proves: the `conformance.json` that its package ships, read, not run.

The pytest option `--conformance-report` of `civitas.testing` writes these files. Nothing of the
plugin is imported to find one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from errno import ENOENT, ENOTDIR
from importlib.machinery import PathFinder
from itertools import chain
from pathlib import Path
from typing import Any, Final

from civitas.errors import describe
from civitas.plugins.catalog import Candidate
from civitas.plugins.search_path import find_installed

FILE: Final = "conformance.json"
FORMAT: Final = 1
"""Version of the file's format."""
UNPROVED_BY_NATURE: Final = frozenset({"cross_machine"})
"""Claims that no test of one machine can prove. A report states them as taken on trust."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the report that a plugin ships says of it, and of which versions.

    Attributes:
        level: what it may call itself, as "transport conformance 1.0"; empty without a report.
        missing: how many tests of its list it did not pass, deviations included.
        proved: the claims of which every test passed, whatever the options.
        with_option: further claims that are proved with an option, by that option.
        in_part: tests of a claim that were not run, by that claim.
        problem: why the report counts for nothing, or for little; empty when all is well.
    """

    level: str = ""
    version: str = ""
    core: str = ""
    missing: int = 0
    proved: tuple[str, ...] = ()
    with_option: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    in_part: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problem: str = ""

    def __str__(self) -> str:
        """Return the proof in a few words, for a table."""
        if not self.level:
            return self.problem
        words = [
            self.level.rpartition(" ")[2],
            f"({self.missing} not passed)" if self.missing else "",
            *self.proved,
            *(f"{' '.join(claims)} ({option})" for option, claims in self.with_option.items()),
            f"[{self.problem}]" if self.problem else "",
        ]
        return " ".join(filter(None, words))


def proof_of(candidate: Candidate) -> Proof | None:
    """Return what the report that a plugin ships proves; `None` where it ships none.

    The report lies in the package that the entry point leads to, or in one that this package is
    in. It is the author's word: whoever doubts it runs the plugin's tests.
    """
    try:
        text = _text_beside(candidate.module)
        return None if text is None else _judged(json.loads(text), candidate)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Proof(problem=f"{FILE} can't be read: {describe(error)}")


def _text_beside(module: str) -> str | None:
    """Return the report that lies in the innermost of the packages that a module is in, if any.

    Nothing is imported to find it. A package may be in an archive, so its loader reads the file.
    """
    name, *inner = module.split(".")
    found: str | None = None
    spec = find_installed(name) if name else None
    while spec is not None and spec.submodule_search_locations is not None:
        places = list(spec.submodule_search_locations)
        for place in reversed(places):
            text = _read(spec.loader, str(Path(place, FILE)))
            found = found if text is None else text
        if not inner:
            break
        name = f"{name}.{inner.pop(0)}"
        spec = PathFinder.find_spec(name, places)
    return found


def _read(loader: Any, file: str) -> str | None:
    """Return the text of a file beside a package, by the package's loader if that reads files."""
    read = getattr(loader, "get_data", None) or (lambda path: Path(path).read_bytes())
    try:
        text: str = read(file).decode()
    except OSError as error:
        if error.errno in (0, ENOENT, ENOTDIR):  # zipimport has 0 for what an archive lacks
            return None
        raise
    return text


def _judged(report: Mapping[str, Any], candidate: Candidate) -> Proof | None:
    if report["format"] != FORMAT:
        return Proof(problem=f"{FILE} has format {report['format']}, this core reads {FORMAT}")
    mine = (candidate.kind.value, candidate.name)
    suites = [each for each in report["suites"] if (each["kind"], each["plugin"]) == mine]
    if not suites:
        return None
    always = _claims(each for each in suites if not each["variant"])
    options = dict.fromkeys(str(each["variant"]) for each in suites if each["variant"])
    version = str(suites[0]["version"] or "")
    problem = ""
    if not candidate.builtin and version != candidate.version:
        problem = f"of version {version or '?'}, installed is {candidate.version}"
    return Proof(
        level=str(suites[0]["level"]),
        version=version,
        core=str(report["core"]),
        missing=sum(len(each["not_passed"]) for each in suites),
        proved=always,
        with_option={
            option: claims
            for option in options
            if (claims := _claims((e for e in suites if e["variant"] == option), without=always))
        },
        in_part=_in_part(suites),
        problem=problem,
    )


def _in_part(suites: list[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the tests for a claim that no class ran; reports of an older kit don't say it."""
    passed = {name for suite in suites for name in suite.get("passed", ())}
    found: dict[str, tuple[str, ...]] = {}
    for suite in suites:
        for claim, names in suite.get("proved_in_part", {}).items():
            left = tuple(str(name) for name in names if name not in passed)
            if left:
                found[str(claim)] = left
    return found


def unproved(proof: Proof | None, claims: Iterable[str], when: str = "") -> list[str]:
    """Say what of these claims, and of what every plugin promises, a report does not prove."""
    if proof is None:
        return [f"nothing is proved: its package has no {FILE}"]
    if not proof.level:
        return [f"nothing is proved: {proof.problem}"]
    found = [f"what is installed: its report is {proof.problem}"] if proof.problem else []
    if proof.missing:
        found.append(f"{proof.level}: {proof.missing} of its tests did not pass")
    proved = {*proof.proved, *UNPROVED_BY_NATURE, *chain.from_iterable(proof.with_option.values())}
    found += [
        f"it claims {claim}{when}; its conformance report does not prove it"
        for claim in claims
        if claim not in proved
    ]
    found += [
        f"{claim}, all of it: {', '.join(names)} did not run"
        for claim, names in proof.in_part.items()
    ]
    return found


def _claims(suites: Iterable[Mapping[str, Any]], without: tuple[str, ...] = ()) -> tuple[str, ...]:
    found = dict.fromkeys(claim for suite in suites for claim in map(str, suite["proved"]))
    return tuple(claim for claim in found if claim not in without)
