"""The bus between parts that misbehave: serializers, transports, frames, and its own agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor, envelope
from civitas.components import build_component_set
from civitas.errors import (
    AgentError,
    MailboxFullError,
    NotConnectedError,
    SerializationError,
)
from civitas.process import ProcessStatus
from civitas.transport import InProcessTransport

SOON = 10.0


class Echo(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        return self.reply(message.payload)


class Foreign:
    """A serializer whose halves give what the test says."""

    def __init__(self, body: Any, message: Any) -> None:
        self.body = body
        self.message = message

    def serialize(self, message: Message) -> bytes:
        return self.body()  # type: ignore[no-any-return]

    def deserialize(self, data: bytes) -> Message:
        return self.message()  # type: ignore[no-any-return]


def fail() -> Any:
    raise ZeroDivisionError("a bug")


# --- serializers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"), [(fail, "ZeroDivisionError: a bug"), (lambda: "text", "made a str")]
)
async def test_a_serializer_that_fails_to_write_is_an_error_to_the_sender(
    body: Callable[[], Any], reason: str
) -> None:
    async with Runtime(Supervisor("root", [Echo("a")]), serializer=Foreign(body, fail)) as runtime:
        for verb in (runtime.send, runtime.ask):
            with pytest.raises(SerializationError, match=f"'Foreign'.*{reason}"):
                await verb("a", {})


def exit_now() -> Any:
    raise SystemExit("a plugin")


@pytest.mark.parametrize(
    "message",
    [
        fail,
        exit_now,
        lambda: "text",
        lambda: Message(ttl="soon"),  # type: ignore[arg-type]
        lambda: Message(timestamp=None),  # type: ignore[arg-type]
        lambda: Message(attempt="0"),  # type: ignore[arg-type]
        lambda: Message(type=b"bytes"),  # type: ignore[arg-type]
        lambda: Message(payload=[]),  # type: ignore[arg-type]
    ],
)
async def test_a_serializer_that_fails_to_read_is_counted_and_crashes_nobody(
    message: Callable[[], Any],
) -> None:
    agent = Echo("a")
    serializer = Foreign(lambda: b"body", message)
    async with Runtime(Supervisor("root", [agent]), serializer=serializer) as runtime:
        await runtime.send("a", {})
        async with asyncio.timeout(SOON):
            while not runtime.stats().dropped:
                await asyncio.sleep(0)
        assert agent.status is ProcessStatus.RUNNING
        assert runtime.stats().dropped == {"unreadable deserialization": 1}


async def test_earlier_deliveries_that_the_frame_tells_of_count_as_attempts() -> None:
    components = build_component_set()
    body = components.serializer.serialize(Message(attempt=1))
    frame = envelope.seal(body, "msgpack", components.origin, attempt=2)
    assert components.bus.read(frame).attempt == 3


async def test_garbage_of_many_kinds_makes_few_counters() -> None:
    async with Runtime(Supervisor("root", [Echo("a")])) as runtime:
        for first in range(256):
            await runtime.components.transport.publish("a", bytes([first]) * 30)
        await runtime.ask("a", {}, timeout=SOON)
        dropped = runtime.stats().dropped
    assert sum(dropped.values()) == 256
    assert set(dropped) <= {"unreadable frame", "unreadable deserialization"}


# --- transports -----------------------------------------------------------------------------------


async def test_a_transport_that_hangs_on_answers_does_not_hold_up_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("civitas._bus.answers._ERROR_REPLY_TIMEOUT", 0.01)
    hangs = asyncio.Event()

    class Hanging(InProcessTransport):
        async def publish(self, address: str, data: bytes) -> None:
            if address.startswith("_reply."):
                hangs.set()
                await asyncio.Event().wait()
            await super().publish(address, data)

    agent = Echo("a", shutdown_timeout=0.01)
    async with Runtime(Supervisor("root", [agent]), transport=Hanging()) as runtime:
        asking = [asyncio.create_task(runtime.ask("a", {}, timeout=SOON)) for _ in range(20)]
        await hangs.wait()
        await asyncio.wait_for(runtime.stop(), SOON)
        errors = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(error) for error in errors} == {NotConnectedError}
    assert runtime.stats().dropped == {
        "cancelled while it was handled": 1,
        "the recipient has stopped": 19,
        "error reply not delivered: TimeoutError": 20,
    }


async def test_components_serve_a_second_runtime_after_the_first_has_stopped() -> None:
    components = build_component_set()
    for n in range(2):
        async with Runtime(Supervisor("root", [Echo("a")]), components=components) as runtime:
            assert (await runtime.ask("a", {"n": n}, timeout=SOON)).payload == {"n": n}
        with pytest.raises(NotConnectedError, match="has ended"):
            await runtime.send("a", {})


# --- agents ---------------------------------------------------------------------------------------


async def test_a_broadcast_that_would_fill_its_senders_own_mailbox_fails_at_once() -> None:
    class Loud(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            for _ in range(message.payload.get("times", 0)):
                await self.broadcast("*", {})
            return None

    loud = Loud("loud", mailbox_size=2)
    async with Runtime(Supervisor("root", [loud, Echo("other")])) as runtime:
        with pytest.raises(AgentError, match="MailboxFullError.*only it can make room"):
            await runtime.ask("loud", {"times": 3}, timeout=SOON)
        async with asyncio.timeout(SOON):
            while runtime.stats().agents[1].handled < 3:
                await asyncio.sleep(0)


async def test_a_broadcast_that_several_can_not_take_tells_of_each() -> None:
    class Stuck(AgentProcess):
        async def handle(self, message: Message) -> None:
            await opened.wait()

    opened = asyncio.Event()
    agents = [Stuck(name, mailbox_size=1) for name in ("w1", "w2")]
    components = build_component_set(send_timeout=0.02)
    async with Runtime(Supervisor("root", [*agents, Echo("w3")]), components=components) as runtime:
        await runtime.broadcast("w*", {})
        async with asyncio.timeout(SOON):
            while any(agent.mailbox_depth for agent in runtime.stats().agents):
                await asyncio.sleep(0)
        await runtime.broadcast("w*", {})
        with pytest.raises(ExceptionGroup, match=r"'w\*'") as caught:
            await runtime.broadcast("w*", {})
        assert [type(each) for each in caught.value.exceptions] == [MailboxFullError] * 2
        opened.set()
