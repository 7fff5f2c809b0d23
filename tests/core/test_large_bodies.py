"""Large bodies: they are judged by a look at few bytes, read where they are, and seldom copied."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import AgentProcess, Message, Runtime, Supervisor, envelope
from civitas._bus.codec import FrameCodec
from civitas.envelope import Origin
from civitas.errors import DeserializationError
from civitas.messages import compose
from civitas.serializer import MsgpackSerializer
from civitas.serializer.limits import is_simple
from civitas.transport import ReplyInbox
from support.agents import SOON, Scripted
from support.alone import FramedAlone

MEGABYTE = 1 << 20
FEW = 64
ORIGIN = Origin(b"12345678", 1)
NODE = ORIGIN.node.hex()

sized = st.sampled_from([0, 1, 31, 32, 255, 256, 65_535, 65_536])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | sized.map(lambda size: "x" * size)
    | sized.map(bytes)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=3), inner, max_size=20)
    ),
    max_leaves=50,
)


def parts(value: Any) -> int:
    """Return how many values there are, keys included."""
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(parts, value.values()))
    return 1 + sum(map(parts, value)) if isinstance(value, list) else 1


@given(values)
def test_what_has_few_parts_is_simple_and_nothing_else(value: Any) -> None:
    data = msgpack.packb(value)
    assert is_simple(data) is (parts(value) <= FEW)
    assert is_simple(b"\xc1\xdf" + data, 2) is is_simple(data)
    assert not is_simple(data + b"\xc0")
    assert not any(is_simple(data[:end]) for end in {0, len(data) // 2, len(data) - 1})


@pytest.mark.parametrize("count", [16, FEW - 1, FEW, 70_000])
def test_long_lists_and_maps_are_counted_by_what_they_say(count: int) -> None:
    assert is_simple(msgpack.packb([None] * count)) is (count < FEW)
    assert is_simple(msgpack.packb(dict.fromkeys(range(count)))) is (2 * count < FEW)


@given(st.binary(max_size=40))
def test_any_bytes_are_simple_or_not(noise: bytes) -> None:
    if is_simple(noise):
        unpacker = msgpack.Unpacker()
        unpacker.feed(noise)
        unpacker.skip()
        assert unpacker.tell() == len(noise)
    assert not is_simple(b"\xdd\xff\xff\xff\xff" + noise)


@pytest.mark.parametrize("extension", [b"\xc7\x00\x01", b"\xd4\x01x", b"\xd8\x01" + bytes(16)])
def test_an_extension_is_not_simple(extension: bytes) -> None:
    assert not is_simple(extension)
    assert not is_simple(b"\x92\x01" + extension)


PAYLOADS: list[dict[Any, Any]] = [
    {"x": "y" * 20_000},
    {"x": bytes(70_000)},
    {"many": list(range(9_000))},
    {n: str(n) for n in range(4_000)},
    {"odd": {(1, 2): b"z" * 20_000}},
    {"x": "y" * (MEGABYTE + 9), "more": [{"a": 1}] * 100},
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: str(payload)[:20])
def test_a_large_body_is_read_where_it_is_as_by_itself(payload: dict[Any, Any]) -> None:
    serializer, message = MsgpackSerializer(), compose("a", "b", payload, "message")
    codec, far = (
        FrameCodec(serializer, (), Origin(node, 1)) for node in (ORIGIN.node, b"another!")
    )
    body = serializer.serialize(message)
    assert serializer.deserialize(b"12345" + body, 5) == message
    for sender in (codec, far):
        assert codec.read(sender.numbered(7, body)) == message
        assert codec.read(sender.head + body) == message


@pytest.mark.parametrize(
    "payload",
    [
        b"\xdd\x7f\xff\xff\xff" * 9_000,
        b"\xc7\x00\x01" * 9_000,
        b"\x81\xa1x\xdb\0\1\0\0" + b"x" * 60_000,
    ],
    ids=["false claims", "extensions", "cut off"],
)
def test_a_large_body_that_lies_is_refused_where_it_is(payload: bytes) -> None:
    body = MsgpackSerializer().serialize(compose("a", "b", {}, "message"))
    at = body.index(b"\x80")
    frame = FrameCodec(MsgpackSerializer(), (), ORIGIN).head + body[:at] + payload + body[at + 1 :]
    with pytest.raises(DeserializationError):
        FrameCodec(MsgpackSerializer(), (), Origin(b"another!", 1)).read(frame)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=40))
def test_a_request_that_is_sealed_at_once_is_that_whose_address_is_exchanged(
    number: int, body: bytes
) -> None:
    codec = FrameCodec(MsgpackSerializer(), (), ORIGIN)
    reply_to = f"_reply.{NODE}.{number}"
    unsealed = codec.unsealed_request(number, NODE, body)
    sealed, asked = envelope.exchange_reply_to(codec.request(number, NODE, body), reply_to)
    assert unsealed.seal(reply_to) == sealed
    assert unsealed.asked == bytes.fromhex(asked.decode())


# --- copies ---------------------------------------------------------------------------------------


def held(work: Callable[[], Any]) -> float:
    """Return how many megabytes more than before were held at a time."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return (tracemalloc.get_traced_memory()[1] - before) / MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_request_is_copied_once_to_be_sealed() -> None:
    codec, body = FrameCodec(MsgpackSerializer(), (), ORIGIN), bytes(MEGABYTE)

    async def ask() -> None:
        async def publish(frame: bytes) -> None:
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await ReplyInbox(NODE).request(codec.unsealed_request(1, NODE, body), SOON, publish)

    assert held(lambda: asyncio.run(ask())) < 1.5


def test_a_body_is_copied_once_to_be_read_and_not_to_be_judged() -> None:
    here = FrameCodec(MsgpackSerializer(), (), ORIGIN)
    far = FrameCodec(MsgpackSerializer(), (), Origin(b"another!", 1))
    message = compose("a", "b", {"x": bytes(range(256)) * (MEGABYTE // 256 + 1)}, "message")
    frame = far.numbered(1, far.serialize(message))
    assert held(lambda: here.read(frame)) < 1.5
    assert held(lambda: far.serialize(message)) < 3.5  # the packer's, twice as large; the bytes


async def _echo(agent: Scripted, message: Message) -> Message:
    return agent.reply(message.payload)


def test_fewer_copies_of_a_body_are_held_within_the_process_than_with_frames() -> None:
    payload = {"x": bytes(range(256)) * (MEGABYTE // 256 + 1)}

    async def ask(transport: Any) -> None:
        async with Runtime(Supervisor("root", [Scripted("a", _echo)]), transport=transport) as r:
            await r.ask("a", payload, timeout=SOON)

    within = held(lambda: asyncio.run(ask("in_process")))
    assert within < 5.7  # of the request the packed one and the agent's; of the reply as for above
    assert held(lambda: asyncio.run(ask(FramedAlone()))) > within + 0.5


class Forgetful(AgentProcess):
    """Answers with what it was sent, and keeps nothing."""

    async def handle(self, message: Message) -> Message:
        return self.reply(message.payload)


async def test_who_has_asked_keeps_nothing_of_an_answer_that_is_dropped() -> None:
    """Not even until the task waits again: a new question would need memory for both."""
    data = bytes(4 * MEGABYTE)
    async with Runtime(Supervisor("root", [Forgetful("a")])) as system:
        await system.ask("a", {"data": data})
        tracemalloc.start(1)
        try:
            await system.ask("a", {"data": data})
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert kept < len(data)
