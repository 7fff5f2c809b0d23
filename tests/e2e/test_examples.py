"""The examples run as they stand, and the word count is right."""

from __future__ import annotations

import collections
import json
import random
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import completed
from support.nats.server import NatsServer
from support.waiting import eventually

Start = Callable[..., Any]

pytestmark = pytest.mark.slow

TOPOLOGY = "examples/word_count.yaml"
IN_ONE_PROCESS = ("run", TOPOLOGY, "--transport", "in_process")


@pytest.fixture
def addresses(tmp_path: Path) -> dict[str, str]:
    """Return what gives a system of several processes addresses of its own."""
    return {f"CIVITAS_{name}_ADDR": f"ipc://{tmp_path}/{name}" for name in ("PUB", "SUB")}


def library(folder: Path, files: int) -> Path:
    """Write text files of random words, and some that are no text."""
    chance = random.Random(files)
    vocabulary = [
        "Wort",
        "word",
        "mother-in-law",
        "don't",
        "l\u2019eau",
        "数",
        "x1",
        "42",
        "_",
        "ÉTÉ",
    ]
    for number in range(files):
        path = folder / f"shelf_{number % 3}" / f"text_{number}.{chance.choice(['md', 'txt'])}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" ".join(chance.choices(vocabulary, k=200)), encoding="utf-8")
    (folder / "picture.png").write_bytes(b"word word word")
    (folder / "broken.txt").write_bytes(b"word \xff\xfe word")
    return folder


def plain_count(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Count in one loop: words of each file, and how often each word comes."""
    files: dict[str, int] = {}
    words: collections.Counter[str] = collections.Counter()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".md", ".txt"}):
        text = path.read_bytes().decode("utf-8", "replace")
        found = re.findall("[^\\W\\d_]+(?:['\u2019-][^\\W\\d_]+)*", text)
        files[str(path)] = len(found)
        words.update(word.casefold() for word in found)
    return files, dict(sorted(words.items()))


def counted(report: Path) -> Any:
    return json.loads(report.read_text())


def crashes(lines: list[str]) -> int:
    """Return the crashes that the table of counters tells of."""
    return sum(int(line.split("│")[3]) for line in lines if "│ counter_" in line)


def test_the_word_count_equals_a_plain_one_though_an_agent_crashes_and_a_process_is_killed(
    start: Start, repository: Path, tmp_path: Path, addresses: dict[str, str]
) -> None:
    folder = library(tmp_path / "library", 40)
    report = tmp_path / "report.json"
    running = start(
        "up",
        TOPOLOGY,
        cwd=repository,
        WORD_COUNT_FOLDER=str(folder),
        WORD_COUNT_REPORT=str(report),
        COLUMNS="100",
        **addresses,
    )
    assert running.wait() == 0, running.err
    files, words = plain_count(folder)
    assert counted(report) == {"files": files, "words": words}
    told = "\n".join((*running.err, *running.out))
    assert "was killed by SIGKILL; starting again" in told
    assert "InjectedCrashError" in told
    assert "Traceback" not in told
    assert f"{sum(words.values()):,} words in 41 of 41 files" in told
    assert crashes(running.out) >= 2  # and of two in one process, both may have had a file
    assert list(tmp_path.glob("[PS]UB*")) == []


def test_the_same_agents_count_the_same_in_one_process(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    folder = library(tmp_path / "library", 40)
    report = tmp_path / "report.json"
    running = start(
        *IN_ONE_PROCESS,
        cwd=repository,
        WORD_COUNT_FOLDER=str(folder),
        WORD_COUNT_REPORT=str(report),
        COLUMNS="100",
    )
    assert running.wait() == 0, running.err
    files, words = plain_count(folder)
    assert counted(report) == {"files": files, "words": words}
    told = "\n".join(running.err)
    assert "InjectedCrashError" in told
    assert re.search(r"agent 'counter_\d' restarted", told)
    assert "counted 41 of 41 files" in told
    assert "Traceback" not in told
    assert crashes(running.out) == 2


def test_the_word_count_works_on_the_documentation_by_default(
    start: Start, repository: Path
) -> None:
    running = start(*IN_ONE_PROCESS, cwd=repository)
    assert running.wait() == 0, running.err
    count = sum(1 for p in (repository / "docs").rglob("*") if p.suffix in {".md", ".txt"})
    assert f"in {count} of {count} files of docs, each counted once." in "\n".join(running.out)


def test_an_empty_folder_is_a_clear_error(start: Start, repository: Path, tmp_path: Path) -> None:
    running = start(*IN_ONE_PROCESS, cwd=repository, WORD_COUNT_FOLDER=str(tmp_path))
    assert running.wait() == 1, running.err
    assert "no text files (.md, .rst, .text, .txt)" in running.err[-1]
    assert "Traceback" not in "\n".join(running.err)


def test_a_folder_that_is_not_there_is_a_clear_error(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    nowhere = str(tmp_path / "nowhere")
    running = start(*IN_ONE_PROCESS, cwd=repository, WORD_COUNT_FOLDER=nowhere)
    assert running.wait() == 1
    assert f"there is no folder {nowhere!r}" in running.err[-1]


def test_a_signal_in_the_middle_of_it_finishes_the_count(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    folder = library(tmp_path / "library", 400)
    running = start(*IN_ONE_PROCESS, cwd=repository, WORD_COUNT_FOLDER=str(folder))
    running.until("counted 40 of 401 files")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert "in 401 of 401 files" in "\n".join(running.out)


def test_every_topology_of_the_examples_is_valid(start: Start, repository: Path) -> None:
    topologies = sorted((repository / "examples").glob("*.yaml"))
    assert topologies
    for topology in topologies:
        running = start("topology", "validate", str(topology), cwd=repository)
        assert running.wait() == 0, running.err


def test_a_question_from_another_terminal_is_answered_across_processes(
    start: Start, repository: Path, tmp_path: Path, addresses: dict[str, str]
) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "page.md").write_text("A frame has a header.\nNothing here.\n")
    topology = ("--topology", "examples/multi_process.yaml")
    system = {"cwd": repository, "ARCHIVE_FOLDER": str(tmp_path / "library"), **addresses}
    worker = start("run", *topology, "--process", "worker", **system)
    worker.until("waiting for the proxy")
    primary = start("run", *topology, "--process", "supervisor", **system)
    for each in (worker, primary):
        each.until("running: 1 agent")

    asked = start("ask", "researcher", '{"question": "What is a frame?"}', *topology, **system)
    assert asked.wait() == 0, asked.err
    answer = json.loads("\n".join(asked.out))
    assert [each["line"] for each in answer["lines"]] == ["A frame has a header."]

    told = start("stats", "--json", "--check", *topology, **system)
    assert told.wait() == 0, told.err
    nodes = {each["process"]: each for each in json.loads("\n".join(told.out))["nodes"]}
    assert {name: node["agents"][0]["handled"] for name, node in nodes.items()} == {
        "supervisor": 1,
        "worker": 1,
    }

    for each in (worker, primary):
        each.signal(signal.SIGTERM)
        assert each.wait() == 0, each.err
    nobody = start("ask", "researcher", *topology, "--connect-timeout", "0.5", **system)
    assert nobody.wait() == 1
    assert "no running system was found" in nobody.err[-1]


class Shop:
    """The processes of the example for two machines, and what its desk says."""

    TOPOLOGY = ("--topology", "examples/distributed.yaml")
    PROCESSES = ((), ("--process", "worker"))

    def __init__(self, start: Start, repository: Path, server: NatsServer, jetstream: bool) -> None:
        self._start = start
        self._settings = {
            "cwd": repository,
            "CIVITAS_NATS": server.url,
            "CIVITAS_NATS_TOKEN": TOKEN,
            "CIVITAS_JETSTREAM": str(jetstream).lower(),
        }

    def run(self, *process: str) -> Any:
        """Start a process as the topology says."""
        return self._start("run", *self.TOPOLOGY, *process, **self._settings)

    def ask(self, **payload: str) -> Any:
        """Ask the desk."""
        asked = self._start("ask", "desk", json.dumps(payload), *self.TOPOLOGY, **self._settings)
        assert asked.wait() == 0, asked.err
        return json.loads("\n".join(asked.out))

    def prints(self, *texts: str) -> bool:
        """Return whether all is printed that was ordered, in frames, in the order of the orders."""
        told = self.ask()
        lines = [page.splitlines()[1] for page in told["printed"]]
        return told["open"] == 0 and lines == [f"| {text} |" for text in texts]


TOKEN = "open sesame"


@pytest.fixture(params=[False, True], ids=["core", "jetstream"])
def shop(
    request: pytest.FixtureRequest, start: Start, repository: Path, tmp_path: Path
) -> Iterator[Shop]:
    with NatsServer(tmp_path / "server", jetstream=request.param, token=TOKEN) as server:
        yield Shop(start, repository, server, jetstream=request.param)


@pytest.mark.parametrize("order", [1, -1], ids=["primary-first", "worker-first"])
def test_an_order_on_one_machine_is_printed_on_another(shop: Shop, order: int) -> None:
    running = [shop.run(*process) for process in Shop.PROCESSES[::order]]
    for each in running:
        each.until("running: 1 agent")
    shop.ask(print="Hello")
    eventually(lambda: shop.prints("Hello"))
    for each in running:
        each.signal(signal.SIGTERM)
        assert each.wait() == 0, each.err


@pytest.mark.parametrize("shop", [True], indirect=True, ids=["jetstream"])
def test_an_order_that_is_taken_while_the_press_is_away_is_printed_when_it_is_back(
    shop: Shop,
) -> None:
    desk = shop.run()
    desk.until("running: 1 agent")
    assert shop.ask(print="early") == {"open": 1, "printed": []}  # it was never there
    press = shop.run("--process", "worker")
    eventually(lambda: shop.prints("early"))
    press.signal(signal.SIGKILL)
    press.wait()
    assert shop.ask(print="after a crash")["open"] == 1
    press = shop.run("--process", "worker")
    eventually(lambda: shop.prints("early", "after a crash"))
    for each in (desk, press):
        each.signal(signal.SIGTERM)
        assert each.wait() == 0, each.err


@pytest.mark.parametrize("shop", [False], indirect=True, ids=["core"])
def test_an_order_is_refused_while_the_press_is_away(shop: Shop) -> None:
    desk, press = (shop.run(*process) for process in Shop.PROCESSES)
    for each in (desk, press):
        each.until("running: 1 agent")
    press.signal(signal.SIGTERM)
    assert press.wait() == 0, press.err
    desk.until("has gone: it stopped")
    assert "press" in shop.ask(print="late")["refused"]
    shop.run("--process", "worker").until("running: 1 agent")
    shop.ask(print="again")
    eventually(lambda: shop.prints("again"))


UNDER_FAULTS = "examples/test_distributed.py"


def test_the_example_under_faults_loses_no_order(repository: Path) -> None:
    done = completed(sys.executable, "-m", "pytest", "-q", UNDER_FAULTS, cwd=repository)
    assert done.returncode == 0, done.stdout


def test_the_example_under_faults_shows_an_order_that_is_lost(
    repository: Path, tmp_path: Path
) -> None:
    text = (repository / UNDER_FAULTS).read_text(encoding="utf-8")
    test = tmp_path / "test_distributed.py"
    test.write_text(text.replace('"at_least_once": True', '"at_least_once": False'))
    (tmp_path / "distributed.yaml").write_bytes(
        (repository / "examples/distributed.yaml").read_bytes()
    )
    done = completed(sys.executable, "-m", "pytest", "-q", str(test), cwd=repository)
    assert done.returncode == 1
    assert "pytest --civitas-seed=" in done.stdout
    assert "AssertionError" in done.stdout
