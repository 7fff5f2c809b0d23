"""An agent moves to another process while others send to it, as the page of recipes says."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from civitas.client import Client
from civitas.errors import MessageRoutingError
from support import pages
from support.nats.server import NatsServer
from support.waiting import eventually

Start = Callable[..., Any]

pytestmark = pytest.mark.slow

PAGE = (pages.DOCS / "recipes.md").read_text(encoding="utf-8")
RECIPE = PAGE.split("\n## Moving an agent to another process\n")[1].split("\n## ")[0]
TOPOLOGY = "meter.yaml"


def without_nodes(text: str) -> str:
    """Return a text in one line, with the same id for each node."""
    return re.sub(r"\(node [0-9a-f]+\)", "(node)", " ".join(text.split()))


class Move:
    """The processes of the recipe, and a client that numbers its readings."""

    def __init__(self, start: Start, folder: Path, client: Client) -> None:
        self._start = start
        self._folder = folder
        self.client = client
        self.taken: list[int] = []
        self.refused: list[str] = []

    def begin(self, process: str) -> Any:
        """Start a process."""
        return self._start("run", TOPOLOGY, "--process", process)

    def change_process(self) -> None:
        """Change the topology as the recipe says."""
        assert f"sed -i 's/cellar/attic/' {TOPOLOGY}" in RECIPE
        text = (self._folder / TOPOLOGY).read_text()
        (self._folder / TOPOLOGY).write_text(text.replace("cellar", "attic"))

    async def send(self, value: int) -> None:
        """Send a reading, and note what becomes of it."""
        try:
            await self.client.send("meter", {"value": value})
        except MessageRoutingError as error:
            self.refused.append(str(error))
        else:
            self.taken.append(value)

    async def send_until(self, done: asyncio.Event) -> None:
        """Send one reading after another."""
        while not done.is_set():
            await self.send(len(self.taken) + len(self.refused))
            await asyncio.sleep(0.01)

    def readings(self) -> list[int]:
        """Return the readings that the meter has, each once, in their order."""
        lines = (self._folder / "readings.txt").read_text().split()
        return list(dict.fromkeys(map(int, lines)))


@pytest.fixture(params=["jetstream", "core"])
def jetstream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "jetstream")


@pytest.fixture
def move(start: Start, tmp_path: Path, jetstream: bool) -> Iterator[Move]:
    with NatsServer(tmp_path / "server", jetstream=True) as server:
        block = rf"type: nats\n  servers: {server.url}\n  jetstream: {str(jetstream).lower()}"
        pages.write_files(RECIPE, tmp_path, [(r"type: nats\n  jetstream: true", block)])
        yield Move(start, tmp_path, Client.from_config(tmp_path / TOPOLOGY))


async def test_what_is_sent_while_an_agent_moves_is_kept_or_refused(
    move: Move, jetstream: bool
) -> None:
    move.begin("supervisor").until("running: 0 agents")
    old = move.begin("cellar")
    old.until("running: 1 agent")
    async with move.client:
        moved = asyncio.Event()
        sending = asyncio.create_task(move.send_until(moved))
        await asyncio.to_thread(eventually, lambda: len(move.taken) > 20)
        move.change_process()
        old.signal(signal.SIGTERM)
        assert await asyncio.to_thread(old.wait) == 0, old.err
        while_away = len(move.taken) + len(move.refused)
        await asyncio.to_thread(
            eventually, lambda: len(move.taken) + len(move.refused) > while_away + 20
        )
        await asyncio.to_thread(move.begin("attic").until, "running: 1 agent")
        sent = len(move.taken)
        await asyncio.to_thread(eventually, lambda: len(move.taken) > sent + 20)
        moved.set()
        await sending
        await move.client.ask("meter", {}, "readings")  # it has handled all that came before
    assert move.readings() == move.taken
    assert bool(move.refused) == (not jetstream)
    for error in move.refused:
        assert without_nodes(error) in without_nodes(RECIPE)


@pytest.mark.parametrize("jetstream", [True], indirect=True)
async def test_a_process_does_not_start_while_the_agent_is_elsewhere(move: Move) -> None:
    move.begin("supervisor").until("running: 0 agents")
    move.begin("cellar").until("running: 1 agent")
    move.change_process()
    early = move.begin("attic")
    assert early.wait() == 1
    assert without_nodes(early.err[-1]) in without_nodes(RECIPE)
