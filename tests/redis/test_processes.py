"""A system of processes on a server that is killed under load: all live again, losses count."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Running
from support.deployment import CALM, AskError, System, agent
from support.redis.server import RedisServer
from support.waiting import eventually

pytestmark = pytest.mark.slow

CONSOLES = {"supervisor": "console", "w1": "console-w1", "w2": "console-w2"}


@pytest.fixture
def system(tmp_path: Path, server: RedisServer) -> Iterator[System]:
    """A stream of messages from one process to another, in a system of three."""
    (tmp_path / "system").mkdir()
    system = System(
        tmp_path / "system",
        agent("far", "w1"),
        agent("stream", "w2", "Stream"),
        transport={"type": "redis", "url": server.url, "probe_interval": 0.2},
        beats=CALM,
    )
    yield system
    system.close()


def test_what_is_lost_with_the_server_is_counted_and_every_process_comes_back(
    system: System, server: RedisServer
) -> None:
    up = system.up("w1", "w2")
    streaming = system.console("w2").begin("stream", {"to": "far", "until": "halt"})
    eventually(lambda: counters(system)[0], lambda handled: handled > 500)
    server.kill()
    server.start()
    back(system, up)
    handled = counters(system)[0]
    eventually(lambda: counters(system)[0], lambda now: now > handled + 500)
    (system.folder / "halt").touch()
    told = streaming.outcome()
    # A send whose connection is lost before the server's answer fails, and may have arrived.
    eventually(lambda: sum(counters(system)) - told["sent"], lambda over: over in (0, 1))
    for word in ("has gone", "crashed", "superseded"):
        assert not up.count(word), up.err
    up.signal(signal.SIGTERM)
    assert up.wait() == 0, up.err


def counters(system: System) -> tuple[int, int]:
    """Return the messages that `far` has handled, and those that were lost on their way to it."""
    node = eventually(system.stats, lambda nodes: "w1" in nodes, trying=AssertionError)["w1"]
    [handled] = [each["handled"] for each in node["agents"] if each["name"] == "far"]
    return handled, node["lost"].get("far", 0)


def back(system: System, up: Running) -> None:
    """Wait until each process is connected again, and all can ask each other."""
    news = "civitas.transport.redis: connected again"
    up.wait_for(lambda: up.count(news) >= len(CONSOLES), "all to connect again")
    for process in CONSOLES:
        for name in CONSOLES.values():
            console = system.console(process)
            eventually(lambda c=console, n=name: c.ask(n, timeout=5), trying=AskError)
