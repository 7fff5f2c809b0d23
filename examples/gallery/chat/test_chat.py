"""The chat under faults: a line that was answered is kept, once, and nobody waits too long."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from agents import Room
from civitas import Runtime
from civitas.errors import AgentError
from civitas.testing import harness
from civitas.testing import simulation as sim

HERE = Path(__file__).parent
FILES = tempfile.TemporaryDirectory(prefix="chat-")  # gone when the tests have ended
FAULTS = sim.Faults(crash=True, kill=True, kill_primary=True, partition=True)


def topology(folder: str, port: int | None) -> dict[str, Any]:
    """Return the topology with its files in a folder, and its server at a port."""
    chat: dict[str, Any] = yaml.safe_load((HERE / "topology.yaml").read_text())
    chat["supervision"]["max_restarts"] = 1000
    *rooms, web = (child["agent"]["config"] for child in chat["supervision"]["children"])
    for room in rooms:
        room["folder"] = folder
    web["port"] = port
    return chat


def of_a_run(_numbers: random.Random) -> dict[str, Any]:
    """Return a topology with a folder of its own, and without a server: there are no sockets."""
    return topology(tempfile.mkdtemp(dir=FILES.name), port=None)


def lines(system: sim.System) -> list[dict[str, Any]]:
    lobby = next(a.block for a in system.topology.supervision.agents() if a.block.name == "lobby")
    text = Path(lobby.config["folder"], "lobby.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


# --8<-- [start:faults]
def what_was_answered_is_kept(system: sim.System) -> Iterator[str]:
    said = {each.message.id for each in system.history.sendings if each.message.type == "say"}
    yield from said & system.history.answered("lobby") - {line["id"] for line in lines(system)}


def lines_are_numbered(system: sim.System) -> None:
    kept = lines(system)
    assert [line["number"] for line in kept] == list(range(1, len(kept) + 1))
    assert len({line["id"] for line in kept}) == len(kept)


@sim.test(
    topology=of_a_run,
    seeds=10,
    faults=FAULTS,
    invariants=[what_was_answered_is_kept, lines_are_numbered],
)
async def test_what_was_said_stays(system: sim.System) -> None:
    said, read = {"by": "Ada", "text": "Hello"}, {"after": 1000, "wait": 2.0}
    async with (
        system.load("lobby", rate=3, message_type="say", payload=said, asks=1.0),
        system.load("lobby", rate=3, message_type="read", payload=read, asks=1.0),
    ):
        await system.storm(seconds=20)
    await system.calm(within=60)
    assert lines(system)


# --8<-- [end:faults]


async def test_a_reader_has_the_next_line_or_nothing_when_the_wait_is_over(tmp_path: Path) -> None:
    async with harness(Room("lobby", str(tmp_path))) as h:
        nothing = await h.ask("lobby", {"wait": 5.0}, "read")
        assert (nothing.payload, h.now) == ({"lines": []}, 5.0)

        waiting = asyncio.create_task(h.ask("lobby", {"wait": 5.0}, "read"))
        await h.advance(1)
        await h.ask("lobby", {"by": "Ada", "text": "Hello"}, "say")
        (line,) = (await waiting).payload["lines"]
        assert (line["number"], line["by"], line["text"], h.now) == (1, "Ada", "Hello", 6.0)
        await h.advance(10)  # the timer has gone with its reader


async def test_a_reader_who_has_gone_hinders_nobody(tmp_path: Path) -> None:
    async with harness(Room("lobby", str(tmp_path))) as h:
        with pytest.raises(TimeoutError):
            await h.ask("lobby", {"wait": 5.0}, "read", timeout=1.0)
        answer = await h.ask("lobby", {"by": "Ada", "text": "Hello"}, "say")
        assert answer.payload["number"] == 1


async def test_a_room_that_crashes_keeps_its_lines(tmp_path: Path) -> None:
    async with harness(Room("lobby", str(tmp_path))) as h:
        await h.ask("lobby", {"by": "Ada", "text": "Hello"}, "say")
        with pytest.raises(AgentError):
            await h.ask("lobby", {"after": "a text"}, "read")
        h.expect_crash(TypeError)
        answer = await h.ask("lobby", {}, "read")
        assert [line["text"] for line in answer.payload["lines"]] == ["Hello"]


def http(url: str, body: str | None = None) -> tuple[int, Any]:
    """Return status and answer of a request."""
    try:
        with urllib.request.urlopen(url, body and body.encode(), timeout=20) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


async def test_a_browser_says_and_waits(tmp_path: Path) -> None:
    crashed: list[str] = []
    async with Runtime.from_config_dict(topology(str(tmp_path), port=0)) as runtime:
        runtime.on_crash(lambda agent, error: crashed.append(f"{agent}: {error}"))
        (url,) = (await runtime.ask("web", {})).payload["urls"]
        waiting = asyncio.create_task(asyncio.to_thread(http, f"{url}lobby?after=0&wait=20"))
        status, line = await asyncio.to_thread(http, f"{url}lobby", '{"by": "Ada", "text": "Hi"}')
        assert (status, line["text"]) == (200, "Hi")
        assert await waiting == (200, {"lines": [line]})

        for wrong in ('{"by": "Ada"}', "no JSON", "[" * 60_000):
            assert (await asyncio.to_thread(http, f"{url}lobby", wrong))[0] == 400
        assert (await asyncio.to_thread(http, f"{url}lobby?after=many"))[0] == 400
        assert (await asyncio.to_thread(http, f"{url}cellar"))[0] == 404

        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(b"POST /lobby HTTP/1.1\r\n")
        at_once = struct.pack("ii", 1, 0)  # the connection is reset, not closed
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.close()
        assert (await asyncio.to_thread(http, f"{url}lobby"))[0] == 200
    assert crashed == []
