"""The code on the pages runs as it stands, and prints what the pages say: see `support.pages`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from support import pages
from support.environments import make_bare
from support.forked_commands import printed
from support.pages import DOCS, Block, blocks

REPOSITORY = Path(__file__).parents[3]
OF_OTHER_TESTS = {
    *("plugins.md", "topology.md", "conformance.md", "zmq.md", "redis.md"),
    *("nats.md", "nats-jetstream.md", "nats-operation.md"),
}
TUTORIAL = "custom-transport.md"
"""Has sessions for which a package is installed: see `test_tutorial`."""
PAGES = {
    page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8")
    for page in sorted(DOCS.rglob("*.md"))
    if page.name not in OF_OTHER_TESTS and page.parent.name != "examples"
}
OWN_ADDRESSES = [
    (r"^( *)type: zmq$", r"\g<0>\n\1pub_addr: ipc://pub\n\1sub_addr: ipc://sub"),
    (r"transport=\"zmq\"", r'\g<0>, zmq_pub_addr="ipc://pub", zmq_sub_addr="ipc://sub"'),
    (r"\b700(\d)\b", rf"{2000 + os.getpid() % 3000}\1"),
]
"""The pages have the default addresses, and tests run side by side: each in its own folder."""

WITH_SESSIONS = [
    page
    for page, text in PAGES.items()
    if page != TUTORIAL and any(b.language == "console" for b in blocks(text))
]
ABOUT_INSTALLING = {"ladder.md"}
"""They show what happens without some distribution, which are all installed here."""


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_SESSIONS)
def test_the_files_of_a_page_do_what_its_sessions_show(page: str, tmp_path: Path) -> None:
    python = None
    if page in ABOUT_INSTALLING:
        python = make_bare(tmp_path / "environment", "civitas-zmq", "civitas-nats")
    pages.run(PAGES[page], tmp_path, OWN_ADDRESSES, python)


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_is_a_file_that_a_session_or_another_file_uses(page: str) -> None:
    found = blocks(PAGES[page])
    for block in found:
        if block.language != "python":
            continue
        assert block.title, f"a block without a title is never run:\n{block.text}"
        module = Path(block.title).stem
        others = [other.text for other in found if other is not block]
        assert any(re.search(rf"\b{module}\b", text) for text in others), block.title


@pytest.mark.slow
@pytest.mark.usefixtures("forked_programs")
@pytest.mark.parametrize(
    ("page", "topology"),
    [
        (page, b)
        for page, text in PAGES.items()
        if page != TUTORIAL
        for b in blocks(text)
        if b.language == "yaml"
    ],
    ids=lambda value: value if isinstance(value, str) else value.title,
)
def test_every_topology_is_valid(page: str, topology: Block, tmp_path: Path) -> None:
    pages.write_files(PAGES[page], tmp_path, OWN_ADDRESSES)
    done = printed("civitas", "topology", "validate", topology.title, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_fence_of_a_page_is_one_that_these_tests_read() -> None:
    used = ("python", "yaml", "console")
    for page, text in PAGES.items():
        opened = re.findall(r"^\s*```(\w+)(.*)$", text, re.MULTILINE)
        read = [block for block in blocks(text) if block.language in used or block.title]
        assert len([each for each in opened if each[0] in used or each[1]]) == len(read), page


def test_the_make_targets_that_the_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for text in PAGES.values()
        for name in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets
