"""A page of the documentation as a small project: its files, and the sessions in their folder.

A block with a title is a file. A `console` block is a session, whose output is compared (`...`
stands for anything). The title of a `console` block is that of a terminal, whose last command goes
on until the terminal is used again, or the page ends. Blocks in other languages are not run: `sh`
is for what changes your machine.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

DOCS: Final = Path(__file__).parents[2] / "docs"
DEADLINE: Final = 30.0
"""Seconds for one command."""

_BLOCK: Final = re.compile(
    r"^```(\w+)(?: title=\"(\w[\w. /-]*)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL
)

Replacements: TypeAlias = Iterable[tuple[str, str]]
"""Patterns of what the files say, and what they say instead while they are tested."""


class Block(NamedTuple):
    """What stands between two fences."""

    language: str
    title: str
    text: str


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page."""
    return [Block(*found) for found in _BLOCK.findall(text)]


def run(
    text: str, folder: Path, replacements: Replacements = (), python: Path | None = None
) -> None:
    """Write the files of a page, and see that its sessions go as it shows.

    Args:
        text: the page.
        folder: where the files are written, and the sessions held.
        replacements: what the files say instead.
        python: the Python of the environment that the page is about; this one when left out.
    """
    write_files(text, folder, replacements)
    terminals = Terminals(folder, python or Path(sys.executable))
    try:
        for block in blocks(text):
            if block.language != "console":
                continue
            for command, expected in _sessions(block.text):
                if block.title:
                    terminals.go_on(block.title, command, expected)
                else:
                    output = terminals.run(command)
                    assert _fits(expected, output), f"$ {command}\n{output}"
    finally:
        terminals.end_all()


def write_files(text: str, folder: Path, replacements: Replacements = ()) -> None:
    """Write the files of a page into a folder."""
    for block in blocks(text):
        if block.title and block.language != "console":
            content = block.text
            for pattern, instead in replacements:
                content = re.sub(pattern, instead, content, flags=re.MULTILINE)
            file = folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")


class Terminals:
    """Runs commands in a folder: to their end, or in a terminal of their own."""

    def __init__(self, folder: Path, python: Path) -> None:
        place = str(python.parent)
        self.folder = folder
        # As at a user's: pytest shows more where it is run by a machine.
        of_this_run = {"CI", "PYTEST_ADDOPTS"}
        inherited = {name: value for name, value in os.environ.items() if name not in of_this_run}
        self.environment = inherited | {
            "PATH": f"{place}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.busy: dict[str, subprocess.Popen[bytes]] = {}
        self.status = 0

    def run(self, command: str) -> str:
        """Return what a command has written, to its end."""
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.status}); {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        self.status = done.returncode
        return done.stdout

    def go_on(self, title: str, command: str, expected: str) -> None:
        """Start a command, and return when it has written what is expected.

        In a terminal that is busy, it begins another system: that of before ends everywhere.
        """
        if title in self.busy:
            for each in reversed(list(self.busy)):
                self.end(each)
        log = self.folder / f"{title}.log"
        with log.open("wb") as file:
            self.busy[title] = process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + DEADLINE
        while not _fits(expected, log.read_text()):
            told = f"{title}$ {command}\n{log.read_text()}"
            assert process.poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(0.02)

    def end(self, title: str) -> None:
        """End what goes on in a terminal."""
        process = self.busy.pop(title)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(DEADLINE)
        finally:
            process.kill()

    def end_all(self) -> None:
        """End what goes on in all terminals."""
        for title in list(self.busy):
            self.end(title)


def _sessions(text: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console block with the output that follows it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def _fits(expected: str, output: str) -> bool:
    """Return whether this is expected; a line of three dots stands for any lines, or for none."""
    pattern = "".join(
        r"(\n.*)?" if line == "..." else r"\n" + re.escape(line).replace(re.escape("..."), ".*")
        for line in expected.rstrip().splitlines()
    )
    lines = output.rstrip().splitlines()
    return re.fullmatch(pattern, "".join(f"\n{line}" for line in lines), re.DOTALL) is not None
