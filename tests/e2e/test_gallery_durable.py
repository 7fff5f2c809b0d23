"""The order pipeline on a real server with JetStream, and under faults with a part missing."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from civitas.client import Client
from support.commands import completed
from support.nats.server import NatsServer
from support.waiting import eventually

Start = Callable[..., Any]

pytestmark = pytest.mark.slow

ORDERS = [f"A{number}" for number in range(1, 41)]


class Shop:
    """The processes of the order pipeline, and their books."""

    def __init__(self, start: Start, folder: Path, books: Path, server: NatsServer) -> None:
        self._start = start
        self._folder = folder
        self._books = books
        self._settings = {"BOOKS": str(books), "CIVITAS_NATS": server.url}

    def run(self, process: str) -> Any:
        """Start a process, and return when its agent runs."""
        options = ("--overlay", "nats.yaml", "--process", process)
        running = self._start("run", *options, cwd=self._folder, **self._settings)
        running.until("running: 1 agent")
        return running

    def client(self, monkeypatch: pytest.MonkeyPatch) -> Client:
        """Return a client of the system."""
        for name, value in self._settings.items():
            monkeypatch.setenv(name, value)
        return Client.from_config(
            self._folder / "topology.yaml", overlays=[self._folder / "nats.yaml"]
        )

    def times(self, agent: str) -> Counter[str]:
        """Return how often each order is in the book of an agent."""
        with closing(sqlite3.connect(self._books / f"{agent}.db")) as book:
            return Counter(name for (name,) in book.execute("SELECT name FROM entries"))


@pytest.fixture
def gallery(repository: Path) -> Path:
    return repository / "examples" / "gallery"


@pytest.fixture
def shop(start: Start, gallery: Path, tmp_path: Path) -> Iterator[Shop]:
    with NatsServer(tmp_path / "server", jetstream=True) as server:
        yield Shop(start, gallery / "order_pipeline", tmp_path / "books", server)


async def test_each_order_is_charged_and_shipped_once_though_processes_are_killed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = {process: shop.run(process) for process in ("supervisor", "till", "dock")}
    async with shop.client(monkeypatch) as client:
        for order in ORDERS:
            answer = await client.ask("desk", {"order": order, "cents": 250})
            assert answer.payload["taken"] == order
    for process, done in (("till", "charged"), ("dock", "shipped"), ("till", "charged")):
        running[process].until(done)  # it is in the middle of the others
        running[process].signal(signal.SIGKILL)
        running[process].wait()
        running[process] = shop.run(process)
    once = Counter(ORDERS)
    assert eventually(lambda: shop.times("desk"), lambda times: times.keys() >= once.keys()) == once
    assert shop.times("cashier") == once
    assert shop.times("shipper") == once


@pytest.mark.parametrize(
    ("file", "part", "instead", "found"),
    [
        ("agents.py", "name TEXT UNIQUE", "name TEXT", "times in the book of"),
        ("test_order_pipeline.py", '"at_least_once": True', '"at_least_once": False', "lost"),
    ],
    ids=["a book that takes an order twice", "messages that are at most once"],
)
def test_the_pipeline_under_faults_shows_what_a_missing_part_does(
    gallery: Path, tmp_path: Path, file: str, part: str, instead: str, found: str
) -> None:
    shutil.copy(gallery / "pytest.ini", tmp_path)
    folder = shutil.copytree(gallery / "order_pipeline", tmp_path / "order_pipeline")
    text = (folder / file).read_text()
    assert text.count(part) == 1
    (folder / file).write_text(text.replace(part, instead))
    test = ("-k", "no_order_is_lost")
    done = completed(sys.executable, "-m", "pytest", "-q", *test, cwd=folder)
    assert done.returncode == 1, done.stdout
    assert "pytest --civitas-seed=" in done.stdout
    assert found in done.stdout
