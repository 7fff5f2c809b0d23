"""A system of processes on a server that is killed under load: all live again, losses count."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from support.deployment import CALM, System, agent, nobody_was_taken_for_dead, systems
from support.redis.server import RedisServer
from support.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def system(tmp_path: Path, server: RedisServer) -> Iterator[System]:
    """A stream of messages from one process to another, in a system of three."""
    options = {"type": "redis", "url": server.url, "probe_interval": 0.2}
    with systems(tmp_path / "system", options, beats=CALM) as build:
        yield build(agent("far", "w1"), agent("stream", "w2", "Stream"))


def test_what_is_lost_with_the_server_is_counted_and_every_process_comes_back(
    system: System, server: RedisServer
) -> None:
    up = system.up("w1", "w2")
    counters = partial(system.handled_and_lost, "far", "w1")
    streaming = system.console("w2").begin("stream", {"to": "far", "until": "halt"})
    eventually(lambda: counters()[0], lambda handled: handled > 500)
    server.kill()
    server.start()
    up.wait_for(lambda: up.count("civitas.transport.redis: connected again") >= 3, "all to be back")
    system.wait_joined()
    handled = counters()[0]
    eventually(lambda: counters()[0], lambda now: now > handled + 500)
    (system.folder / "halt").touch()
    told = streaming.outcome()
    # A send whose connection is lost before the server's answer fails, and may have arrived.
    eventually(lambda: sum(counters()) - told["sent"], lambda over: over in (0, 1))
    nobody_was_taken_for_dead(up)
    up.signal(signal.SIGTERM)
    assert up.wait() == 0, up.err
