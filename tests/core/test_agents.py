"""Agents talking to each other: send, ask, broadcast, errors, full mailboxes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor
from civitas.components import build_component_set
from civitas.errors import (
    AgentError,
    DeserializationError,
    MailboxFullError,
    MessageRoutingError,
    MessageValidationError,
    NotConnectedError,
    SerializationError,
)
from civitas.process import ProcessStatus
from civitas.serializer import JsonSerializer

Handle = Callable[["Scripted", Message], Awaitable[Message | None]]
SOON = 10.0


class Scripted(AgentProcess):
    """Does in `handle` what the test says, and keeps what it got."""

    def __init__(
        self, name: str, script: Handle | None = None, action: ErrorAction | None = None, **kw: Any
    ) -> None:
        super().__init__(name, **kw)
        self.script = script
        self.action = action
        self.got: list[Message] = []

    async def handle(self, message: Message) -> Message | None:
        self.got.append(message)
        return await self.script(self, message) if self.script else None

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        return self.action or await super().on_error(error, message)


async def echo(agent: Scripted, message: Message) -> Message:
    return agent.reply({"echo": message.payload, "from": agent.name})


async def fail(agent: Scripted, message: Message) -> None:
    raise ValueError("no good")


def runtime(*agents: AgentProcess, send_timeout: float = 30.0, **supervision: Any) -> Runtime:
    supervision = {"backoff_base": 0.0} | supervision
    return Runtime(
        Supervisor("root", agents, **supervision),
        components=build_component_set(send_timeout=send_timeout),
    )


class Gate:
    """A handler that says when it has a message, and keeps it until it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, agent: Scripted, message: Message) -> Message | None:
        self.entered.set()
        await self.opened.wait()
        return agent.reply({}) if message.reply_to else None


# --- send and ask ---------------------------------------------------------------------------------


async def test_a_message_arrives_with_sender_type_and_payload() -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        await r.send("a", {"n": [1, {"x": None}]}, message_type="greeting")
        await r.ask("a", {})
    first = agent.got[0]
    assert (first.type, first.recipient) == ("greeting", "a")
    assert first.payload == {"n": [1, {"x": None}]}
    assert first.reply_to is None


async def test_messages_of_one_sender_arrive_in_order() -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        for n in range(500):
            await r.send("a", {"n": n})
        await r.ask("a", {"n": 500})
    assert [m.payload["n"] for m in agent.got] == list(range(501))


async def test_ask_returns_the_reply_correlated_and_in_the_same_trace() -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        reply = await r.ask("a", {"q": 1})
    question = agent.got[0]
    assert reply.payload == {"echo": {"q": 1}, "from": "a"}
    assert (reply.sender, reply.correlation_id) == ("a", question.id)
    assert reply.trace_id == question.trace_id
    assert reply.parent_span_id == question.span_id


async def test_what_a_handler_sends_belongs_to_the_trace_of_what_it_handles() -> None:
    async def pass_on(agent: Scripted, message: Message) -> Message:
        return agent.reply((await agent.ask("b", {})).payload)

    b = Scripted("b", echo)
    a = Scripted("a", pass_on)
    async with runtime(a, b) as r:
        await r.ask("a", {})
    assert b.got[0].trace_id == a.got[0].trace_id
    assert b.got[0].parent_span_id == a.got[0].span_id
    assert b.got[0].sender == "a"


async def test_a_hundred_asks_at_once_each_get_their_own_answer() -> None:
    async with runtime(Scripted("a", echo), Scripted("b", echo)) as r:
        replies = await asyncio.gather(*(r.ask("ab"[n % 2], {"n": n}) for n in range(100)))
    assert [(m.payload["from"], m.payload["echo"]["n"]) for m in replies] == [
        ("ab"[n % 2], n) for n in range(100)
    ]


async def test_a_handler_can_answer_later_at_the_reply_address() -> None:
    async def later(agent: Scripted, message: Message) -> None:
        if message.reply_to is not None:
            agent.state["asked"] = message
            await agent.send("a", {})  # handled after this message
        else:
            await agent.send(agent.state["asked"].reply_to, {"late": True})

    async with runtime(Scripted("a", later)) as r:
        assert (await r.ask("a", {})).payload == {"late": True}


async def test_asks_give_up_after_their_timeout_and_a_late_answer_disturbs_nobody() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate)) as r:
        with pytest.raises(TimeoutError, match=r"ask 'a'.*0\.02 s"):
            await r.ask("a", {}, timeout=0.02)
        gate.opened.set()
        assert (await r.ask("a", {})).payload == {}
        assert r.stats().dropped == {"reply without a request": 1}


async def test_a_cancelled_ask_leaves_nothing_behind() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate)) as r:
        asking = asyncio.create_task(r.ask("a", {}))
        await gate.entered.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gate.opened.set()
        await r.ask("a", {})
        assert not any(r.components.transport.has_reply_address(f"_reply.{n}") for n in range(9))


async def test_a_question_that_expired_in_the_mailbox_is_not_handled() -> None:
    gate = Gate()
    agent = Scripted("a", gate)
    async with runtime(agent) as r:
        first = asyncio.create_task(r.ask("a", {"n": 1}))
        await gate.entered.wait()
        with pytest.raises(TimeoutError):
            await r.ask("a", {"n": 2}, timeout=0.01)
        gate.opened.set()
        await first
        await r.ask("a", {"n": 3})
        assert [m.payload["n"] for m in agent.got] == [1, 3]
        assert r.stats().dropped["expired before it was handled"] == 1


# --- broadcast ------------------------------------------------------------------------------------


async def test_broadcast_reaches_every_agent_that_matches_and_no_other() -> None:
    agents = [Scripted(name, echo) for name in ("worker_1", "worker_2", "lead")]
    async with runtime(*agents) as r:
        await r.broadcast("worker_*", {"go": True})
        for agent in agents:
            await r.ask(agent.name, {})
    assert [len(agent.got) for agent in agents] == [2, 2, 1]


async def test_broadcast_reaches_the_others_when_one_has_no_room() -> None:
    gate = Gate()
    full, other = Scripted("w_full", gate, mailbox_size=1), Scripted("w_other", echo)
    async with runtime(full, other, send_timeout=0.02) as r:
        await r.send("w_full", {})
        await gate.entered.wait()
        await r.send("w_full", {})
        with pytest.raises(MailboxFullError):
            await r.broadcast("w_*", {})
        await r.ask("w_other", {})
        gate.opened.set()
    assert len(other.got) == 2


# --- errors to the sender -------------------------------------------------------------------------


async def test_asking_an_agent_that_raises_is_an_agent_error_at_once() -> None:
    async with runtime(Scripted("a", fail)) as r:
        with pytest.raises(AgentError, match="agent 'a'.*ValueError: no good") as caught:
            await r.ask("a", {}, timeout=SOON)
    assert (caught.value.agent, caught.value.error_type, caught.value.error_text) == (
        "a",
        "ValueError",
        "no good",
    )


@pytest.mark.parametrize("action", [ErrorAction.SKIP, ErrorAction.STOP, ErrorAction.RETRY])
async def test_so_it_is_whatever_on_error_decides(action: ErrorAction) -> None:
    async with runtime(Scripted("a", fail, action), Scripted("b")) as r:
        with pytest.raises(AgentError):
            await r.ask("a", {}, timeout=SOON)


async def test_an_unknown_name_is_a_routing_error_with_a_suggestion() -> None:
    async with runtime(Scripted("researcher")) as r:
        for attempt in (r.send("reseacher", {}), r.ask("reseacher", {})):
            with pytest.raises(MessageRoutingError, match="did you mean 'researcher'"):
                await attempt


async def test_a_payload_that_can_not_be_sent_names_the_value_and_nothing_arrives() -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        for attempt in (
            r.send("a", {"a": {"b": object()}}),
            r.ask("a", {"a": {"b": object()}}),
        ):
            with pytest.raises(SerializationError, match=r"payload\.a\.b"):
                await attempt
        await r.ask("a", {})
    assert len(agent.got) == 1


async def test_a_reply_that_can_not_be_sent_is_an_error_to_who_asked() -> None:
    async def bad(agent: Scripted, message: Message) -> Message:
        return agent.reply({"x": object()})

    agent = Scripted("a", bad)
    async with runtime(agent) as r:
        with pytest.raises(AgentError, match=r"payload\.x"):
            await r.ask("a", {}, timeout=SOON)
        assert agent.status is ProcessStatus.RUNNING


async def test_reserved_types_are_refused() -> None:
    async with runtime(Scripted("a")) as r:
        for attempt in (r.send("a", {}, "_agency.restart"), r.ask("a", {}, "_agency.x")):
            with pytest.raises(MessageValidationError, match="reserved"):
                await attempt


async def test_an_agent_that_asks_itself_is_told_at_once() -> None:
    async def ask_self(agent: Scripted, message: Message) -> None:
        await agent.ask("a", {}, timeout=SOON)

    async with runtime(Scripted("a", ask_self)) as r:
        with pytest.raises(AgentError, match="MessageValidationError.*asked itself"):
            await r.ask("a", {}, timeout=SOON)


async def test_verbs_outside_a_runtime_say_so() -> None:
    agent = Scripted("a")
    with pytest.raises(NotConnectedError, match="'a'.*not running"):
        await agent.send("b", {})
    with pytest.raises(NotConnectedError, match="not started"):
        await Runtime(Supervisor("root", [agent])).send("a", {})


async def test_reply_outside_of_a_message_says_so() -> None:
    async with runtime(Scripted("a", echo)) as r:
        agent = r.get_agent("a")
        assert agent is not None
        with pytest.raises(RuntimeError, match="there is none now"):
            agent.reply({})


async def test_a_frame_that_is_garbage_is_counted_and_the_next_message_arrives() -> None:
    agent = Scripted("a", echo)
    dead: list[tuple[object, str]] = []
    async with runtime(agent) as r:
        r.on_dead_letter(lambda item, reason: dead.append((item, reason)))
        for garbage in (b"", b"\xc1", b"GET / HTTP/1.1\r\n", b"\x93\x01\x02\x03"):
            await r.components.transport.publish("a", garbage)
        await r.ask("a", {})
        assert len(agent.got) == 1
        assert sum(r.stats().dropped.values()) == 4
    assert [item for item, _ in dead] == [b"", b"\xc1", b"GET / HTTP/1.1\r\n", b"\x93\x01\x02\x03"]


async def test_a_serializer_that_this_node_does_not_read_is_named() -> None:
    sender = build_component_set(serializer="json")
    receiver = build_component_set(serializer="msgpack")
    body = sender.serializer.serialize(Message(payload={"n": 1}))
    from civitas import envelope

    frame = envelope.seal(body, "json", sender.origin)
    with pytest.raises(DeserializationError, match="'json'.*accept_serializers"):
        receiver.bus.read(frame)
    accepting = build_component_set(serializer="msgpack", accept_serializers=["json"])
    assert accepting.bus.read(frame).payload == {"n": 1}


# --- full mailboxes -------------------------------------------------------------------------------


async def test_a_full_mailbox_makes_a_sender_wait_until_there_is_room() -> None:
    gate = Gate()
    agent = Scripted("a", gate, mailbox_size=1)
    async with runtime(agent) as r:
        await r.send("a", {"n": 0})
        await gate.entered.wait()
        await r.send("a", {"n": 1})
        third = asyncio.create_task(r.send("a", {"n": 2}))
        while r.stats().agents[0].mailbox_depth < 2:
            await asyncio.sleep(0)
        assert not third.done()
        gate.opened.set()
        await third
        await r.ask("a", {"n": 3})
    assert [m.payload["n"] for m in agent.got] == [0, 1, 2, 3]


async def test_a_full_mailbox_is_an_error_after_send_timeout() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate, mailbox_size=1), send_timeout=0.02) as r:
        await r.send("a", {})
        await gate.entered.wait()
        await r.send("a", {})
        with pytest.raises(MailboxFullError, match=r"'a'.*0\.02 s"):
            await r.send("a", {})
        gate.opened.set()


async def test_the_timeout_of_ask_covers_the_wait_for_room() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate, mailbox_size=1)) as r:
        await r.send("a", {})
        await gate.entered.wait()
        await r.send("a", {})
        with pytest.raises(MailboxFullError, match=r"0\.02 s") as caught:
            await r.ask("a", {}, timeout=0.02)
        assert isinstance(caught.value, TimeoutError)
        gate.opened.set()


async def test_a_send_to_oneself_on_a_full_mailbox_fails_at_once() -> None:
    async def flood(agent: Scripted, message: Message) -> Message | None:
        if message.reply_to is None:
            return None
        for n in range(100):
            await agent.send("a", {"n": n})
        return None

    async with runtime(Scripted("a", flood, mailbox_size=3)) as r:
        with pytest.raises(AgentError, match="MailboxFullError.*only it can make room"):
            await r.ask("a", {}, timeout=SOON)


async def test_a_cycle_of_full_mailboxes_ends_in_errors_not_in_a_deadlock() -> None:
    ended = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def push(agent: Scripted, message: Message) -> None:
        other = "b" if agent.name == "a" else "a"
        try:
            while message.payload.get("push"):
                await agent.send(other, {})
        except MailboxFullError:
            ended[agent.name].set()

    a = Scripted("a", push, mailbox_size=1)
    b = Scripted("b", push, mailbox_size=1)
    async with runtime(a, b, send_timeout=0.05) as r:
        await r.send("a", {"push": True})
        await r.send("b", {"push": True})
        for event in ended.values():
            await asyncio.wait_for(event.wait(), SOON)
        a.script = b.script = echo
        for name in ("a", "b"):
            assert (await r.ask(name, {}, timeout=SOON)).payload["from"] == name


async def test_after_a_crash_everything_queued_is_handled_in_order_and_waiters_get_in() -> None:
    gate = Gate()
    seen: list[int] = []

    async def script(agent: Scripted, message: Message) -> Message | None:
        n = message.payload["n"]
        if n == 0:
            await gate(agent, message)
            raise ValueError("crash")
        seen.append(n)
        return agent.reply({}) if message.reply_to else None

    async with runtime(Scripted("a", script, mailbox_size=2)) as r:
        await r.send("a", {"n": 0})
        await gate.entered.wait()
        await r.send("a", {"n": 1})
        await r.send("a", {"n": 2})
        waiters = []
        for n in (3, 4, 5):
            waiters.append(asyncio.create_task(r.send("a", {"n": n})))
            while r.stats().agents[0].mailbox_depth < n:
                await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*waiters)
        await r.ask("a", {"n": 6})
        assert r.stats().restarts == 1
    assert seen == [1, 2, 3, 4, 5, 6]


async def test_an_agent_that_feeds_itself_does_not_starve_the_others() -> None:
    async def again(agent: Scripted, message: Message) -> None:
        if message.payload["left"]:
            await agent.send("a", {"left": message.payload["left"] - 1})

    async with runtime(Scripted("a", again), Scripted("b", echo)) as r:
        await r.send("a", {"left": 20_000})
        await r.ask("b", {}, timeout=SOON)
        handled = next(a.handled for a in r.stats().agents if a.name == "a")
        assert handled < 20_000


# --- counters -------------------------------------------------------------------------------------


async def test_the_counters_tell_what_happened() -> None:
    skipping = Scripted("a", fail, ErrorAction.SKIP)
    async with runtime(skipping, Scripted("b", echo)) as r:
        await r.send("a", {})
        with pytest.raises(AgentError):
            await r.ask("a", {})
        await r.ask("b", {})
        stats = r.stats()
    a, b = stats.agents
    assert (stats.sent, stats.delivered, stats.dropped) == (3, 3, {})
    assert (a.handled, a.errors, a.restarts) == (2, 2, 0)
    assert (b.handled, b.errors, b.mailbox_depth) == (1, 0, 0)
    assert stats.process == "supervisor"
    assert len(stats.node) == 16


async def test_asking_with_what_the_other_can_not_read_is_an_error_at_once() -> None:
    class Garbled(JsonSerializer):
        def serialize(self, message: Message) -> bytes:
            body = super().serialize(message)
            return b"?" if message.type == "garble" else body

    components = build_component_set(serializer=Garbled())
    root = Supervisor("root", [Scripted("a", echo)])
    async with Runtime(root, components=components) as r:
        with pytest.raises(AgentError, match="agent 'a'.*DeserializationError"):
            await r.ask("a", {}, "garble", timeout=SOON)
        assert (await r.ask("a", {"n": 1}, timeout=SOON)).payload["echo"] == {"n": 1}
        assert r.stats().dropped == {"unreadable deserialization": 1}


async def test_an_ask_counts_as_sent_when_it_was_handed_over_though_no_answer_came() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate, mailbox_size=1)) as r:
        with pytest.raises(TimeoutError):
            await r.ask("a", {}, timeout=0.01)
        await r.send("a", {})
        with pytest.raises(MailboxFullError):
            await r.ask("a", {}, timeout=0.01)
        assert r.stats().sent == 2
        gate.opened.set()


async def test_a_recipient_that_is_no_name_is_refused() -> None:
    async with runtime(Scripted("a")) as r:
        with pytest.raises(MessageValidationError, match="a name, not a int"):
            await r.send(5, {})  # type: ignore[arg-type]


# --- what is no message ---------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [[1], "text", None, 7])
async def test_a_payload_that_is_no_dict_is_refused_before_it_is_sent(payload: Any) -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        for verb in (r.send, r.ask, r.broadcast):
            with pytest.raises(MessageValidationError, match="payload.*is a dict, not"):
                await verb("a", payload)
        await r.ask("a", {})
    assert len(agent.got) == 1


async def test_a_handler_that_returns_no_message_is_told_so_and_so_is_who_asked() -> None:
    async def plain(agent: Scripted, message: Message) -> Any:
        return {"n": 1}

    async with runtime(Scripted("a", plain)) as r:
        with pytest.raises(AgentError, match=r"returned a dict.*self\.reply"):
            await r.ask("a", {}, timeout=SOON)


async def test_a_handler_may_return_a_message_of_its_own_making() -> None:
    async def own(agent: Scripted, message: Message) -> Message:
        return Message(type="reply", payload={"own": True})

    async with runtime(Scripted("a", own)) as r:
        reply = await r.ask("a", {}, timeout=SOON)
    assert reply.payload == {"own": True}
    assert reply.sender == "a"
    assert reply.correlation_id is not None
