"""Several messages in hand of one agent, on a transport that gives a message until it is processed.

Each message is settled by its own outcome. They are begun in the order of the stream, for the first
time; one that is given again keeps its place before all that were not given yet.
"""

from __future__ import annotations

import asyncio

import pytest

from civitas import ErrorAction, Message
from civitas.errors import AgentError
from support.agents import Scripted, until
from support.gates import Gates, asking, send_all
from support.ledger import Ledger, attempts, running


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(max_deliver=3)


async def test_each_message_is_acknowledged_when_it_is_processed(ledger: Ledger) -> None:
    gates = Gates()
    async with running(ledger, Scripted("a", gates, concurrency=3)) as system:
        await send_all(system, 5)
        await gates.are(0, 1, 2)
        assert len(ledger.kept("a")) == 5
        gates.open(1)
        await until(lambda: len(ledger.kept("a")) == 4)
        await gates.are(0, 1, 2, 3)
        gates.open(0, 2, 3, 4)
        await until(lambda: not ledger.kept("a"))
        assert gates.entered == [0, 1, 2, 3, 4]
        assert system.stats().dropped == {}


async def test_one_that_fails_is_given_again_and_the_others_are_not(ledger: Ledger) -> None:
    failed: list[int] = []

    async def fail_once(agent: Scripted, message: Message) -> None:
        n = message.payload["n"]
        await asyncio.sleep(0)
        if n == 1 and not failed:
            failed.append(n)
            raise ValueError("no good")

    agent = Scripted("a", fail_once, concurrency=3)
    seen = agent.got
    agent_again = None
    async with running(ledger, agent) as system:
        await send_all(system, 6)
        await until(lambda: not ledger.kept("a"))
        agent_again = system.get_agent("a")
    begun = attempts(agent) + (attempts(agent_again) if agent_again is not agent else [])
    assert sorted(begun) == [(0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (4, 0), (5, 0)]
    assert [n for n, attempt in begun if attempt == 0] == list(range(6))
    assert len(seen) == 3, "a crashed object takes nothing new"


async def test_a_crash_does_not_count_for_what_was_cancelled_for_it(ledger: Ledger) -> None:
    gates = Gates()
    gates.raises[0] = ValueError("no good")
    given: list[tuple[int, int]] = []

    class Notes(Scripted):
        async def handle(self, message: Message) -> Message | None:
            given.append((message.payload["n"], message.attempt))
            if message.attempt:
                gates.raises.clear()
            return await super().handle(message)

    agent = Notes("a", gates, concurrency=3, shutdown_timeout=0.02)
    async with running(ledger, agent) as system:
        await send_all(system, 3)
        await gates.are(0, 1, 2)
        gates.open(0)
        await until(lambda: len(given) >= 6)
        gates.open(1, 2)
        await until(lambda: not ledger.kept("a"))
    assert (0, 1) in given
    assert (1, 0) in given[3:]
    assert (2, 0) in given[3:]
    assert {attempt for n, attempt in given if n} == {0}
    assert not ledger.dead_letters


async def test_a_message_that_always_fails_becomes_a_dead_letter_alone(ledger: Ledger) -> None:
    async def fail_two(agent: Scripted, message: Message) -> None:
        await asyncio.sleep(0)
        if message.payload["n"] == 2:
            raise ValueError("no good")

    async with running(ledger, Scripted("a", fail_two, concurrency=4)) as system:
        await send_all(system, 8)
        await until(lambda: not ledger.kept("a"))
        assert len(ledger.dead_letters) == 1
        assert ledger.dead_letters[0].deliveries == 3
        await until(lambda: system.stats().restarts == 3)


async def test_skip_acknowledges_and_who_asked_has_the_error(ledger: Ledger) -> None:
    gates = Gates()
    gates.raises[1] = ValueError("no good")
    agent = Scripted("a", gates, ErrorAction.SKIP, concurrency=2)
    async with running(ledger, agent) as system:
        first, second = asking(system, 0), asking(system, 1)
        await gates.are(0, 1)
        gates.open(1)
        with pytest.raises(AgentError, match="no good"):
            await second
        await until(lambda: len(ledger.kept("a")) == 1)
        gates.open(0)
        assert (await first).payload == {"n": 0}
        await until(lambda: not ledger.kept("a"))


async def test_a_stop_whose_time_is_over_gives_all_back_in_order(ledger: Ledger) -> None:
    gates = Gates()
    agent = Scripted("a", gates, concurrency=3, shutdown_timeout=0.02)
    async with running(ledger, agent) as system:
        await send_all(system, 5)
        await gates.are(0, 1, 2)
    assert len(ledger.kept("a")) == 5
    again = Gates()
    again.open(*range(5))
    other = Scripted("a", again, concurrency=3)
    async with running(ledger, other):
        await until(lambda: not ledger.kept("a"))
    assert attempts(other) == [(n, 0) for n in range(5)]


async def test_a_deferred_answer_settles_its_own_message(ledger: Ledger) -> None:
    kept: dict[int, object] = {}

    async def put_off(agent: Scripted, message: Message) -> None:
        await asyncio.sleep(0)
        kept[message.payload["n"]] = agent.defer()
        await asyncio.sleep(0)

    async with running(ledger, Scripted("a", put_off, concurrency=2)) as system:
        await send_all(system, 2)
        await until(lambda: len(kept) == 2)
        assert len(ledger.kept("a")) == 2
        await kept[1].reply({})  # type: ignore[attr-defined]
        await until(lambda: len(ledger.kept("a")) == 1)
        await kept[0].reply({})  # type: ignore[attr-defined]
        await until(lambda: not ledger.kept("a"))


async def test_with_one_in_hand_the_transport_gives_one(ledger: Ledger) -> None:
    gates = Gates()
    async with running(ledger, Scripted("a", gates)) as system:
        await send_all(system, 3)
        await gates.are(0)
        await asyncio.sleep(0.01)
        assert len(system.get_agent("a").got) == 1
        assert system.stats().agents[0].mailbox_depth == 0
        gates.open(0, 1, 2)
        await until(lambda: not ledger.kept("a"))
