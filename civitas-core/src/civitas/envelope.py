"""The frame on the wire: a header that transports may read, and a body that they never decode.

Layout, integers big-endian:

    0      1  magic 0xC1 (never a first byte of msgpack)
    1      1  frame version, 1
    2      1  kind: 0 message, 1 reply, 2 system
    3      1  attempt: earlier deliveries of this frame (saturates at 255)
    4      8  sender's node id
    12     4  sender's generation
    16     8  number within (sender node, address), from 1; 0: not numbered
    24     1  length s of the serializer's name
    25     s  serializer's name, ASCII
    25+s   2  length r of reply_to
    27+s   r  reply_to, UTF-8
    27+s+r    body

A signed frame (`civitas._signing.signatures`) has SIGNED in its kind, and a trailer:

    ...    8  counter of its sender
    ...   16  tag

Nothing else of it is moved, so that a transport may look into it. Whoever verifies it takes the
trailer off; what reads a body refuses a frame that still has one.

A batch holds several frames of one address, in their order. It has no other header:

    0      1  magic 0xC1
    1      1  frame version, 1
    2      1  kind: 3
    3      1  0
    4      4  length n of the first frame
    8      n  the first frame; then the length of the next one, and so on

Its frames are not signed, and none of them is a batch; it is signed as a whole.

All functions are pure: they take bytes and return bytes or an Envelope. Bytes that are no frame
raise FrameError, and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from civitas.errors import FrameError, SignedFrameError

MAGIC: Final = 0xC1
VERSION: Final = 1
MAX_ATTEMPT: Final = 0xFF
MAX_SERIALIZER_BYTES: Final = 0xFF

KIND_MESSAGE: Final = 0
KIND_REPLY: Final = 1
KIND_SYSTEM: Final = 2
KIND_BATCH: Final = 3

BATCH: Final = bytes((MAGIC, VERSION, KIND_BATCH, 0))
"""How a batch begins."""

MAX_BATCH_FRAMES: Final = 256
"""Frames of one batch: as many as a sender may have under way to one agent."""

BATCH_OVERHEAD: Final = 4
"""Bytes that a batch has besides its frames: for each of them, and at its beginning."""

SIGNED: Final = 0x80
"""Bit of the kind of a frame that has a trailer."""

TRAILER_BYTES: Final = 24
NODE_AT: Final = slice(4, 12)
"""Where a frame has its sender's node id."""

ORIGIN_AT: Final = slice(4, 16)
"""Where a frame has its sender's node id and generation, as in `TransportContext.fenced`."""

_HEADER: Final = Struct(">BBBB8sIQB")
_LENGTH: Final = Struct(">H")
_FRAME_LENGTH: Final = Struct(">I")
_frame_length: Final = _FRAME_LENGTH.unpack_from
_NAME_AT: Final = _HEADER.size
_ATTEMPT_AT: Final = 3
_NODE_BYTES: Final = 8
_BEGINNINGS: Final = tuple(
    bytes((MAGIC, VERSION, kind)) for kind in (KIND_MESSAGE, KIND_REPLY, KIND_SYSTEM)
)
_SMALLEST: Final = _NAME_AT + _LENGTH.size


class Origin(NamedTuple):
    """Who sealed a frame: the node's id (8 bytes) and its generation (a later start is greater)."""

    node: bytes
    generation: int


class Envelope(NamedTuple):
    """A frame taken apart. `reply_to` is empty when no answer is expected."""

    kind: int
    attempt: int
    node: bytes
    generation: int
    number: int
    serializer: str
    reply_to: str
    body: bytes


class UnsealedRequest(NamedTuple):
    """The frame of a request but for its reply address, which only a transport knows.

    A frame that has one already is copied twice to exchange it.
    """

    front: bytes
    """All that precedes the address."""
    asked: bytes
    """The id of the node that is to answer."""
    body: bytes

    def seal(self, reply_to: str) -> bytes:
        """Return the frame, with this reply address."""
        return b"".join((self.front, reply_part(reply_to), self.body))


def header(
    serializer: str,
    origin: Origin,
    *,
    kind: int = KIND_MESSAGE,
    reply_to: str = "",
    number: int = 0,
    attempt: int = 0,
) -> bytes:
    """Make all of a frame but its body; a frame is its header and its body, one after the other.

    Args:
        serializer: name of the body's serializer, ASCII, 1 to 255 bytes.
        origin: the sealing node.
        kind: one of KIND_MESSAGE, KIND_REPLY and KIND_SYSTEM.
        reply_to: address at which an answer is expected.
        number: the frame's number within (sender node, address); 0 when it is not numbered.
        attempt: earlier deliveries; more than 255 count as 255.

    Raises:
        FrameError: a field does not fit its place in the header.
    """
    try:
        name = serializer.encode("ascii")
        address = reply_to.encode()
        if not name:
            raise FrameError("a frame names its serializer: the name is empty")
        if not KIND_MESSAGE <= kind <= KIND_SYSTEM:
            raise FrameError(f"no such kind of frame: {kind}")
        if len(origin.node) != _NODE_BYTES:
            raise FrameError(f"a node id has {_NODE_BYTES} bytes, not {len(origin.node)}")
        count = min(attempt, MAX_ATTEMPT)
        fixed = _HEADER.pack(
            MAGIC, VERSION, kind, count, origin.node, origin.generation, number, len(name)
        )
        return fixed + name + _LENGTH.pack(len(address)) + address
    except (struct.error, UnicodeEncodeError) as error:
        raise FrameError(f"a frame can't be made of these values: {error}") from error


def seal(
    body: bytes,
    serializer: str,
    origin: Origin,
    *,
    kind: int = KIND_MESSAGE,
    reply_to: str = "",
    number: int = 0,
    attempt: int = 0,
) -> bytes:
    """Make a frame of a body; the other arguments and the errors are those of `header`."""
    head = header(serializer, origin, kind=kind, reply_to=reply_to, number=number, attempt=attempt)
    return head + body


def open(frame: bytes) -> Envelope:
    """Take a frame apart.

    Raises:
        FrameError: the bytes are not a frame of this version.
    """
    serializer, reply_to, attempt, body = contents(frame)
    _, _, kind, _, node, generation, number, _ = _HEADER.unpack_from(frame)
    return Envelope(kind, attempt, node, generation, number, serializer, reply_to, body)


def contents(frame: bytes) -> tuple[str, str, int, bytes]:
    """Return what it takes to decode a frame: serializer, reply address, attempt and body.

    Raises:
        FrameError: the bytes are not a frame.
    """
    reply_at, body_at = _borders(frame)
    try:
        name = frame[_NAME_AT : reply_at - 2].decode("ascii")
        reply_to = frame[reply_at:body_at].decode()
    except UnicodeDecodeError as error:
        raise FrameError(f"text in the frame's header is not valid: {error}") from None
    return name, reply_to, frame[_ATTEMPT_AT], frame[body_at:]


def reply_to_and_body_at(frame: bytes, reply_at: int) -> tuple[str, int]:
    """Return the reply address of a frame whose header is known but for that, and its body's place.

    Args:
        frame: the frame.
        reply_at: where its reply address begins.

    Raises:
        FrameError: it ends within its header, or the address is no text.
    """
    body_at = reply_at + int.from_bytes(frame[reply_at - 2 : reply_at])
    if len(frame) < body_at:
        raise FrameError("the frame ends within its reply address")
    if body_at == reply_at:
        return "", body_at
    try:
        return frame[reply_at:body_at].decode(), body_at
    except UnicodeDecodeError as error:
        raise FrameError(f"the frame's reply address is not valid: {error}") from None


def names_reply_address(frame: bytes) -> bool:
    """Return whether a frame, signed or not, is a request or a reply: somebody waits for it.

    It is False of a batch, and of bytes that are no frame.
    """
    if len(frame) < _SMALLEST or frame[2] & ~SIGNED > KIND_SYSTEM:
        return False
    reply_at = _SMALLEST + frame[24]
    return any(frame[reply_at - 2 : reply_at])


def reply_to_of(frame: bytes) -> str:
    """Return the reply address of a frame; empty when no answer is expected.

    Raises:
        FrameError: the bytes are not a frame.
    """
    reply_at, body_at = _borders(frame)
    try:
        return frame[reply_at:body_at].decode()
    except UnicodeDecodeError as error:
        raise FrameError(f"the frame's reply address is not valid: {error}") from None


def _borders(frame: bytes) -> tuple[int, int]:
    """Check the fixed part and the lengths; return where the reply address and the body begin."""
    size = len(frame)
    if size < _SMALLEST:
        raise FrameError(f"{size} bytes are too few for a frame")
    if frame[0] != MAGIC or frame[1] != VERSION or frame[2] > KIND_SYSTEM or not frame[24]:
        if is_signed(frame):
            raise SignedFrameError("the frame is signed, and this node has no cluster_key")
        raise FrameError(_header_problem(*frame[:3]))
    reply_at = _SMALLEST + frame[24]
    if size < reply_at:
        raise FrameError("the frame ends within its serializer's name")
    body_at = reply_at + (frame[reply_at - 2] << 8 | frame[reply_at - 1])
    if size < body_at:
        raise FrameError("the frame ends within its reply address")
    return reply_at, body_at


def _header_problem(magic: int, version: int, kind: int) -> str:
    if magic != MAGIC:
        return f"the first byte is {magic:#04x}, not {MAGIC:#04x}"
    if version != VERSION:
        return f"frame version {version}; this runtime reads version {VERSION}"
    if kind > KIND_SYSTEM:
        return f"no such kind of frame: {kind}"
    return "the serializer's name is empty"


def is_sound(frame: bytes) -> bool:
    """Return whether the first three bytes, which never vary otherwise, are those of a frame."""
    return frame.startswith(_BEGINNINGS)


def is_frame(data: bytes) -> bool:
    """Return whether the bytes claim to be a frame: whether they begin with the magic."""
    return data[:1] == b"\xc1"


def batch(frames: Sequence[bytes]) -> bytes:
    """Make one message of the wire of several frames, all of one address.

    It does not look at them: a reader refuses what is no frame, and more than MAX_BATCH_FRAMES.
    """
    parts = [BATCH]
    for frame in frames:
        parts += (_FRAME_LENGTH.pack(len(frame)), frame)
    return b"".join(parts)


def frames_in(batch: bytes) -> list[bytes]:
    """Return the frames of a batch, in their order.

    Raises:
        FrameError: the bytes are no batch, or something in it is no frame. Then none of its frames
            counts: nobody knows where one begins.
    """
    if not batch.startswith(BATCH):
        raise FrameError("it does not begin as a batch does")
    frames: list[bytes] = []
    at, end = len(BATCH), len(batch)
    last = end - BATCH_OVERHEAD
    while at < end:
        size = _frame_length(batch, at)[0] if at <= last else 0
        begin = at + BATCH_OVERHEAD
        at = begin + size
        frame = batch[begin:at]
        if at > end or size < _SMALLEST or not frame.startswith(_BEGINNINGS):
            raise FrameError(f"what a batch has as its frame {len(frames)} is none")
        if len(frames) >= MAX_BATCH_FRAMES:
            raise FrameError(f"more than {MAX_BATCH_FRAMES} frames in a batch")
        frames.append(frame)
    if not frames:
        raise FrameError("a batch without a frame")
    return frames


def with_reply_to(frame: bytes, reply_to: str) -> bytes:
    """Return the frame with another reply address, its body untouched.

    Raises:
        FrameError: the bytes are not a frame, or the address does not fit.
    """
    reply_at, body_at = _borders(frame)
    return frame[: reply_at - 2] + reply_part(reply_to) + frame[body_at:]


def exchange_reply_to(frame: bytes, reply_to: str) -> tuple[bytes, bytes]:
    """Return the frame with another reply address, and the bytes in that place before.

    Raises:
        FrameError: as for `with_reply_to`.
    """
    reply_at, body_at = _borders(frame)
    stamped = frame[: reply_at - 2] + reply_part(reply_to) + frame[body_at:]
    return stamped, frame[reply_at:body_at]


def reply_part(reply_to: str) -> bytes:
    """Return the last part of a header: the reply address and its length.

    Raises:
        FrameError: the address does not fit.
    """
    try:
        address = reply_to.encode()
        return _LENGTH.pack(len(address)) + address
    except (struct.error, UnicodeEncodeError) as error:
        raise FrameError(f"{reply_to[:80]!r} can't be a reply address: {error}") from error


def with_attempt(frame: bytes, attempt: int) -> bytes:
    """Return the frame, signed or not, with another count of earlier deliveries (saturates at 255).

    Raises:
        FrameError: the bytes are not a frame, or the count is negative.
    """
    _borders(unsigned(frame))
    if attempt < 0:
        raise FrameError(f"a frame can't have been delivered {attempt} times")
    count = bytes((min(attempt, MAX_ATTEMPT),))
    return frame[:_ATTEMPT_AT] + count + frame[_ATTEMPT_AT + 1 :]


def attempt_of(frame: bytes) -> int:
    """Return how often a frame has been delivered before; 0 for bytes that are no frame."""
    return frame[_ATTEMPT_AT] if is_sound(frame) and len(frame) > _ATTEMPT_AT else 0


def is_signed(frame: bytes) -> bool:
    """Return whether the bytes claim to be a signed frame."""
    return len(frame) > 2 and frame[0] == MAGIC and frame[1] == VERSION and frame[2] >= SIGNED


def unsigned(frame: bytes) -> bytes:
    """Return a frame without its trailer, unverified; one that has none is returned as it is."""
    if not is_signed(frame):
        return frame
    return frame[:2] + bytes((frame[2] & ~SIGNED,)) + frame[3:-TRAILER_BYTES]
