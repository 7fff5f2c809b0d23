"""No file sends anyone to the distribution `civitas`, which belongs to another project."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
INSTALLS_IT = re.compile(
    r"""\b(?:install|download|add|uvx|pipx\ run)\b   # pip, pipx, uv, poetry
    (?:\s+[^\s`]+)*?                                 # options, and what is installed beside it
    \s+["']?civitas(?![\w-])(?!\s+civitas-core)      # that name alone, or with extras
    | \bcivitas\[(?=[a-z])                           # or with extras, anywhere""",
    re.VERBOSE,
)


@pytest.mark.parametrize(
    "line",
    [
        "pip install civitas",
        'pip install "civitas[zmq]>=0.1"',
        "`pip install -U civitas`",
        "pip install civitas-core civitas",
        "uv add civitas",
        "pip install civitas==0.12",
    ],
)
def test_a_line_that_installs_it_is_found(line: str) -> None:
    assert INSTALLS_IT.search(line)


@pytest.mark.parametrize(
    "line",
    ["pip install civitas-core", 'pip install "civitas-core[zmq]"', "pip install civitas_zmq"],
)
def test_a_line_that_installs_ours_is_none_of_them(line: str) -> None:
    assert not INSTALLS_IT.search(line)


def test_no_file_says_to_install_the_distribution_civitas() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    spared = (
        Path(__file__).relative_to(REPOSITORY).as_posix(),
        "requirements/peers/civitas.in",  # it is measured beside ours, in an environment of its own
    )
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in listed.stdout.splitlines()
        if name not in spared
        if (path := REPOSITORY / name).is_file()
        for number, line in enumerate(path.read_text("utf-8", errors="ignore").splitlines(), 1)
        if INSTALLS_IT.search(line)
    ]
    assert found == []
