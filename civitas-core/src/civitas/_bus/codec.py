"""FrameCodec: from a message to a frame and back, whichever node has sealed it.

Where an answer is expected the header says, and it is taken for that only if it is a reply address.
An answer to an agent's name would be a message like any other: sent in the name of an agent that
never sent it, and answered in turn.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

from civitas import _platform as platform
from civitas import envelope
from civitas.envelope import KIND_MESSAGE, KIND_REPLY, Origin, UnsealedRequest
from civitas.errors import CivitasError, DeserializationError, FrameError, crash_of, describe
from civitas.messages import LocalMessage, Message
from civitas.serializer import MsgpackSerializer, Serializer, name_of
from civitas.serializer.formats import body_of, unpack_payload
from civitas.serializer.guards import checked, guarded
from civitas.transport import is_reply_address

_NUMBER: Final = struct.Struct(">Q")
_MESSAGE: Final = bytes((envelope.MAGIC, envelope.VERSION, KIND_MESSAGE))
_REPLY: Final = bytes((envelope.MAGIC, envelope.VERSION, KIND_REPLY))
_NO_REPLY_ADDRESS: Final = "an answer is expected where no answers go"
_LARGE: Final = 1 << 14
"""Bytes of a frame from which on a copy of its body costs more than a view of it."""

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
    made once, and most frames of others are known by the end of it, which they share.

    `serializer` writes the bodies, and reads those of its name; those of `accept` are read besides.
    `dropped` is called with (reason, frame, detail) for a reply address that is none; None where
    the transport has a reply scheme of its own, by which bodies may have the address.
    """

    def __init__(
        self,
        serializer: Serializer,
        accept: Iterable[Serializer],
        origin: Origin,
        dropped: Callable[[str, bytes, str], None] | None = None,
    ) -> None:
        self._dropped = dropped
        self.serialize = guarded(serializer)
        """Makes the body of a message."""
        self.head = envelope.header(name_of(serializer), origin)
        """The header of a frame that is not numbered and expects no reply."""
        self._head_size = len(self.head)
        self._front, self._back = self.head[:16], self.head[24:]
        self._to_node = self._back[:-2]
        self.own_request_head = self.head[:-2] + envelope.reply_part(origin.node.hex())
        """The header of a request to an agent of this node, as a transport is given it."""
        self._reply_head = envelope.header(name_of(serializer), origin, kind=KIND_REPLY)[:-2]
        self._readers = {name_of(each): checked(each) for each in (*accept, serializer)}
        self._deserialize = self._readers[name_of(serializer)]
        self._in_place: Callable[[bytes, int], Message] | None = None
        if isinstance(serializer, MsgpackSerializer):
            self._in_place = serializer.deserialize
        self._clock_offsets: dict[bytes, float] = {}

    def numbered(self, number: int, body: bytes) -> bytes:
        """Make a frame that has a number within (this node, its address)."""
        return self._front + _NUMBER.pack(number) + self._back + body

    def request(self, number: int, node: str, body: bytes) -> bytes:
        """Make the frame of a request that a node is to answer, as a transport is given it.

        In the place of the reply address it has the node's id: `ReplyInbox` puts one there.
        """
        asked = envelope.reply_part(node)
        return self._front + _NUMBER.pack(number) + self._to_node + asked + body

    def unsealed_request(self, number: int, node: str, body: bytes) -> UnsealedRequest:
        """Make it for a transport that seals it with the reply address at once."""
        front = self._front + _NUMBER.pack(number) + self._to_node
        return UnsealedRequest(front, bytes.fromhex(node), body)

    def reply(self, reply: Message) -> bytes:
        """Make the frame of a reply; its recipient is the reply address."""
        return self._reply_head + envelope.reply_part(reply.recipient) + self.serialize(reply)

    def read(self, frame: bytes | LocalMessage, answer: bool = False) -> Message:
        """Decode the frame of a message, or of an `answer`; or what has not left the process.

        Raises:
            FrameError: the bytes are no frame, or one of another kind.
            DeserializationError: its body is no message, or its serializer is not accepted here.
        """
        if isinstance(frame, tuple):
            message, packed = frame
            message.payload = unpack_payload(packed)
            return message
        try:
            if not frame.startswith(self._back, 24) or not frame.startswith(_MESSAGE):
                return self._read_other(frame, answer=answer)
            # As this node writes what expects no answer. Most frames are like that, so all of it is
            # here: by a call for each step a frame took 0.3 us more.
            if len(frame) > _LARGE:
                message = self._read_at(frame, self._head_size)
            else:
                message = self._deserialize(frame[self._head_size :])
        except CivitasError:
            raise
        except BaseException as error:
            crash = describe(crash_of(error))
            raise DeserializationError(f"a serializer failed to read: {crash}") from error
        if message.reply_to is not None:
            self._refuse_reply_address(message, frame, message.reply_to)
        if frame[3]:
            message.attempt += frame[3]
        if self._clock_offsets:
            self._by_own_clock(message, frame)
        return message

    def as_frame(self, frame: bytes | LocalMessage) -> bytes:
        """Return the frame that a message would have been if it had left the process."""
        if not isinstance(frame, tuple):
            return frame
        message, packed = frame
        reply_to, message.reply_to = message.reply_to, None  # it is in the header
        body = body_of(message, packed)
        message.reply_to = reply_to
        return self.head[:-2] + envelope.reply_part(reply_to or "") + body

    def clock_seen(self, node: str, offset: float) -> None:
        """Take note that a node's clock is ahead by `offset` seconds."""
        key = bytes.fromhex(node)
        if abs(offset) > _CLOCKS_AGREE:
            self._clock_offsets[key] = offset
        else:
            self._clock_offsets.pop(key, None)

    def _read_at(self, frame: bytes, body_at: int) -> Message:
        """Read a body of the node's own serializer, a large one where it is: without a copy."""
        if len(frame) > _LARGE and self._in_place is not None:
            return self._in_place(frame, body_at)
        return self._deserialize(frame[body_at:])

    def _read_other(self, frame: bytes, *, answer: bool) -> Message:
        if frame.startswith(self._to_node, 24) and frame.startswith(_REPLY if answer else _MESSAGE):
            # As this node writes questions and answers.
            reply_to, body_at = envelope.reply_to_and_body_at(frame, self._head_size)
            message, attempt = self._read_at(frame, body_at), frame[3]
        else:
            serializer, reply_to, attempt, body = envelope.contents(frame)
            if frame[2] != KIND_MESSAGE and not answer:
                raise FrameError(f"a frame of kind {frame[2]} is no message")
            if serializer not in self._readers:
                raise DeserializationError(
                    f"the frame is in {serializer!r}; this node reads "
                    f"{', '.join(sorted(self._readers))} (see accept_serializers)"
                )
            message = self._readers[serializer](body)
        if reply_to and (answer or self._dropped is None or is_reply_address(reply_to)):
            message.reply_to = reply_to
        elif reply_to or message.reply_to is not None:
            self._refuse_reply_address(message, frame, reply_to or message.reply_to)
        message.attempt += attempt
        if self._clock_offsets:
            self._by_own_clock(message, frame)
        return message

    def _by_own_clock(self, message: Message, frame: bytes) -> None:
        """Correct when a message was made: its age is judged by this node's clock."""
        message.timestamp -= self._clock_offsets.get(frame[4:12], 0.0)

    def _refuse_reply_address(self, message: Message, frame: bytes, reply_to: str | None) -> None:
        """Answer nobody, and count that: what a header, or only the body, has is no such address.

        With a reply scheme of its own a transport has it where it likes.
        """
        if self._dropped is not None:
            message.reply_to = None
            self._dropped(_NO_REPLY_ADDRESS, frame, repr(reply_to))
