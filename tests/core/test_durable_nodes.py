"""Nodes on an at-least-once transport: what is sent to agents of processes that are away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import Message, Runtime, Supervisor, Worker
from civitas._cluster.data_plane import PeerStats
from civitas.components import build_component_set
from civitas.errors import MessageRoutingError, OutcomeUnknownError
from support.agents import SOON, Gate, Scripted, echo, fail, until
from support.ledger import Ledger, LedgerTransport

CLOSELY = {
    "heartbeat_interval": 0.1,
    "heartbeat_timeout": 0.2,
    "missed_heartbeats_threshold": 3,
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here claims a name twice."""
    monkeypatch.setattr("civitas._cluster.discovery.CLAIM_WINDOW", 0.02)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def primary(ledger: Ledger, *names: str, local: Any = ()) -> Runtime:
    root = Supervisor("root", local, backoff_base=0.0, max_restarts=100)
    for name in names:
        root.add_remote_child(name, **CLOSELY)
    return Runtime(root, transport=ledger.transport())


def worker(ledger: Ledger, *agents: Any, transport: LedgerTransport | None = None) -> Worker:
    components = build_component_set(transport or ledger.transport(), process="w", is_primary=False)
    return Worker(agents, components=components)


def knows(runtime: Runtime, name: str) -> bool:
    return runtime.components.registry.has(name)


def peers(runtime: Runtime) -> tuple[PeerStats, ...]:
    return runtime.stats().peers


def numbers(agent: Scripted) -> list[int]:
    return [message.payload["n"] for message in agent.got]


async def test_what_is_sent_before_a_worker_has_started_waits_for_it(ledger: Ledger) -> None:
    agent = Scripted("a")
    async with primary(ledger, "a") as runtime:
        for n in range(20):
            await asyncio.wait_for(runtime.send("a", {"n": n}), SOON)
        assert runtime.stats().sent == 20
        async with worker(ledger, agent):
            await until(lambda: len(agent.got) == 20)
    assert numbers(agent) == list(range(20))


async def test_what_is_sent_while_a_worker_is_away_waits_for_the_next_one(ledger: Ledger) -> None:
    first, second = Scripted("a"), Scripted("a", echo)
    async with primary(ledger, "a") as runtime:
        async with worker(ledger, first):
            await until(lambda: knows(runtime, "a"))
            await runtime.send("a", {"n": 0})
            await until(lambda: len(first.got) == 1)
        await until(lambda: not peers(runtime))
        await runtime.send("a", {"n": 1})
        with pytest.raises(MessageRoutingError, match="'a'"):
            await runtime.ask("a", {}, timeout=SOON)
        async with worker(ledger, second):
            await until(lambda: knows(runtime, "a"))
            reply = await runtime.ask("a", {"n": 2}, timeout=SOON)
    assert reply.payload["echo"] == {"n": 2}
    assert numbers(second) == [1, 2]


async def test_what_a_worker_had_when_it_died_is_given_to_the_next_one(ledger: Ledger) -> None:
    gate, second, transport = Gate(), Scripted("a"), ledger.transport()
    async with primary(ledger, "a") as runtime:
        dying = worker(ledger, Scripted("a", gate, shutdown_timeout=0.1), transport=transport)
        await dying.start()
        await until(lambda: knows(runtime, "a"))
        for n in range(3):
            await runtime.send("a", {"n": n})
        await gate.entered.wait()
        await transport.cut()
        await until(lambda: not peers(runtime))
        await runtime.send("a", {"n": 3})
        async with worker(ledger, second):
            await until(lambda: len(second.got) == 4)
        await dying.stop()
    assert numbers(second) == list(range(4))


async def test_while_a_worker_stops_sends_are_kept_and_asks_fail_at_once(ledger: Ledger) -> None:
    gate, second = Gate(), Scripted("a")
    async with primary(ledger, "a") as runtime:
        first = worker(ledger, Scripted("a", gate))
        await first.start()
        await until(lambda: knows(runtime, "a"))
        await runtime.send("a", {"n": 0})
        await gate.entered.wait()
        stopping = asyncio.create_task(first.stop())
        await until(lambda: not knows(runtime, "a"))
        assert not stopping.done()
        await runtime.send("a", {"n": 1})
        with pytest.raises(MessageRoutingError, match="takes no more messages"):
            await runtime.ask("a", {}, timeout=SOON)
        gate.opened.set()
        await stopping
        async with worker(ledger, second):
            await until(lambda: len(second.got) == 1)
    assert numbers(second) == [1]


async def test_an_agent_that_said_that_it_is_done_gets_nothing_more(ledger: Ledger) -> None:
    async def leave(agent: Scripted, message: Any) -> None:
        agent.stop()

    async with (
        primary(ledger, "a", "b") as runtime,
        worker(ledger, Scripted("a", leave), Scripted("b")),
    ):
        await until(lambda: knows(runtime, "a"))
        await runtime.send("a", {})
        await until(lambda: not knows(runtime, "a"))
        for verb in (runtime.send, runtime.ask):
            with pytest.raises(MessageRoutingError, match="'a'.*takes no more messages"):
                await verb("a", {})
        late = build_component_set(ledger.transport(), process="late", is_primary=False)
        late.bus.routes.expected["a"] = "w"
        async with Worker([Scripted("c")], components=late):
            with pytest.raises(MessageRoutingError, match="'a'.*takes no more messages"):
                await late.bus.send(Message(recipient="a"))
    assert ledger.kept("a") == []


async def test_a_name_that_nobody_knows_is_an_error_with_a_suggestion(ledger: Ledger) -> None:
    async with primary(ledger, local=[Scripted("researcher")]) as runtime:
        with pytest.raises(MessageRoutingError, match="did you mean 'researcher'"):
            await runtime.send("reseacher", {})


async def test_asks_in_flight_fail_at_once_when_the_node_has_gone(ledger: Ledger) -> None:
    gate, transport = Gate(), ledger.transport()
    async with primary(ledger, "a") as runtime:
        dying = worker(ledger, Scripted("a", gate, shutdown_timeout=0.1), transport=transport)
        await dying.start()
        await until(lambda: knows(runtime, "a"))
        asking = [asyncio.create_task(runtime.ask("a", {}, timeout=60)) for _ in range(3)]
        await gate.entered.wait()
        await transport.cut()
        for ask in asking:
            with pytest.raises(OutcomeUnknownError, match="has gone"):
                await asyncio.wait_for(ask, SOON)
        await dying.stop()


async def test_a_failing_message_of_a_worker_is_given_again_there(ledger: Ledger) -> None:
    seen: list[int] = []

    async def script(agent: Scripted, message: Any) -> None:
        seen.append(message.attempt)
        await fail(agent, message)

    async with (
        primary(ledger, "a") as runtime,
        worker(ledger, Scripted("a", script)),
    ):
        await until(lambda: knows(runtime, "a"))
        await runtime.send("a", {})
        await until(lambda: len(ledger.dead_letters) == 1)
    assert seen == [0, 1]
