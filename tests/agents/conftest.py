"""The places where the tests of this folder run their agents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from support.ledger import Ledger
from support.local_bus.testbed import installed
from support.nats.server import NatsServer
from support.redis.server import RedisServer
from support.system import PLACES, Place, System, running

Start = Callable[..., AbstractAsyncContextManager[System]]


@pytest.fixture(params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A transport, and nodes for the agents."""
    # Nobody here claims a name twice, and the wait for it would be most of these tests' time.
    monkeypatch.setattr("civitas._cluster.discovery.CLAIM_WINDOW", 0.005)
    monkeypatch.setattr("civitas._cluster.control_plane.TICK", 0.005)
    nodes = PLACES[request.param]
    transport: str = request.param.split()[0]
    if transport == "zmq":
        ends = {f"{end}_addr": f"ipc://{tmp_path}/{end}" for end in ("pub", "sub")}
        yield Place({"type": "zmq", **ends}, nodes)
    elif transport == "local_bus":
        with installed(tmp_path) as bus:
            yield Place(bus.block(), nodes)
    elif transport == "nats":
        with NatsServer(tmp_path / "server") as server:
            yield Place({"type": "nats", "servers": server.url}, nodes)
    elif transport == "jetstream":
        with NatsServer(tmp_path / "server", jetstream=True) as server:
            again = {"retry_delay": 0.005, "max_deliver": 2}
            block = {"type": "nats", "servers": server.url, "jetstream": True, **again}
            yield Place(block, nodes, deliveries=2)
    elif transport == "redis":
        with RedisServer(tmp_path / "server") as server:
            yield Place({"type": "redis", "url": server.url}, nodes)
    elif transport == "ledger":
        ledger = Ledger()
        yield Place(ledger, nodes, deliveries=ledger.max_deliver)
    else:
        yield Place(transport, nodes)


@pytest.fixture
def system(place: Place) -> Start:
    """Starts agents at the place: `async with system(Agent("a"), Agent("b")) as s`."""

    def start(*children: Any, **arguments: Any) -> AbstractAsyncContextManager[System]:
        return running(place, children, **arguments)

    return start
