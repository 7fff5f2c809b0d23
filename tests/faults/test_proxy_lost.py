"""A proxy that dies under a running system and comes back: all live again, losses are counted."""

from __future__ import annotations

import signal

import pytest

from support.commands import Running
from support.deployment import CALM, AskError, Build, System, agent
from support.waiting import eventually

pytestmark = pytest.mark.slow

OWN_PROXY = {"start_proxy": False}


@pytest.mark.parametrize("count", [1, 900, 5_000])
def test_all_agents_live_again_and_nobody_was_fenced(build: Build, count: int) -> None:
    names = [f"many-{number}" for number in range(count)]
    system = build(
        agent("here"),
        agent("crowd", "w2", "Crowd"),
        *(agent(name, "w1", "Many") for name in names),
        beats=CALM,
        transport=OWN_PROXY,
    )
    proxy = system.proxy()
    try:
        running = system.run("supervisor", "w1", "w2")
        assert system.console().ask("crowd", {"names": names}) == {str(running[1].pid): count}
        proxy.end(signal.SIGKILL)
        lost(running)
        with pytest.raises(AskError, match="NotConnectedError"):
            system.console().ask(names[0])
        proxy = system.proxy()
        back(system, running)
        for console in ("supervisor", "w1"):
            ask = {"names": names}
            answered = eventually(lambda c=console, a=ask: system.console(c).ask("crowd", a))
            assert answered == {str(running[1].pid): count}
        nobody_was_taken_for_dead(running)
        system.stop(*running)
    finally:
        proxy.end()


def test_what_is_lost_with_a_proxy_is_counted_to_the_frame(build: Build) -> None:
    system = build(
        agent("far", "w1"),
        agent("stream", "w2", "Stream"),
        agent("here"),
        transport=OWN_PROXY,
    )
    proxy = system.proxy()
    try:
        running = system.run("supervisor", "w1", "w2")
        streaming = system.console("w2").begin("stream", {"to": "far", "until": "halt"})
        for _ in range(3):
            handled = counters(system)[0]
            eventually(lambda h=handled: counters(system)[0] > h + 1_000)
            proxy.end(signal.SIGKILL)
            for process in running:
                process.err.clear()
            proxy = system.proxy()
            back(system, running)
        (system.folder / "halt").touch()
        sent = streaming.outcome()["sent"]
        eventually(lambda: counters(system), lambda seen: sum(seen) == sent)
        nobody_was_taken_for_dead(running)
        system.stop(*running)
    finally:
        proxy.end()


def counters(system: System) -> tuple[int, int]:
    """Return the messages that `far` has handled, and those that were lost on their way to it."""
    node = system.stats()["w1"]
    [handled] = [each["handled"] for each in node["agents"] if each["name"] == "far"]
    return handled, node["lost"].get("far", 0)


def lost(running: list[Running]) -> None:
    for process in running:
        process.until("WARNING civitas.transport.zmq: the connection to the proxy")


def back(system: System, running: list[Running]) -> None:
    """Wait until all can ask each other again."""
    for process in running:
        process.until("INFO    civitas.transport.zmq: the proxy at ")
    for process in ("supervisor", "w1", "w2"):
        for name in ("console", "console-w1", "console-w2"):
            console = system.console(process)
            eventually(lambda c=console, n=name: c.ask(n, timeout=5), trying=AskError)


def nobody_was_taken_for_dead(running: list[Running]) -> None:
    for process in running:
        for word in ("has gone", "crashed", "superseded"):
            assert not process.count(word), process.err
