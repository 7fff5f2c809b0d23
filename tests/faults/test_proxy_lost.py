"""A proxy that dies under a running system and comes back: all live again, losses are counted."""

from __future__ import annotations

import pytest

from support.commands import Running
from support.deployment import CALM, AskError, Build, System, agent, nobody_was_taken_for_dead
from support.waiting import eventually

pytestmark = pytest.mark.slow

OWN_PROXY = {"start_proxy": False}


@pytest.mark.parametrize("count", [1, 900, pytest.param(5_000, marks=pytest.mark.soak)])
def test_all_agents_live_again_and_nobody_was_fenced(build: Build, count: int) -> None:
    names = [f"many-{number}" for number in range(count)]
    system = build(
        agent("here"),
        agent("crowd", "w2", "Crowd"),
        *(agent(name, "w1", "Many") for name in names),
        beats=CALM,
        transport=OWN_PROXY,
    )
    with system.proxy() as proxy:
        running = system.run("supervisor", "w1", "w2")
        assert system.console().ask("crowd", {"names": names}) == {str(running[1].pid): count}
        proxy.kill()
        for process in running:
            process.until("WARNING civitas.transport.zmq: the connection to the proxy")
        with pytest.raises(AskError, match="NotConnectedError"):
            system.console().ask(names[0])
        proxy.start()
        back(system, running)
        for console in ("supervisor", "w1"):
            ask = {"names": names}
            answered = eventually(lambda c=console, a=ask: system.console(c).ask("crowd", a))
            assert answered == {str(running[1].pid): count}
        nobody_was_taken_for_dead(*running)
        system.stop(*running)


def test_what_is_lost_with_a_proxy_is_counted_to_the_frame(build: Build) -> None:
    system = build(
        agent("far", "w1"),
        agent("stream", "w2", "Stream"),
        agent("here"),
        transport=OWN_PROXY,
    )
    with system.proxy() as proxy:
        running = system.run("supervisor", "w1", "w2")
        streaming = system.console("w2").begin("stream", {"to": "far", "until": "halt"})
        for _ in range(3):
            handled = system.handled_and_lost("far", "w1")[0]
            eventually(lambda h=handled: system.handled_and_lost("far", "w1")[0] > h + 1_000)
            proxy.kill()
            for process in running:
                process.err.clear()
            proxy.start()
            back(system, running)
        (system.folder / "halt").touch()
        sent = streaming.outcome()["sent"]
        eventually(lambda: system.handled_and_lost("far", "w1"), lambda seen: sum(seen) == sent)
        nobody_was_taken_for_dead(*running)
        system.stop(*running)


def back(system: System, running: list[Running]) -> None:
    """Wait until all are connected again, and can ask each other."""
    for process in running:
        process.until("INFO    civitas.transport.zmq: the proxy at ")
    system.wait_joined()
