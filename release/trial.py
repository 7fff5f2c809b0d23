"""Running a plugin's own tests with the oldest core it admits, as installed from wheels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from release.commands import CommandError, plain_environment, watch
from release.environment import Environment
from release.workspace import Distribution

_GROUPS: Final = ("civitas.v1.transports", "civitas.v1.instruments")
_WHERE: Final = (
    "import sys, importlib\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
)


def tests_of(plugin: Distribution, root: Path) -> list[Path]:
    """Return the folders of this repository that have the plugin's own tests."""
    points = plugin.project.get("entry-points", {})
    names = sorted(name for group in _GROUPS for name in points.get(group, ()))
    folders = (root / "tests" / name for name in names)
    return [folder for folder in folders if folder.is_dir()]


def try_with(
    environment: Environment,
    core: Path,
    plugins: Sequence[tuple[Distribution, Path]],
    root: Path,
    jobs: int,
    beside: Sequence[Path] = (),
) -> list[str]:
    """Install a core and plugins into an environment, and run the plugins' tests there.

    Args:
        environment: one with the tools that tests need, and nothing of ours.
        core: the wheel of the core.
        plugins: the plugins with their wheels.
        root: the repository, whose tests are run.
        jobs: how many tests run at the same time.
        beside: wheels of other plugins, which are installed whether they fit or not: the folders
            of tests share what supports them.

    Returns:
        What went wrong, in sentences; pytest's own words go to stderr.
    """
    packages = [each.package.name for each, _ in plugins if each.package]
    try:
        # With dependencies, so that pip refuses what does not fit. All others are there already.
        environment.install(str(core), *(str(wheel) for _, wheel in plugins), sources=())
        if beside:
            environment.install("--no-deps", *map(str, beside), sources=())
        found = environment.run(
            environment.python, "-P", "-c", _WHERE, "civitas", *packages, cwd=root
        )
    except CommandError as error:
        return [str(error)]
    places = map(Path, found.splitlines())
    strangers = [str(each) for each in places if not each.is_relative_to(environment.folder)]
    if strangers:
        return [f"what would be tested is not what is installed, but {', '.join(strangers)}"]
    return [problem for plugin, _ in plugins if (problem := _try(plugin, environment, root, jobs))]


def _try(plugin: Distribution, environment: Environment, root: Path, jobs: int) -> str:
    """Run a plugin's tests; return what went wrong, or nothing."""
    folders = tests_of(plugin, root)
    if not folders:
        return f"{plugin.name} has no tests of its own"
    options: list[str | Path] = [
        "-q",
        "-p",
        "no:cacheprovider",
        *(["-n", str(jobs)] if jobs > 1 else []),
    ]
    options += folders
    code = watch(environment.command("pytest"), *options, cwd=root, env=plain_environment())
    return f"the tests of {plugin.name} fail: pytest ended with {code}" if code else ""
