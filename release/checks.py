"""The checks before a release, each a function from the release to what it found."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from release.artifacts import problems_of
from release.building import Built, build
from release.changelog import release_problems
from release.commands import CommandError, run, watch
from release.compatibility import PAGE, page_problems
from release.environment import Environment
from release.history import changes, released
from release.oldest import Oldest, OldestError, oldest_core, wheel_of
from release.ranges import range_problems
from release.reports import FILE as REPORT
from release.reports import conformance_tests, disagreements, report_problems
from release.trial import try_with
from release.workspace import CORE, Distribution

_SHOWN: Final = 5
"""How many files that are not committed are worth naming."""


@dataclass(frozen=True)
class Release:
    """What is to be released, and where the work is done.

    Attributes:
        root: the repository.
        workspace: all its distributions by name.
        names: those that are to be released.
        scratch: a folder for what is thrown away.
        jobs: how many tests run at the same time.
        today: the day of the release.
    """

    root: Path
    workspace: Mapping[str, Distribution]
    names: tuple[str, ...]
    scratch: Path
    jobs: int
    today: date

    @property
    def chosen(self) -> list[Distribution]:
        """The distributions that are to be released."""
        return [self.workspace[name] for name in self.names]

    @cached_property
    def built(self) -> dict[str, Built]:
        """The files of every distribution: those of the release are what will be uploaded.

        Raises:
            CommandError: one can't be built.
        """
        dist = self.root / "dist"
        for old in dist.glob("civitas*") if dist.is_dir() else ():
            old.unlink()
        others = self.scratch / "others"
        return {
            name: build(each.folder, dist if name in self.names else others)
            for name, each in self.workspace.items()
        }


class Findings(NamedTuple):
    """What a check found.

    Attributes:
        problems: why there should be no release, in sentences.
        notes: what a reader should know all the same.
    """

    problems: list[str]
    notes: list[str]


def check_tree(release: Release) -> Findings:
    """All is committed."""
    lines = changes(release.root)
    shown = ", ".join(each[3:] for each in lines[:_SHOWN])
    more = f", and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return Findings([f"not committed: {shown}{more}"] if lines else [], [])


def check_versions(release: Release) -> Findings:
    """The versions are new, and later than those that were released."""
    problems, notes = [], []
    for each in release.chosen:
        tags = released(release.root, each.name)
        latest = max(tags, default=None)
        if each.version in tags:
            problems.append(f"{each.name} {each.version} is released: {tags[each.version]}")
        elif latest is not None and each.version < latest:
            problems.append(f"{each.name} {each.version} is older than {tags[latest]}")
        notes.append(f"{each.name} {each.version}, after {latest or 'none'}")
    return Findings(problems, notes)


def check_changelogs(release: Release) -> Findings:
    """Each changelog has a section of this version, with a date."""
    problems = []
    for each in release.chosen:
        text = (each.folder / "CHANGELOG.md").read_text(encoding="utf-8")
        found = release_problems(text, each.version, release.today)
        problems += [f"{each.name}: {problem}" for problem in found]
    return Findings(problems, [])


def check_ranges(release: Release) -> Findings:
    """The ranges admit the versions of this workspace, and the page of versions says the same."""
    problems = [
        problem for each in release.chosen for problem in range_problems(each, release.workspace)
    ]
    page = (release.root / PAGE).read_text(encoding="utf-8")
    return Findings([*problems, *page_problems(page, release.workspace)], [])


def check_files(release: Release) -> Findings:
    """Every distribution builds, and its files are complete and sound."""
    problems = [
        problem
        for each in release.chosen
        for problem in problems_of(each, release.built[each.name])
    ]
    return Findings(problems, [f"dist/{path.name}" for path in _uploads(release)])


def _uploads(release: Release) -> Iterable[Path]:
    return (path for name in release.names for path in release.built[name])


def check_reports(release: Release) -> Findings:
    """The conformance reports that packages ship are of this version, and passed."""
    core = release.workspace[CORE]
    return Findings(
        [problem for each in release.chosen for problem in report_problems(each, core)], []
    )


def check_conformance(release: Release) -> Findings:
    """A fresh run of the conformance kit says the same as the reports that are shipped."""
    problems = []
    for each in release.chosen:
        if each.package is None:
            continue
        fresh = release.scratch / f"{each.name}.json"
        tests = conformance_tests(each, release.root)
        pytest = (sys.executable, "-m", "pytest", "-q", f"--conformance-report={fresh}")
        code = watch(*pytest, *tests, cwd=release.root)
        if code:
            problems.append(f"{each.name}: the kit does not pass, pytest ended with {code}")
        elif differ := disagreements(each.package / REPORT, fresh):
            classes = ", ".join(differ)
            problems.append(f"{each.name}: its {REPORT} is of another run ({classes})")
    return Findings(problems, [])


def check_docs(release: Release) -> Findings:
    """The documentation builds strictly."""
    build_site = (_tool("mkdocs"), "build", "--strict", "--quiet", "--site-dir")
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    run(*build_site, release.scratch / "site", cwd=release.root, env=quiet)
    return Findings([], [])


def check_packaging(release: Release) -> Findings:
    """The distributions install and work in clean environments."""
    pytest = (sys.executable, "-m", "pytest", "-q", "-m", "packaging", "tests/packaging")
    code = watch(*pytest, cwd=release.root)
    return Findings([f"pytest ended with {code}"] if code else [], [])


def check_oldest(release: Release) -> Findings:
    """The plugins' own tests pass with the oldest core that each admits."""
    problems, found = [], []
    for each in release.chosen:
        if not each.is_plugin:
            continue
        try:
            oldest = oldest_core(release.root, each, release.workspace[CORE])
        except OldestError as error:
            problems.append(str(error))
            continue
        found.append((oldest, each))
    for oldest, group in groupby(sorted(found, key=_by_core), key=_oldest):
        problems += _try_oldest(release, oldest, [each for _, each in group])
    return Findings(problems, [f"{each.name} with {oldest}" for oldest, each in found])


def _by_core(found: tuple[Oldest, Distribution]) -> tuple[object, str]:
    oldest, plugin = found
    return oldest.version, plugin.name


def _oldest(found: tuple[Oldest, Distribution]) -> Oldest:
    return found[0]


def _try_oldest(release: Release, oldest: Oldest, plugins: list[Distribution]) -> list[str]:
    folder = release.scratch / f"core-{oldest.version}"
    ours = {name: built.wheel for name, built in release.built.items()}
    core = wheel_of(oldest, release.root, ours, folder)
    environment = Environment.make(folder / "environment")
    environment.install_pinned(release.root / "requirements/dev.txt")
    chosen = [(each, ours[each.name]) for each in plugins]
    others = [
        ours[name]
        for name, each in release.workspace.items()
        if each.is_plugin and each not in plugins
    ]
    problems = try_with(environment, core, chosen, release.root, release.jobs, others)
    return [f"with {oldest}: {problem}" for problem in problems]


def _tool(name: str) -> Path:
    """Return the path of a command of this environment."""
    return Path(sys.executable).with_name(name)


Check = Callable[[Release], Findings]

CHECKS: Final[Mapping[str, Check]] = {
    "tree": check_tree,
    "versions": check_versions,
    "changelogs": check_changelogs,
    "ranges": check_ranges,
    "files": check_files,
    "reports": check_reports,
    "docs": check_docs,
    "conformance": check_conformance,
    "packaging": check_packaging,
    "oldest": check_oldest,
}
"""The checks by name, in order: what takes long comes last."""

SLOW: Final = ("conformance", "packaging", "oldest")
"""Those that run tests."""


def findings_of(check: Check, release: Release) -> Findings:
    """Run a check; a program that fails, or a file that is not there, is a problem, too."""
    try:
        return check(release)
    except (CommandError, OSError) as error:
        return Findings([str(error)], [])
