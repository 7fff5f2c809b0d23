"""Frames that floors carry: those of ours, header and values, with the body packed anew each time.

A bare program would have values of its own to say who asks whom and which answer belongs to which
question. It is given those of ours, so that both sides pack, carry and unpack the same bytes.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import msgpack

from benchmarks.payloads import payload
from civitas import envelope
from civitas.messages import TYPE_REPLY, compose, compose_reply
from civitas.serializer import FIELDS, MsgpackSerializer

_NODE: Final = bytes(range(8))
_ORIGIN: Final = envelope.Origin(_NODE, 1_700_000_000)
_REPLY_TO: Final = f"_reply.{_NODE.hex()}.{2**63}"
_NUMBER: Final = 1_000
_PAYLOAD: Final = FIELDS.index("payload") + 1


class Kind:
    """One of the frames: its header, and the values in its body."""

    def __init__(self, frame: bytes) -> None:
        self.bytes = frame
        body = envelope.open(frame).body
        self._head = frame.removesuffix(body)
        self._values = msgpack.unpackb(body)

    def make(self) -> bytes:
        """Return the frame, with its body packed anew."""
        body: bytes = msgpack.packb(self._values)
        return self._head + body

    def read(self, frame: bytes) -> list[Any]:
        """Return the values in a frame of this kind."""
        values: list[Any] = msgpack.unpackb(memoryview(frame)[len(self._head) :])
        return values


class Kinds(NamedTuple):
    """What is sent: questions, their answers, and messages of a stream."""

    question: Kind
    answer: Kind
    message: Kind


def data_size(values: list[Any]) -> int:
    """Return how many bytes of data the payload has, of the values in a frame."""
    return len(values[_PAYLOAD]["data"])


@cache
def kinds_of(size: int) -> Kinds:
    """Return the frames whose payloads have so many bytes of data."""
    question = compose("asker", "far", payload(size), "message", None, 30.0)
    asked = compose("asker", "far", {}, "message")
    asked.reply_to = _REPLY_TO
    answer = compose_reply("far", asked, payload(size), TYPE_REPLY)
    message = compose("source", "sink", payload(size), "message", asked)
    pack, name = MsgpackSerializer().serialize, MsgpackSerializer.name
    return Kinds(
        Kind(envelope.seal(pack(question), name, _ORIGIN, reply_to=_REPLY_TO, number=_NUMBER)),
        Kind(
            envelope.seal(pack(answer), name, _ORIGIN, kind=envelope.KIND_REPLY, reply_to=_REPLY_TO)
        ),
        Kind(envelope.seal(pack(message), name, _ORIGIN, number=_NUMBER)),
    )
