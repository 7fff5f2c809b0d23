"""Forks: what is made before a fork works in each child; what was started before is refused."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor
from support.forking import CHILDREN
from support.local_bus.testbed import environment, installed
from support.nats.server import NatsServer
from support.redis.server import RedisServer

SOON = 120.0


class Echo(AgentProcess):
    """Answers with what it was asked, and who it was."""

    async def handle(self, message: Message) -> Message:
        return self.reply({**message.payload, "sender": message.sender})


@pytest.fixture(params=["local_bus", "zmq", "nats", "jetstream", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The block of a transport that reaches other processes."""
    if request.param == "local_bus":
        with installed(tmp_path) as bus:
            yield bus.block()
    elif request.param == "zmq":
        yield {
            "type": "zmq",
            **{f"{end}_addr": f"ipc://{tmp_path}/{end}" for end in ("pub", "sub")},
        }
    elif request.param == "redis":
        with RedisServer(tmp_path / "server") as redis:
            yield {"type": "redis", "url": redis.url}
    else:
        durable = request.param == "jetstream"
        with NatsServer(tmp_path / "server", jetstream=durable) as server:
            yield {"type": "nats", "servers": server.url, "jetstream": durable}


async def reports(mode: str, transport: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the forking program beside a system with an echo; return what its processes report."""
    async with Runtime(Supervisor("root", [Echo("echo")]), transport=transport):
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "support.forking", mode, json.dumps(transport)),
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(SOON):
                out, err = await program.communicate()
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()
    assert program.returncode == 0, err.decode()
    return [json.loads(line) for line in out.splitlines()]


async def test_what_was_made_before_a_fork_is_another_node_in_each_child(
    place: dict[str, Any],
) -> None:
    children = await reports("made", place)
    assert [child["errors"] for child in children] == [[]] * CHILDREN
    assert [child["wrong"] for child in children] == [0] * CHILDREN
    for seen in ("nodes", "names"):  # of a client and of a worker each
        assert len({each for child in children for each in child[seen]}) == 2 * CHILDREN


async def test_what_was_started_before_a_fork_is_refused_in_the_child_and_goes_on_in_the_parent(
    place: dict[str, Any],
) -> None:
    child, parent = await reports("started", place)
    assert list(child["told"]) == child["verbs"]
    for told in child["told"].values():
        assert told.startswith("configuration: this client was started before this process was")
    assert parent == {"answer": 7}
