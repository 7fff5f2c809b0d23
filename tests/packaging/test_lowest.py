"""The lowest versions that our distributions admit of others are versions with which they work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from release.artifacts import problems_of
from release.building import Built
from release.commands import plain_environment
from release.environment import Environment
from release.workspace import Distribution

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(600)]

PYTHON = "3.11"
"""The lowest Python; some of the lowest versions have no wheels for later ones."""

NOT_OURS = "ignore:'click:DeprecationWarning"
"""The lowest typer uses what the newest click deprecates."""

CHOSEN = {
    "core": (
        "not slow and not soak",
        *("core/topology", "core/plugins", "core/cli", "core/test_runtime.py"),
        *("core/test_serializer.py", "conformance/test_serializers.py"),
    ),
    "transports": (
        "not soak",
        *("zmq/test_lifecycle.py", "redis/test_delivery.py"),
        *("nats/test_delivery_durable.py", "nats/test_logging_in.py"),
    ),
}
"""Tests that use each of the other projects, in about two minutes: which of them, and where."""


def lowest_python() -> str:
    """Return the interpreter of the lowest version that we support."""
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == PYTHON:
        return sys.executable
    found = shutil.which(f"python{PYTHON}")
    if found is None or subprocess.run([found, "-c", "import venv"], check=False).returncode:
        pytest.skip(f"Python {PYTHON} is not installed, so the lowest versions are not tested")
    return found


@pytest.fixture(scope="module")
def lowest(
    built: dict[str, Built], repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An environment with all of our distributions, and the lowest versions of all others."""
    folder = tmp_path_factory.mktemp("lowest") / "environment"
    environment = Environment.make(folder, lowest_python())
    environment.install_pinned(repository / "requirements/lowest.txt")
    wheels = (str(each.wheel) for each in built.values())
    environment.install("--no-deps", *wheels, sources=())
    return environment


def test_our_distributions_admit_them(lowest: Environment) -> None:
    lowest.check()


@pytest.mark.parametrize(
    "command",
    ["civitas up --help", "civitas plugins list", "civitas-zmq --help", "civitas-nats --help"],
)
def test_the_commands_run(lowest: Environment, tmp_path: Path, command: str) -> None:
    program, *arguments = command.split()
    assert lowest.run(lowest.command(program), *arguments, cwd=tmp_path)


@pytest.mark.parametrize("chosen", CHOSEN)
def test_the_tests_pass(lowest: Environment, repository: Path, chosen: str) -> None:
    marks, *names = CHOSEN[chosen]
    done = subprocess.run(
        [
            *(lowest.command("pytest"), "-q", "-n", "2", "-p", "no:cacheprovider"),
            *("-W", NOT_OURS, "-m", marks),
            *(repository / "tests" / name for name in names),
        ],
        cwd=repository,
        env=plain_environment() | {"HYPOTHESIS_PROFILE": "fast", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert re.search(r"\d\d passed", done.stdout)


def test_the_lowest_build_backend_builds_them(
    built: dict[str, Built],
    workspace: dict[str, Distribution],
    repository: Path,
    tmp_path: Path,
) -> None:
    environment = Environment.make(tmp_path / "environment", lowest_python())
    environment.install_pinned(repository / "requirements/lowest-build.txt")
    hatchling = ("-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path)
    for name, each in workspace.items():
        environment.run(environment.python, *hatchling, cwd=each.folder)
        wheel = tmp_path / built[name].wheel.name
        assert problems_of(each, built[name]._replace(wheel=wheel)) == []
