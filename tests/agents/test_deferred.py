"""Deferred answers: given after the handler has returned, once, or for the agent by the runtime."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from civitas import Deferred, Message
from civitas.errors import AgentError, SerializationError, UnansweredError
from support.agents import SOON, Scripted, until


class Later(Scripted):
    """Defers each answer, except to a message that says what else to do."""

    def __init__(self, name: str, **kw: Any) -> None:
        super().__init__(name, **kw)
        self.open: list[Deferred] = []

    async def handle(self, message: Message) -> Message | None:
        self.got.append(message)
        match message.payload.get("do"):
            case "crash":
                raise ValueError("no good")
            case "defer and crash":
                self.open.append(self.defer())
                raise ValueError("no good")
            case "defer and answer":
                self.open.append(self.defer())
                return self.reply({"at": "once"})
            case "forget":
                self.defer()
            case _:
                self.open.append(self.defer())
        return None


async def asked(s: Any, count: int, **payload: Any) -> list[asyncio.Task[Message]]:
    """Ask so often, and wait until all are set aside."""
    asks = [asyncio.create_task(s.ask("a", payload | {"n": n}, timeout=SOON)) for n in range(count)]
    await until(lambda: len(s.agent("a").open) == (1 if s.place.at_least_once else count))
    return asks


async def test_answers_are_given_later_in_any_order(system: Any) -> None:
    async with system(Later("a")) as s:
        count = 1 if s.place.at_least_once else 3  # one at a time is given there
        asks = await asked(s, count)
        for later, message in reversed(list(zip(s.agent("a").open, s.agent("a").got, strict=True))):
            assert not later.done
            await later.reply({"n": message.payload["n"]})
            assert later.done
        assert [(await each).payload["n"] for each in asks] == list(range(count))
        assert (await asks[0]).sender == "a"
        assert s.dropped == {}


async def test_a_deferred_answer_may_be_an_error(system: Any) -> None:
    async with system(Later("a")) as s:
        for number, (error, text) in enumerate([(KeyError("k"), "KeyError: 'k'"), ("why", "why")]):
            asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
            await until(lambda n=number: len(s.agent("a").open) == n + 1)
            await s.agent("a").open[-1].fail(error)
            with pytest.raises(AgentError, match=text):
                await asking
        assert s.restarts == 0


async def test_an_answer_is_given_once(system: Any) -> None:
    async with system(Later("a")) as s:
        (asking,) = await asked(s, 1)
        (later,) = s.agent("a").open
        await later.reply({"first": True})
        for attempt in (later.reply({"second": True}), later.fail("second")):
            with pytest.raises(RuntimeError, match="can't be given any more: it was given before"):
                await attempt
        assert (await asking).payload == {"first": True}
        assert s.dropped == {}


async def test_an_answer_that_can_not_be_sent_is_an_error_to_both_sides(system: Any) -> None:
    async with system(Later("a")) as s:
        (asking,) = await asked(s, 1)
        with pytest.raises(SerializationError, match=r"payload\.x"):
            await s.agent("a").open[0].reply({"x": object()})
        with pytest.raises(AgentError, match=r"SerializationError: payload\.x"):
            await asking


async def test_an_answer_that_nobody_can_give_any_more_is_an_error_at_once(system: Any) -> None:
    async with system(Later("a")) as s:
        with pytest.raises(UnansweredError, match="forgot it"):
            await s.ask("a", {"do": "forget"}, timeout=SOON)
        (asking,) = await asked(s, 1)
        s.agent("a").open.clear()
        gc.collect()
        with pytest.raises(UnansweredError, match="forgot it"):
            await asking


async def test_what_a_handler_returns_or_raises_after_all_is_the_answer(system: Any) -> None:
    async with system(Later("a")) as s:
        agent = s.agent("a")
        reply = await s.ask("a", {"do": "defer and answer"}, timeout=SOON)
        assert reply.payload == {"at": "once"}
        with pytest.raises(AgentError, match="ValueError: no good"):
            await s.ask("a", {"do": "defer and crash"}, timeout=SOON)
        for later in agent.open:
            with pytest.raises(RuntimeError, match="returned an answer, or raised"):
                await later.reply({})
        assert s.dropped == {}


async def test_a_crash_answers_what_the_agent_has_deferred(system: Any) -> None:
    async with system(Later("a")) as s:
        (asking,) = await asked(s, 1)
        agent = s.agent("a")
        if s.place.at_least_once:  # its mailbox holds nothing else: its task is cancelled instead
            next(t for t in asyncio.all_tasks() if t.get_name() == "a").cancel()
            text = "cancelled by somebody else"
        else:
            await s.send("a", {"do": "crash"})
            text = "ValueError: no good"
        with pytest.raises(AgentError, match=text):
            await asking
        with pytest.raises(RuntimeError, match="its agent has ended"):
            await agent.open[0].reply({})
        await until(lambda: s.restarts == 1)


async def test_a_stop_waits_for_deferred_answers(system: Any) -> None:
    async with system(Later("a")) as s:
        (asking,) = await asked(s, 1)
        later = s.agent("a").open[0]
        stopping = asyncio.create_task(s.node_of("a").stop())
        await until(lambda: s.node_of("a").components.bus.closing)
        assert not stopping.done()
        await later.reply({"in": "time"})
        assert (await asking).payload == {"in": "time"}
        await asyncio.wait_for(stopping, SOON)
        assert s.dropped == {}


async def test_a_stop_whose_time_is_over_answers_them_with_an_error(system: Any) -> None:
    async with system(Later("a", shutdown_timeout=0.05)) as s:
        (asking,) = await asked(s, 1)
        await asyncio.wait_for(s.node_of("a").stop(), SOON)
        with pytest.raises(AgentError, match="stopped before it could answer"):
            await asking
        assert s.dropped == {"its agent ended before it answered": 1}


async def test_an_agent_that_says_that_it_is_done_answers_first(system: Any) -> None:
    async with system(Later("a"), Scripted("b")) as s:
        (asking,) = await asked(s, 1)
        agent = s.agent("a")
        agent.stop()
        await agent.open[0].reply({"in": "time"})
        assert (await asking).payload == {"in": "time"}
        await until(lambda: s.node_of("b").components.registry.lookup("a") is None)


async def test_a_message_that_nobody_asked_may_be_deferred_too(system: Any) -> None:
    async with system(Later("a")) as s:
        await s.send("a", {})
        await until(lambda: bool(s.agent("a").open))
        await s.agent("a").open[0].reply({"for": "nobody"})
        (asking,) = await asyncio.gather(asked_again(s))
        assert asking.payload == {}
        assert s.dropped == {}


async def asked_again(s: Any) -> Message:
    before = len(s.agent("a").open)
    asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
    await until(lambda: len(s.agent("a").open) > before)
    await s.agent("a").open[-1].reply({})
    return await asking
