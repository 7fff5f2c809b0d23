"""Deferred answers within one node: how many, how long, and over a durable transport."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import ErrorAction, Message
from civitas.errors import (
    AgentError,
    ConfigurationError,
    MessageValidationError,
    NotConnectedError,
)
from support.agents import SOON, Scripted, echo, runtime, until
from support.ledger import Ledger, running
from support.virtual_time import on_virtual_time


async def deferring(agent: Scripted, message: Message) -> None:
    agent.state.setdefault("open", []).append(agent.defer())


async def test_an_agent_has_at_most_so_many_deferred_answers_open_as_its_mailbox_is_large() -> None:
    async with runtime(Scripted("a", deferring, ErrorAction.SKIP, mailbox_size=2)) as r:
        asks = [asyncio.create_task(r.ask("a", {}, timeout=SOON)) for _ in range(2)]
        await until(lambda: r.stats().agents[0].handled == 2)
        with pytest.raises(AgentError, match="MailboxFullError: .*2 deferred answers open"):
            await r.ask("a", {}, timeout=SOON)
        agent: Any = r.get_agent("a")
        for later in agent.state["open"]:
            await later.reply({})
        await asyncio.gather(*asks)


@on_virtual_time
async def test_those_whose_asker_has_given_up_make_room_and_hold_up_no_stop() -> None:
    async with runtime(Scripted("a", deferring, mailbox_size=1, shutdown_timeout=SOON)) as r:
        agent: Any = r.get_agent("a")
        with pytest.raises(TimeoutError):
            await r.ask("a", {}, timeout=0.02)
        await until(lambda: r.stats().dropped == {"expired before it was answered": 1})
        (first,) = agent.state["open"]
        assert first.done
        await first.reply({})  # nobody could know
        asking = asyncio.create_task(r.ask("a", {}, timeout=0.05))
        await until(lambda: len(agent.state["open"]) == 2)
        began = asyncio.get_running_loop().time()
        await r.stop()
        assert asyncio.get_running_loop().time() - began < SOON / 2
        with pytest.raises((TimeoutError, NotConnectedError)):  # its time and the stop end together
            await asking


@pytest.mark.parametrize("wrong", [7, None, object(), int])
async def test_what_is_no_error_and_what_is_no_payload_settle_nothing(wrong: Any) -> None:
    agent = Scripted("a", deferring)
    async with runtime(agent) as r:
        asking = asyncio.create_task(r.ask("a", {}, timeout=SOON))
        await until(lambda: bool(agent.state.get("open")))
        (later,) = agent.state["open"]
        with pytest.raises(TypeError, match="takes an exception, or a text"):
            await later.fail(wrong)
        with pytest.raises(MessageValidationError):
            await later.reply(wrong)
        assert not later.done
        await later.fail(KeyError)
        with pytest.raises(AgentError, match="KeyError"):
            await asking


async def test_what_a_deferred_answer_needs_is_still_sent_while_the_node_stops() -> None:
    jobs: list[asyncio.Task[None]] = []
    opened = asyncio.Event()

    async def start(agent: Scripted, message: Message) -> None:
        later = agent.defer()

        async def job() -> None:
            await opened.wait()
            await later.reply((await agent.ask("b", {}, timeout=SOON)).payload)

        jobs.append(asyncio.create_task(job()))

    async with runtime(Scripted("b", echo), Scripted("a", start)) as r:
        asking = asyncio.create_task(r.ask("a", {}, timeout=SOON))
        await until(lambda: bool(jobs))
        stopping = asyncio.create_task(r.stop())
        await until(lambda: r.components.bus.closing)
        opened.set()
        assert (await asking).payload["from"] == "b"
        await asyncio.wait_for(stopping, SOON)


async def defer_twice(agent: Scripted, message: Message) -> None:
    agent.defer()
    agent.defer()


async def test_a_message_is_deferred_once_and_only_while_it_is_handled() -> None:
    agent = Scripted("a", defer_twice)
    async with runtime(agent, Scripted("b", echo)) as r:
        with pytest.raises(RuntimeError, match="there is none now"):
            agent.defer()
        with pytest.raises(AgentError, match="RuntimeError: .*called for this message before"):
            await r.ask("a", {}, timeout=SOON)


async def test_a_deferred_answer_that_outlives_its_event_loop_disturbs_nobody() -> None:
    kept: list[Any] = []

    async def main() -> None:
        async def keep(agent: Scripted, message: Message) -> None:
            kept.append(agent.defer())

        r = runtime(Scripted("a", keep))
        await r.start()
        await r.send("a", {})
        await until(lambda: bool(kept))

    await asyncio.to_thread(asyncio.run, main())
    kept.clear()


@pytest.mark.parametrize("retry", [False, True])
async def test_each_attempt_may_defer(retry: bool) -> None:
    async def second(agent: Scripted, message: Message) -> None:
        agent.state.setdefault("open", []).append(agent.defer())
        if message.attempt == 0:
            raise ValueError

    action = ErrorAction.RETRY if retry else ErrorAction.SKIP
    agent = Scripted("a", second, action)
    async with runtime(agent) as r:
        asking = asyncio.create_task(r.ask("a", {}, timeout=SOON))
        await until(lambda: len(agent.state.get("open", [])) == 1 + retry)
        if retry:
            await agent.state["open"][1].reply({"attempt": 1})
            assert (await asking).payload == {"attempt": 1}
        else:
            with pytest.raises(AgentError, match="ValueError"):
                await asking


# --- over a durable transport ---------------------------------------------------------------------


async def test_a_durable_message_is_kept_until_its_answer_is_given() -> None:
    ledger, agent = Ledger(), Scripted("a", deferring)
    async with running(ledger, agent) as r:
        await r.send("a", {})
        await until(lambda: bool(agent.state.get("open")))
        assert len(ledger.kept("a")) == 1
        await agent.state["open"][0].reply({})
        await until(lambda: not ledger.kept("a"))


async def test_a_durable_message_whose_answer_fails_is_given_again() -> None:
    ledger, agent = Ledger(), Scripted("a", deferring)
    async with running(ledger, agent) as r:
        await r.send("a", {})
        await until(lambda: bool(agent.state.get("open")))
        await agent.state["open"][0].fail(ValueError("not now"))
        await until(lambda: len(agent.state["open"]) == 2)
        assert agent.got[1].attempt == 1
        await agent.state["open"][1].reply({})
        await until(lambda: not ledger.kept("a"))


async def test_a_durable_message_that_a_stop_cuts_off_is_given_again_uncounted() -> None:
    ledger, first = Ledger(), Scripted("a", deferring, shutdown_timeout=0.01)
    async with running(ledger, first) as r:
        await r.send("a", {})
        await until(lambda: bool(first.state.get("open")))
    assert len(ledger.kept("a")) == 1
    second = Scripted("a")
    async with running(ledger, second):
        await until(lambda: bool(second.got))
    assert second.got[0].attempt == 0


async def test_a_deferred_answer_is_given_in_the_event_loop_of_its_node() -> None:
    agent = Scripted("a", deferring)
    async with runtime(agent) as r:
        asking = asyncio.create_task(r.ask("a", {}, timeout=SOON))
        await until(lambda: bool(agent.state.get("open")))
        (later,) = agent.state["open"]
        for elsewhere in (later.reply({}), later.fail("no")):
            with pytest.raises(ConfigurationError, match="run_coroutine_threadsafe"):
                await asyncio.to_thread(asyncio.run, elsewhere)
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(
            lambda: asyncio.run_coroutine_threadsafe(later.reply({"here": 1}), loop).result(SOON)
        )
        assert (await asking).payload == {"here": 1}
