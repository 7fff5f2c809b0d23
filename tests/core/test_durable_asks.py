"""Agents on an at-least-once transport: what is asked, and what a stop makes of it."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from civitas import ErrorAction, Message, Worker, envelope
from civitas.errors import (
    AgentError,
    IdentityError,
    MessageRoutingError,
    NotConnectedError,
    OutcomeUnknownError,
)
from civitas.messages import REPLY_PREFIX
from support.agents import SOON, Gate, Scripted, echo, fail, until
from support.ledger import Ledger, LedgerTransport, attempts, running


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


# --- asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [ErrorAction.ESCALATE, ErrorAction.STOP, ErrorAction.RETRY])
async def test_a_question_whose_asker_was_told_of_the_error_is_done_with(
    ledger: Ledger, action: ErrorAction
) -> None:
    async with running(ledger, Scripted("a", fail, action), Scripted("b")) as runtime:
        with pytest.raises(AgentError, match="no good"):
            await runtime.ask("a", {}, timeout=SOON)
        await until(lambda: not ledger.kept("a"))
        assert ledger.dead_letters == []


class Mute(LedgerTransport):
    """Can't carry answers."""

    async def publish(self, address: str, data: bytes) -> None:
        if address.startswith(REPLY_PREFIX):
            raise NotConnectedError("no connection")
        await super().publish(address, data)


@pytest.mark.parametrize("script", [echo, fail])
async def test_a_question_whose_asker_could_not_be_told_is_given_again(
    ledger: Ledger, script: Any
) -> None:
    async with running(ledger, Scripted("a", script), transport=Mute(ledger)) as runtime:
        asking = asyncio.create_task(runtime.ask("a", {}, timeout=SOON))
        await until(lambda: len(ledger.dead_letters) == 1)
        asking.cancel()
        await asyncio.wait((asking,))


async def test_a_question_that_its_agent_leaves_behind_is_answered_with_an_error(
    ledger: Ledger,
) -> None:
    gate = Gate()

    async def leave(agent: Scripted, message: Message) -> None:
        await gate(agent, message)
        agent.stop()

    async with running(ledger, Scripted("a", leave), Scripted("b")) as runtime:
        await runtime.send("a", {})
        await gate.entered.wait()
        asking = [asyncio.create_task(runtime.ask("a", {}, timeout=SOON)) for _ in range(3)]
        await until(lambda: len(ledger.kept("a")) == 4)
        gate.opened.set()
        for error in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(error, MessageRoutingError | OutcomeUnknownError)
            assert "has stopped" in str(error)


# --- the end --------------------------------------------------------------------------------------


async def test_an_agent_that_is_done_leaves_the_rest_where_it_is(ledger: Ledger) -> None:
    async def leave(agent: Scripted, message: Message) -> None:
        agent.stop()

    first, second = Scripted("a", leave), Scripted("a")
    async with running(ledger, first, Scripted("b")) as runtime:
        for n in range(5):
            await runtime.send("a", {"n": n})
        await until(lambda: not runtime.components.registry.has("a"))
        assert len(ledger.kept("a")) == 4
        with pytest.raises(MessageRoutingError):
            await runtime.send("a", {})
        assert runtime.stats().dropped == {}
    async with running(ledger, second):
        await until(lambda: not ledger.kept("a"))
    assert attempts(second) == [(n, 0) for n in range(1, 5)]


async def test_a_message_in_hand_that_is_cut_off_by_a_stop_was_not_delivered(
    ledger: Ledger,
) -> None:
    gate, second = Gate(), Scripted("a")
    async with running(ledger, Scripted("a", gate, shutdown_timeout=0.05)) as runtime:
        for n in range(3):
            await runtime.send("a", {"n": n})
        await gate.entered.wait()
        await runtime.stop()
        assert runtime.stats().dropped == {}
        assert len(ledger.kept("a")) == 3
    async with running(ledger, second):
        await until(lambda: not ledger.kept("a"))
    assert attempts(second) == [(n, 0) for n in range(3)]


async def test_a_question_in_hand_that_is_cut_off_is_answered_and_done_with(
    ledger: Ledger,
) -> None:
    gate = Gate()
    async with running(ledger, Scripted("a", gate, shutdown_timeout=0.05)) as runtime:
        asking = asyncio.create_task(runtime.ask("a", {}, timeout=SOON))
        await gate.entered.wait()
        await runtime.stop()
        with pytest.raises(AgentError, match="stopped before it could answer"):
            await asking
        assert ledger.kept("a") == []
        assert runtime.stats().dropped == {"cancelled while it was handled": 1}


async def test_a_stop_does_not_wait_for_what_the_transport_still_has(ledger: Ledger) -> None:
    gate = Gate()
    async with running(ledger, Scripted("a", gate), Scripted("idle")) as runtime:
        for n in range(1_000):
            await runtime.send("a", {"n": n})
        await gate.entered.wait()
        stopping = asyncio.create_task(runtime.stop())
        gate.opened.set()
        await asyncio.wait_for(stopping, SOON)
        assert runtime.stats().agents[0].handled == 1
        assert runtime.stats().dropped == {}
    assert len(ledger.kept("a")) == 999


async def test_agents_that_rest_take_nothing_more_once_the_stop_has_begun(ledger: Ledger) -> None:
    quick = Scripted("quick")
    async with running(ledger, quick) as runtime:
        transport, origin = runtime.components.transport, runtime.components.origin
        body = runtime.components.serializer.serialize(Message())
        stopping = asyncio.create_task(runtime.stop())
        await asyncio.sleep(0)
        await transport.publish("quick", envelope.seal(body, "msgpack", origin))
        await asyncio.wait_for(stopping, SOON)
    assert quick.got == []
    assert len(ledger.kept("quick")) == 1


async def test_what_a_handler_asks_is_answered_while_its_node_stops(ledger: Ledger) -> None:
    gate = Gate()

    async def consult(agent: Scripted, message: Message) -> None:
        await gate(agent, message)
        answers = [await agent.ask("oracle", {"n": n}, timeout=SOON) for n in range(5)]
        agent.state["answers"] = [answer.payload["echo"]["n"] for answer in answers]

    asking = Scripted("a", consult)
    async with running(ledger, asking, Scripted("oracle", echo)) as runtime:
        await runtime.send("a", {})
        await gate.entered.wait()
        stopping = asyncio.create_task(runtime.stop())
        gate.opened.set()
        await asyncio.wait_for(stopping, SOON)
    assert asking.state["answers"] == list(range(5))
    assert ledger.kept("a") == ledger.kept("oracle") == []


async def test_a_question_that_comes_too_late_for_a_stopping_node_is_answered_at_once(
    ledger: Ledger,
) -> None:
    first_gate, late_gate = Gate(), Gate()

    async def pass_on(agent: Scripted, message: Message) -> None:
        await first_gate(agent, message)
        await agent.send("late", {})
        await late_gate.entered.wait()

    async def ask_when_the_first_one_rests(agent: Scripted, message: Message) -> None:
        await late_gate(agent, message)
        with pytest.raises(MessageRoutingError, match="'oracle'.*its process is stopping"):
            await agent.ask("oracle", {}, timeout=SOON)
        agent.state["told"] = True

    late = Scripted("late", ask_when_the_first_one_rests)
    agents = [late, Scripted("first", pass_on), Scripted("oracle", echo)]
    async with running(ledger, *agents) as runtime:
        bus = runtime.components.bus
        await runtime.send("first", {})
        await first_gate.entered.wait()
        stopping = asyncio.create_task(runtime.stop())
        await until(lambda: bus.closing)
        assert not bus.answers.rejecting
        first_gate.opened.set()
        await until(lambda: bus.answers.rejecting)
        late_gate.opened.set()
        await asyncio.wait_for(stopping, SOON)
        assert runtime.stats().dropped == {"the recipient has stopped": 1}
    assert late.state["told"]
    assert ledger.kept("oracle") == []


async def test_an_agent_that_does_not_come_to_rest_in_time_keeps_no_other_at_work(
    ledger: Ledger,
) -> None:
    stuck, busy = Gate(), Scripted("busy")
    agents = [Scripted("stuck", stuck, shutdown_timeout=0.1), busy]
    async with running(ledger, *agents) as runtime:

        async def again(agent: Scripted, message: Message) -> None:
            await agent.send("busy", {})

        busy.script = again
        for name in ("stuck", "busy"):
            await runtime.send(name, {})
        await stuck.entered.wait()
        began = asyncio.get_running_loop().time()
        await runtime.stop()
        assert asyncio.get_running_loop().time() - began < busy.shutdown_timeout / 3
    assert len(ledger.kept("busy")) == 1


async def test_what_was_processed_last_before_the_end_is_not_given_again(ledger: Ledger) -> None:
    async def leave(agent: Scripted, message: Message) -> None:
        agent.stop()

    async with running(ledger, Scripted("a", leave)) as runtime:
        await runtime.send("a", {})
        assert await asyncio.wait_for(runtime.wait(), SOON) == 0
    assert ledger.kept("a") == []


async def test_a_stopped_node_leaves_no_task_and_no_complaint(ledger: Ledger) -> None:
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    tasks = asyncio.all_tasks()
    gate = Gate()
    agents = [Scripted("gate", gate, shutdown_timeout=0.05), Scripted("fails", fail)]
    async with running(ledger, *agents, max_restarts=0) as runtime:
        for _ in range(3):
            for name in ("gate", "fails"):
                await runtime.send(name, {})
        await asyncio.wait_for(runtime.wait(), SOON)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    gc.collect()
    assert told == []


async def test_a_node_that_is_refused_its_names_reads_nothing_of_what_is_kept(
    ledger: Ledger,
) -> None:
    late = ledger.components(process="late", is_primary=False)
    asked_for: list[str] = []
    subscribe = late.transport.subscribe

    async def noting(address: str, handler: Any) -> None:
        asked_for.append(address)
        await subscribe(address, handler)

    late.transport.subscribe = noting  # type: ignore[method-assign]
    early = ledger.components(process="early", is_primary=False)
    async with Worker([Scripted("a", echo)], components=early):
        with pytest.raises(IdentityError, match="'a'"):
            await Worker([Scripted("a", echo)], components=late).start()
    assert asked_for
    assert "a" not in asked_for
