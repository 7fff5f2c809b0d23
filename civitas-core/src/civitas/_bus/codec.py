"""FrameCodec: from a message to a frame and back, whichever node has sealed it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from civitas import _platform as platform
from civitas import envelope
from civitas.envelope import KIND_REPLY, Origin
from civitas.errors import CivitasError, DeserializationError, crash_of, describe
from civitas.messages import Message
from civitas.serializer import Serializer, name_of
from civitas.serializer.guards import checked, guarded

_NUMBER: Final = struct.Struct(">Q")
_CLOCKS_AGREE: Final = 0.05
"""Seconds; clocks of one machine differ by less than can be measured."""


def new_origin(node: bytes | None = None) -> Origin:
    """Return the identity of a node that starts now: its id, or a random one, and a generation.

    Later starts have greater generations.
    """
    return Origin(node or platform.random_bytes(8), int(platform.wall()) & 0xFFFF_FFFF)


class FrameCodec:
    """Writes this node's frames, and reads those of all nodes.

    All frames of a node have the same header but for number and reply address, so the header is
    made once, and a frame of the node's own is known by it.

    `serializer` writes the bodies, and reads those of its name; those of `accept` are read besides.
    """

    def __init__(
        self, serializer: Serializer, accept: Iterable[Serializer], origin: Origin
    ) -> None:
        self.serialize = guarded(serializer)
        """Makes the body of a message."""
        self.head = envelope.header(name_of(serializer), origin)
        """The header of a frame that is not numbered and expects no reply."""
        self._head_size = len(self.head)
        self._front, self._back = self.head[:16], self.head[24:]
        self._reply_head = envelope.header(name_of(serializer), origin, kind=KIND_REPLY)[:-2]
        self._readers = {name_of(each): checked(each) for each in (*accept, serializer)}
        self._deserialize = self._readers[name_of(serializer)]
        self._clock_offsets: dict[bytes, float] = {}

    def numbered(self, number: int, body: bytes) -> bytes:
        """Make a frame that has a number within (this node, its address)."""
        return self._front + _NUMBER.pack(number) + self._back + body

    def reply(self, reply: Message) -> bytes:
        """Make the frame of a reply; its recipient is the reply address."""
        return self._reply_head + envelope.reply_part(reply.recipient) + self.serialize(reply)

    def read(self, frame: bytes) -> Message:
        """Decode a frame.

        Raises:
            FrameError: the bytes are no frame.
            DeserializationError: its body is no message, or its serializer is not accepted here.
        """
        try:
            if frame.startswith(self.head):  # of this node's own: no need to take it apart
                return self._deserialize(frame[self._head_size :])
            return self._read_foreign(frame)
        except CivitasError:
            raise
        except BaseException as error:
            crash = describe(crash_of(error))
            raise DeserializationError(f"a serializer failed to read: {crash}") from error

    def clock_seen(self, node: str, offset: float) -> None:
        """Take note that a node's clock is ahead by `offset` seconds."""
        key = bytes.fromhex(node)
        if abs(offset) > _CLOCKS_AGREE:
            self._clock_offsets[key] = offset
        else:
            self._clock_offsets.pop(key, None)

    def _read_foreign(self, frame: bytes) -> Message:
        if frame.startswith(self._back, 24) and envelope.is_sound(frame):
            # As this node writes it, and nobody waits for an answer: most messages are like that.
            reader, reply_to, attempt = self._deserialize, "", frame[3]
            body = frame[self._head_size :]
        else:
            serializer, reply_to, attempt, body = envelope.contents(frame)
            if serializer not in self._readers:
                raise DeserializationError(
                    f"the frame is in {serializer!r}; this node reads "
                    f"{', '.join(sorted(self._readers))} (see accept_serializers)"
                )
            reader = self._readers[serializer]
        message = reader(body)
        if reply_to:
            message.reply_to = reply_to
        message.attempt += attempt
        if self._clock_offsets:
            # Its age is judged by this node's clock.
            message.timestamp -= self._clock_offsets.get(frame[4:12], 0.0)
        return message
