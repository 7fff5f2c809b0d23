"""Ends of nodes: no step of an end is left out because another one fails, or does not return."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, ClassVar

import pytest

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor
from civitas.errors import (
    AgentError,
    CivitasError,
    MessageRoutingError,
    NotConnectedError,
    OutcomeUnknownError,
    SpawnError,
)
from civitas.process import ProcessStatus
from civitas.transport import InProcessTransport
from support.agents import SOON, Gate, Scripted, echo, runtime, until
from support.raising import PanicError


class Stopping(Scripted):
    """Says that it has stopped, and can't start where the test says so."""

    stopped: ClassVar[list[str]] = []

    def __init__(self, name: str, *arguments: Any, broken: bool = False, **kw: Any) -> None:
        super().__init__(name, *arguments, **kw)
        self.broken = broken
        self.leaving = asyncio.Event()
        self.may_leave = asyncio.Event()
        self.may_leave.set()

    async def on_start(self) -> None:
        if self.broken:
            raise ValueError("can't start")

    async def on_stop(self) -> None:
        self.leaving.set()
        await self.may_leave.wait()
        self.stopped.append(self.name)


@pytest.fixture(autouse=True)
def _nobody_has_stopped() -> None:
    Stopping.stopped = []


async def test_a_stop_during_the_cleanup_of_a_failed_start_waits_for_it_and_loses_no_error() -> (
    None
):
    slow = Stopping("slow")
    slow.may_leave.clear()
    inner = Supervisor("inner", [Stopping("first"), slow, Stopping("broken", broken=True)])
    r = Runtime(Supervisor("root", [inner]))
    starting = asyncio.create_task(r.start())
    await slow.leaving.wait()
    stopping = asyncio.create_task(r.stop())
    await asyncio.sleep(0)
    slow.may_leave.set()
    with pytest.raises(SpawnError, match="can't start"):
        await asyncio.wait_for(starting, SOON)
    await asyncio.wait_for(stopping, SOON)
    assert isinstance(r.failure, SpawnError)
    assert Stopping.stopped == ["slow", "first"]


async def test_a_start_that_is_cancelled_while_it_is_undone_is_undone_all_the_same() -> None:
    slow = Stopping("slow")
    slow.may_leave.clear()
    r = Runtime(Supervisor("root", [Stopping("first"), slow, Stopping("broken", broken=True)]))
    starting = asyncio.create_task(r.start())
    await slow.leaving.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    slow.may_leave.set()
    assert await asyncio.wait_for(r.wait(), SOON) == 1
    assert Stopping.stopped == ["slow", "first"]


class Polite(AgentProcess):
    """Asks another agent at its end, and keeps what it hears."""

    heard: BaseException | None = None

    async def on_stop(self) -> None:
        try:
            await self.ask("other", {})
        except (CivitasError, TimeoutError) as error:
            self.heard = error


async def test_who_asks_a_stopped_agent_at_its_own_end_hears_so_at_once() -> None:
    polite = Polite("polite", shutdown_timeout=10 * SOON)
    r = Runtime(Supervisor("root", [polite, Stopping("other")]))  # which stops first
    await r.start()
    await asyncio.wait_for(r.stop(), SOON)
    assert isinstance(polite.heard, MessageRoutingError)
    assert "has stopped" in str(polite.heard)


class Failing(InProcessTransport):
    """Raises where the test says, and notes that it was stopped."""

    def __init__(self, *where: str) -> None:
        super().__init__()
        self.where = where
        self.stopped = False

    async def unsubscribe(self, address: str) -> None:
        if "unsubscribe" in self.where:
            raise PanicError("no")
        await super().unsubscribe(address)

    async def stop(self) -> None:
        self.stopped = True
        if "hang" in self.where:
            await asyncio.Event().wait()
        if "stop" in self.where:
            raise PanicError("no")
        await super().stop()


@pytest.mark.parametrize("where", ["unsubscribe", "stop", "hang"])
@pytest.mark.parametrize("broken", [False, True])
async def test_a_step_that_fails_leaves_out_no_other(
    where: str, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("civitas._node.node._TRANSPORT_TIMEOUT", 0.05)
    transport = Failing(where)
    agents = Stopping("a"), Stopping("b"), Stopping("c", broken=broken)
    r = Runtime(Supervisor("root", agents), transport=transport)
    if broken:
        with pytest.raises(SpawnError, match="can't start"):
            await asyncio.wait_for(r.start(), SOON)
    else:
        await r.start()
    await asyncio.wait_for(r.stop(), SOON)
    assert transport.stopped
    assert Stopping.stopped[-2:] == ["b", "a"]


async def test_a_setting_that_becomes_wrong_while_an_agent_runs_holds_up_no_stop() -> None:
    async def spoil(agent: Scripted, message: Message) -> Message:
        agent.shutdown_timeout = agent.max_retries = None  # type: ignore[assignment]
        return agent.reply({})

    async with runtime(Stopping("a"), Stopping("b", spoil), Stopping("c")) as r:
        await r.ask("b", {}, timeout=SOON)
        await asyncio.wait_for(r.stop(), SOON)
    assert Stopping.stopped == ["c", "b", "a"]


@pytest.mark.parametrize("action", [None, ErrorAction.STOP])
async def test_what_was_left_behind_can_not_stop_the_one_in_its_place(
    monkeypatch: pytest.MonkeyPatch, action: ErrorAction | None
) -> None:
    monkeypatch.setattr("civitas._agents.slot.CANCEL_GRACE", 0.01)
    entered, opened, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def ignore(agent: Scripted, message: Message) -> Message:
        if message.reply_to is not None:
            return agent.reply({})
        entered.set()
        while not opened.is_set():
            with suppress(asyncio.CancelledError):
                await opened.wait()
        left.set()
        if action is not None:
            raise ValueError("too late")
        agent.stop()
        return agent.reply({})

    async def crash(agent: Scripted, message: Message) -> None:
        raise ValueError("crash")

    stubborn = Scripted("stubborn", ignore, action, shutdown_timeout=0.01)
    async with runtime(stubborn, Scripted("w", crash), strategy="ONE_FOR_ALL") as r:
        await r.send("stubborn", {})
        await entered.wait()
        await r.send("w", {})
        await until(lambda: r.get_agent("stubborn") is not stubborn)
        await r.ask("stubborn", {}, timeout=SOON)
        opened.set()
        await left.wait()
        assert (await r.ask("stubborn", {}, timeout=SOON)).payload == {}
        assert stubborn.status is ProcessStatus.STOPPED
        fresh: Any = r.get_agent("stubborn")
        assert fresh.status is ProcessStatus.RUNNING


async def test_an_on_start_that_is_no_coroutine_and_raises_what_a_future_can_not() -> None:
    class Odd(AgentProcess):
        def on_start(self) -> Any:  # type: ignore[override]
            raise StopIteration

    with pytest.raises(SpawnError, match="StopIteration"):
        await asyncio.wait_for(runtime(Odd("a")).start(), SOON)


async def test_a_message_that_a_handler_has_spoiled_is_accounted_for_all_the_same() -> None:
    gate = Gate()

    async def spoil(agent: Scripted, message: Message) -> None:
        message.sender = message.type = None  # type: ignore[assignment]
        await gate(agent, message)

    async with runtime(Scripted("a", spoil, shutdown_timeout=0.01)) as r:
        await r.send("a", {})
        await gate.entered.wait()
        await asyncio.wait_for(r.stop(), SOON)
        assert r.stats().dropped == {"cancelled while it was handled": 1}


async def test_a_node_that_has_ended_says_so_and_why() -> None:
    r = runtime(Scripted("a", echo), max_restarts=0)
    await r.start()
    r.components.config.failed(ValueError("a defect"))
    await asyncio.wait_for(r.wait(), SOON)
    for verb in (r.ask, r.send, r.broadcast):
        with pytest.raises(NotConnectedError, match="the runtime has ended: ValueError: a defect"):
            await verb("a", {})


# --- answers --------------------------------------------------------------------------------------


async def test_whatever_message_a_handler_returns_answers_who_asked() -> None:
    async def answer(agent: Scripted, message: Message) -> Message:
        match message.payload.get("with"):
            case "the request":
                return message
            case "another":
                return await agent.ask("b", {"n": 1})
            case "one for somebody else":
                return Message(recipient="b", payload={"n": 2})
            case _:
                return agent.reply({"n": 3})

    b = Scripted("b", echo)
    async with runtime(Scripted("a", answer), b) as r:
        for what, payload in {
            "the request": {"with": "the request"},
            "another": {"echo": {"n": 1}, "from": "b"},
            "one for somebody else": {"n": 2},
            "its own": {"n": 3},
        }.items():
            reply = await r.ask("a", {"with": what}, timeout=SOON)
            assert (reply.payload, reply.sender) == (payload, "a")
        assert len(b.got) == 1
        assert r.stats().dropped == {}


async def test_a_frame_whose_answer_would_go_to_an_agent_is_answered_to_nobody() -> None:
    agents = Scripted("a", echo), Scripted("b")
    async with runtime(*agents) as r:
        components = r.components
        for reply_to in ("a", "b"):
            message = Message(recipient="a", reply_to=reply_to)
            frame = components.serializer.serialize(message)
            await components.transport.publish("a", components.bus.codec.numbered(0, frame))
        await r.ask("a", {}, timeout=SOON)
        assert len(agents[0].got) == 3
        assert agents[1].got == []


async def test_an_ask_that_is_under_way_when_its_node_fails_may_have_been_executed() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate, shutdown_timeout=0.01)) as r:
        asking = asyncio.create_task(r.ask("a", {}, timeout=SOON))
        await gate.entered.wait()
        r.components.config.failed(ValueError("a defect"))
        with pytest.raises((AgentError, OutcomeUnknownError)):
            await asking
