"""The code on the pages runs as it stands, and prints what the pages say.

A page is a small project. A block with a title is a file of it; a `console` block is a session in
its folder, whose output is compared (`...` stands for anything). The title of a `console` block is
that of a terminal, whose last command goes on until the terminal is used again, or the page ends.
Blocks in other languages are not run: `sh` is for what changes your machine.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parents[3]
DOCS = REPOSITORY / "docs"
OF_OTHER_TESTS = {"plugins.md", "topology.md", "conformance.md", "zmq.md"}
PAGES = {
    page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8")
    for page in sorted(DOCS.rglob("*.md"))
    if page.name not in OF_OTHER_TESTS
}
BLOCK = re.compile(r"^```(\w+)(?: title=\"([\w. ]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEADLINE = 30.0
OWN_ADDRESSES = [
    (r"^( *)type: zmq$", r"\g<0>\n\1pub_addr: ipc://pub\n\1sub_addr: ipc://sub"),
    (r"transport=\"zmq\"", r'\g<0>, zmq_pub_addr="ipc://pub", zmq_sub_addr="ipc://sub"'),
    (r"\b700(\d)\b", rf"{2000 + os.getpid() % 3000}\1"),
]
"""The pages have the default addresses, and tests run side by side: each in its own folder."""


class Block(NamedTuple):
    language: str
    title: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(PAGES[page])]


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console block with the output that follows it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def fits(expected: str, output: str) -> bool:
    pattern = re.escape(expected.rstrip()).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, output.rstrip(), re.DOTALL) is not None


WITH_SESSIONS = [page for page in PAGES if any(b.language == "console" for b in blocks(page))]


def write_files(page: str, folder: Path) -> None:
    for block in blocks(page):
        if block.title and block.language != "console":
            text = block.text
            for default, own in OWN_ADDRESSES:
                text = re.sub(default, own, text, flags=re.MULTILINE)
            (folder / block.title).write_text(text, encoding="utf-8")


class Terminals:
    """Runs commands in a folder: to their end, or in a terminal of their own."""

    def __init__(self, folder: Path) -> None:
        place = str(Path(sys.executable).parent)
        self.folder = folder
        self.environment = os.environ | {
            "PATH": f"{place}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.busy: dict[str, subprocess.Popen[bytes]] = {}
        self.status = 0

    def run(self, command: str) -> str:
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
        while not fits(expected, log.read_text()):
            told = f"{title}$ {command}\n{log.read_text()}"
            assert process.poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(0.02)

    def end(self, title: str) -> None:
        process = self.busy.pop(title, None)
        if process is not None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(DEADLINE)
            finally:
                process.kill()

    def end_all(self) -> None:
        for title in list(self.busy):
            self.end(title)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_SESSIONS)
def test_the_files_of_a_page_do_what_its_sessions_show(page: str, tmp_path: Path) -> None:
    write_files(page, tmp_path)
    terminals = Terminals(tmp_path)
    try:
        for block in blocks(page):
            if block.language != "console":
                continue
            for command, expected in sessions(block.text):
                if block.title:
                    terminals.go_on(block.title, command, expected)
                else:
                    output = terminals.run(command)
                    assert fits(expected, output), f"$ {command}\n{output}"
    finally:
        terminals.end_all()


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_is_a_file_that_a_session_or_another_file_uses(page: str) -> None:
    found = blocks(page)
    for block in found:
        if block.language != "python":
            continue
        assert block.title, f"a block without a title is never run:\n{block.text}"
        module = block.title.removesuffix(".py")
        others = [other.text for other in found if other is not block]
        assert any(re.search(rf"\b{module}\b", text) for text in others), block.title


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "topology"),
    [(page, b) for page in PAGES for b in blocks(page) if b.language == "yaml"],
    ids=lambda value: value if isinstance(value, str) else value.title,
)
def test_every_topology_is_valid(page: str, topology: Block, tmp_path: Path) -> None:
    write_files(page, tmp_path)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("civitas")), "topology", "validate", topology.title],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_fence_of_a_page_is_one_that_these_tests_read() -> None:
    for page, text in PAGES.items():
        opened = len(re.findall(r"^\s*```\w", text, re.MULTILINE))
        assert opened == len(blocks(page)), page


def test_the_make_targets_that_the_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for text in PAGES.values()
        for name in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets
