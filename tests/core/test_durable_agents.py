"""Agents on an at-least-once transport: what is acknowledged, what is given back, and when."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor, Worker, envelope
from civitas.components import build_component_set
from civitas.errors import AgentError, IdentityError, MessageRoutingError, NotConnectedError
from civitas.messages import REPLY_PREFIX
from civitas.process import ProcessStatus
from support.agents import SOON, Gate, Scripted, echo, fail, until
from support.ledger import Ledger, LedgerTransport


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@asynccontextmanager
async def running(
    ledger: Ledger, *agents: AgentProcess, transport: Any = None, **supervision: Any
) -> AsyncIterator[Runtime]:
    components = build_component_set(transport or ledger.transport())
    supervision = {"backoff_base": 0.0, "max_restarts": 100} | supervision
    async with Runtime(Supervisor("root", agents, **supervision), components=components) as runtime:
        yield runtime


def attempts(agent: Scripted) -> list[tuple[int, int]]:
    return [(message.payload["n"], message.attempt) for message in agent.got]


# --- acknowledged ---------------------------------------------------------------------------------


async def test_a_message_is_kept_until_the_agent_has_processed_it(ledger: Ledger) -> None:
    gate = Gate()
    async with running(ledger, Scripted("a", gate)) as runtime:
        await runtime.send("a", {})
        await gate.entered.wait()
        assert len(ledger.kept("a")) == 1
        gate.opened.set()
        await until(lambda: not ledger.kept("a"))
        stats = runtime.stats()
    assert (stats.sent, stats.delivered, stats.dropped) == (1, 1, {})


async def test_frames_are_not_numbered_and_wait_for_no_credit(ledger: Ledger) -> None:
    gate = Gate()
    async with running(ledger, Scripted("a", gate)) as runtime:
        for n in range(1_000):
            await runtime.send("a", {"n": n})
        assert {envelope.open(frame).number for frame in ledger.kept("a")} == {0}
        gate.opened.set()
        await until(lambda: not ledger.kept("a"))


async def test_a_message_that_is_skipped_is_done_with(ledger: Ledger) -> None:
    agent = Scripted("a", fail, ErrorAction.SKIP)
    async with running(ledger, agent) as runtime:
        await runtime.send("a", {"n": 1})
        await until(lambda: not ledger.kept("a"))
        assert attempts(agent) == [(1, 0)]
        assert ledger.dead_letters == []


async def test_a_message_that_has_expired_is_done_with_and_counted(ledger: Ledger) -> None:
    gate = Gate()
    async with running(ledger, Scripted("a", gate)) as runtime:
        await runtime.send("a", {})
        await gate.entered.wait()
        with pytest.raises(TimeoutError):
            await runtime.ask("a", {}, timeout=0.01)
        assert len(ledger.kept("a")) == 2
        gate.opened.set()
        await until(lambda: not ledger.kept("a"))
        assert runtime.stats().dropped == {"expired before it was handled": 1}


async def test_an_answer_is_sent_before_its_question_is_done_with(ledger: Ledger) -> None:
    kept: list[int] = []

    class Watched(LedgerTransport):
        async def publish(self, address: str, data: bytes) -> None:
            if address.startswith(REPLY_PREFIX):
                kept.append(len(ledger.kept("a")))
            await super().publish(address, data)

    async with running(ledger, Scripted("a", echo), transport=Watched(ledger)) as runtime:
        await runtime.ask("a", {}, timeout=SOON)
    assert kept == [1]


# --- given back -----------------------------------------------------------------------------------


async def test_a_message_that_crashes_its_agent_is_given_again_and_then_no_more(
    ledger: Ledger,
) -> None:
    seen: list[tuple[int, int]] = []

    async def fail_on_one(agent: Scripted, message: Message) -> None:
        seen.append((message.payload["n"], message.attempt))
        if message.payload["n"] == 1:
            raise ValueError("no good")

    async with running(ledger, Scripted("a", fail_on_one)) as runtime:
        for n in range(3):
            await runtime.send("a", {"n": n})
        await until(lambda: not ledger.kept("a"))
        assert runtime.stats().restarts == 2
        assert runtime.stats().delivered == 4
    assert seen == [(0, 0), (1, 0), (1, 1), (2, 0)]
    [dead] = ledger.dead_letters
    assert dead.reason == "agent 'a' failed to process it: ValueError: no good"


async def test_retries_of_the_agent_are_attempts_of_one_delivery(ledger: Ledger) -> None:
    agent = Scripted("a", fail, ErrorAction.RETRY, max_retries=2)
    got = agent.got
    again = Scripted("a", fail, ErrorAction.RETRY, max_retries=2)
    agent.respawn = lambda: again  # type: ignore[method-assign]
    async with running(ledger, agent) as runtime:
        await runtime.send("a", {"n": 1})
        await until(lambda: not ledger.kept("a"))
    assert len(got) == len(again.got) == 3
    assert (got[0].attempt, again.got[0].attempt) == (2, 3)  # each object's last, of one message


async def test_a_message_that_stops_its_agent_is_left_for_the_next_one(ledger: Ledger) -> None:
    first, second = Scripted("a", fail, ErrorAction.STOP), Scripted("a")
    async with running(ledger, first, Scripted("b")) as runtime:
        await runtime.send("a", {"n": 1})
        await until(lambda: not runtime.components.registry.has("a"))
        assert len(ledger.kept("a")) == 1
        assert runtime.stats().dropped == {}
    async with running(ledger, second):
        await until(lambda: not ledger.kept("a"))
    assert attempts(second) == [(1, 1)]


async def test_what_can_not_be_read_is_a_dead_letter_at_once_and_counted_once(
    ledger: Ledger,
) -> None:
    agent = Scripted("a")
    async with running(ledger, agent) as runtime:
        transport, origin = runtime.components.transport, runtime.components.origin
        junk = [b"hello", b"\xc1" * 40, envelope.seal(b"{", "json", origin)]
        for frame in (*junk, envelope.seal(b"", "unheard-of", origin)):
            await transport.publish("a", frame)
        await runtime.send("a", {"n": 1})
        await until(lambda: not ledger.kept("a"))
        assert runtime.stats().dropped == {"unreadable frame": 2, "unreadable deserialization": 2}
    assert [dead.frame for dead in ledger.dead_letters[:3]] == junk
    assert len(ledger.dead_letters) == 4
    assert attempts(agent) == [(1, 0)]


async def test_earlier_deliveries_of_this_nodes_own_frames_count_as_attempts(
    ledger: Ledger,
) -> None:
    async with running(ledger, Scripted("a")) as runtime:
        bus = runtime.components.bus
        body = runtime.components.serializer.serialize(Message())
        for reply_to in ("", "_reply.x.1"):
            frame = envelope.seal(body, "msgpack", bus.origin, reply_to=reply_to)
            assert bus.read(envelope.with_attempt(frame, 0)).attempt == 0
            assert bus.read(envelope.with_attempt(frame, 3)).attempt == 3


async def test_a_restart_keeps_the_message_that_waits_for_the_fresh_object(
    ledger: Ledger,
) -> None:
    seen: list[int] = []

    async def script(agent: Scripted, message: Message) -> None:
        seen.append(message.payload["n"])
        if message.payload["n"] == 0 and not message.attempt:
            raise ValueError("crash")

    async with running(ledger, Scripted("a", script), backoff_base=0.1) as runtime:
        for n in range(3):
            await runtime.send("a", {"n": n})
        await until(lambda: runtime.stats().agents[0].mailbox_depth == 1)
        assert runtime.stats().agents[0].status is ProcessStatus.CRASHED
        await until(lambda: not ledger.kept("a"))
    assert seen == [0, 0, 1, 2]


async def test_a_task_of_an_agent_that_somebody_cancels_has_failed(ledger: Ledger) -> None:
    async def cancel_itself(agent: Scripted, message: Message) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with running(ledger, Scripted("a", cancel_itself)) as runtime:
        await runtime.send("a", {})
        await until(lambda: not ledger.kept("a"))
        assert len(ledger.dead_letters) == 1


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
            assert isinstance(error, MessageRoutingError)
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
        with pytest.raises(MessageRoutingError, match="stopped before it could answer"):
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
        assert not bus.rejecting
        first_gate.opened.set()
        await until(lambda: bus.rejecting)
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
