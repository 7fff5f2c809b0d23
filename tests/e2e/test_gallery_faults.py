"""Examples of the gallery whose process is killed, and under faults with a part missing."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, completed
from support.waiting import eventually

Start = Callable[..., Any]

pytestmark = pytest.mark.slow

PAUSE = 2.0
"""Seconds between two pages of a host."""


@pytest.fixture
def gallery(repository: Path) -> Path:
    return repository / "examples" / "gallery"


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """Return what puts an example on zmq at addresses of its own."""
    addresses = [f"--set=transport.{end}_addr=ipc://{tmp_path}/{end}" for end in ("pub", "sub")]
    return ["--overlay=zmq.yaml", *addresses]


def test_a_crawl_is_complete_though_the_process_of_its_fetchers_is_killed(
    start: Start, gallery: Path, options: list[str]
) -> None:
    # So that there are seconds in which to kill it: three pages of each host take three pauses.
    slow = [f"--set=supervision.children.fetcher_{n}.config.pause={PAUSE}" for n in (1, 2)]
    fetchers = ("run", *options, *slow, "--process=fetchers")
    killed = start(*fetchers, cwd=gallery / "crawler")
    crawler = start("run", *options, cwd=gallery / "crawler")
    crawler.until("demo://wiki/: fetched")
    killed.signal(signal.SIGKILL)
    killed.wait()
    assert crawler.count(": fetched") < 9
    start(*fetchers, cwd=gallery / "crawler")
    crawler.wait_for(lambda: crawler.count(": fetched") == 9, "nine pages")
    crawler.until("demo://news/yesterday: 404: there is no such page")
    assert crawler.count("has failed (") >= 1


def test_lines_are_in_a_room_though_its_process_is_killed(
    start: Start, gallery: Path, tmp_path: Path, options: list[str]
) -> None:
    folder = shutil.copytree(
        gallery / "chat", tmp_path / "chat", ignore=shutil.ignore_patterns("rooms")
    )
    options += ["--set=supervision.children.web.config.port=0"]
    start("run", *options, cwd=folder).until("running: 1 agent")

    def asked(payload: str, kind: str) -> dict[str, Any]:
        done = completed(COMMAND, "ask", "lobby", payload, "--type", kind, *options, cwd=folder)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    rooms = start("run", *options, "--process=rooms", cwd=folder)
    for number, text in ((1, "before"), (2, "after")):
        said = json.dumps({"by": "Ada", "text": text})
        assert eventually(lambda said=said: asked(said, "say"))["number"] == number
        rooms.signal(signal.SIGKILL)
        rooms.wait()
        rooms = start("run", *options, "--process=rooms", cwd=folder)
    lines = eventually(lambda: asked("{}", "read"))["lines"]
    assert [line["text"] for line in lines] == ["before", "after"]


@pytest.mark.mutants
@pytest.mark.parametrize(
    ("name", "part", "instead", "found"),
    [
        ("crawler", "defaultdict(lambda: first)", "defaultdict(float)", "asked too soon"),
        ("crawler", "range(self.tries)", "range(1)", "every page is fetched"),
        ("sensor_fleet", "if LOWEST <= celsius <= HIGHEST", "if True", "values are possible"),
        ("sensor_fleet", "timeout=self.limit", "timeout=3", "no poll is held up"),
        ("chat", "self.file.seek(0)", "self.file.seek(0, 2)", "lines are numbered"),
        ("chat", 'open("a+"', 'open("w+"', "what was answered is kept"),
    ],
)
def test_a_part_that_is_missing_is_noticed_under_faults(
    gallery: Path, tmp_path: Path, name: str, part: str, instead: str, found: str
) -> None:
    shutil.copy(gallery / "pytest.ini", tmp_path)
    folder = shutil.copytree(gallery / name, tmp_path / name)
    text = (folder / "agents.py").read_text(encoding="utf-8")
    assert text.count(part) == 1
    (folder / "agents.py").write_text(text.replace(part, instead), encoding="utf-8")
    done = completed(sys.executable, "-m", "pytest", "-q", "-k", "seeds", cwd=folder)
    assert done.returncode == 1, done.stdout
    assert found in done.stdout
