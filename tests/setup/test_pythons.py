"""The environment that `make` sets up has the Python that was asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MAKEFILE = REPOSITORY / "Makefile"
DEADLINE = 60.0

PYTHON = """#!/bin/sh
case "$*" in
    *version_info\\ \\<*) exit {too_old} ;;
    *version_info*) echo {version} ;;
    *venv\\ --clear*)
        rm -rf "$4"
        mkdir -p "$4/bin"
        cp "$0" "$4/bin/python"
        printf '#!/bin/sh\\necho installs with {version}\\n' >"$4/bin/pip"
        printf '#!/bin/sh\\necho runs with {version}\\n' | tee "$4/bin/civitas" >"$4/bin/pytest"
        chmod +x "$4"/bin/* ;;
    *) exit {exits} ;;
esac
"""
"""A program that says what its version is, and makes an environment without an index."""


def interpreter(path: Path, version: str, *, exits: int = 0) -> Path:
    """Write what `make` takes for a Python of this version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    too_old = int(tuple(map(int, version.split("."))) < (3, 11))
    path.write_text(PYTHON.format(version=version, too_old=too_old, exits=exits))
    path.chmod(0o755)
    return path


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what `make demo` needs of a clone, and a `python3` on its PATH: 3.11.2."""
    clone = tmp_path / "clone"
    (clone / "requirements").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements/runtime.txt", "requirements/dev.txt"):
        shutil.copy(REPOSITORY / name, clone / name)
    shutil.copytree(REPOSITORY / "tests" / "setup", clone / "tests" / "setup")
    interpreter(tmp_path / "bin" / "python3", "3.11.2")
    return clone


def make(clone: Path, *arguments: str, fails: bool = False) -> str:
    """Run `make`; return what it wrote."""
    programs = clone.parent / "bin"
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=clone,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(clone.parent),
            "VENV": "/of/somebody/else",
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_each_distribution_names_the_pythons_on_which_core_is_tested() -> None:
    tested = re.findall(r" (3\.\d+)", re.search(r"pythons.sh .*", MAKEFILE.read_text())[0])
    for file in (REPOSITORY / "pyproject.toml", *REPOSITORY.glob("civitas-*/pyproject.toml")):
        project = tomllib.loads(file.read_text())["project"]
        named = [each.rpartition(" ")[2] for each in project["classifiers"] if " :: 3." in each]
        assert named == tested, file
        assert project["requires-python"] == f">={tested[0]}", file


def test_without_a_word_it_is_the_python_of_the_path(clone: Path) -> None:
    output = make(clone, "demo")
    assert "setting up .venv with Python 3.11.2, once" in output
    assert "runs with 3.11.2" in output


def test_what_is_there_is_not_made_again(clone: Path) -> None:
    make(clone, "demo")
    output = make(clone, "demo", "PYTHON=python3")
    assert "setting up" not in output
    assert "installs" not in output


def test_another_python_makes_the_environment_again_with_all_that_is_in_it(clone: Path) -> None:
    other = interpreter(clone.parent / "python-b", "3.13.0")
    make(clone, "demo")
    output = make(clone, "demo", f"PYTHON={other}")
    assert "setting up .venv with Python 3.13.0, once" in output
    assert "installs with 3.13.0" in output
    assert "runs with 3.13.0" in output


def test_the_other_python_stays_until_one_is_named(clone: Path) -> None:
    make(clone, "demo", f"PYTHON={interpreter(clone.parent / 'python-b', '3.13.0')}")
    output = make(clone, "demo")
    assert "setting up" not in output
    assert "runs with 3.13.0" in output


def test_an_environment_whose_python_is_gone_is_made_again(clone: Path) -> None:
    make(clone, "demo")
    (clone / ".venv/bin/python").unlink()
    (clone / ".venv/bin/python").symlink_to("/gone/python3")
    output = make(clone, "demo")
    assert "setting up .venv" in output
    assert "installs with 3.11.2" in output


def test_one_can_be_kept_beside_it(clone: Path) -> None:
    other = interpreter(clone.parent / "python-b", "3.13.0")
    make(clone, "demo")
    assert "runs with 3.13.0" in make(clone, "demo", f"PYTHON={other}", "VENV=.venv-3.13")
    assert "setting up" not in make(clone, "demo")


@pytest.mark.parametrize(
    ("version", "said"), [("3.10.4", "is 3.10.4"), (None, "is none")], ids=["too old", "none"]
)
def test_a_python_that_can_not_run_it_is_refused(
    clone: Path, version: str | None, said: str
) -> None:
    named = clone.parent / "python-b"
    if version is not None:
        interpreter(named, version)
    output = make(clone, "demo", f"PYTHON={named}", fails=True)
    assert f"Python 3.11 or later is needed, and {named} {said}: say make PYTHON=..." in output
    assert not (clone / ".venv").exists()


def test_the_tests_of_core_run_with_each_python_that_is_there_and_the_others_are_named(
    clone: Path,
) -> None:
    versions = clone.parent / ".pyenv/versions"
    interpreter(versions / "3.13.7/bin/python", "3.13.7")
    for minor, exits in ((11, 0), (12, 0), (13, 127), (14, 127)):  # pyenv has shims that fail
        interpreter(clone.parent / f"bin/python3.{minor}", f"3.{minor}.0", exits=exits)
    make(clone, "demo")
    output = make(clone, "test-pythons")
    assert "runs with 3.11" not in output
    assert output.count("runs with") == 2
    assert "runs with 3.12.0" in output
    assert "runs with 3.13.7" in output
    assert "not installed, so not tested: Python 3.14" in output
