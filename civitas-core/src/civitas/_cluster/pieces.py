"""Pieces: messages that are larger than a frame may be, cut up and put together again. No I/O.

A transport carries frames up to a size of its own, and no system frame is larger than 1 MiB, while
the info of a node grows with its agents. So a frame that is too large is cut into numbered
`Piece`s, which travel by the same way to the same address. Whoever hears them keeps those of one
number until it has them all; then they are a frame again, which is read like any other.

Nothing is acknowledged or sent again here. A message with a piece that is lost is lost as a whole,
and whatever heals the loss of a small one (another hello, a beacon) heals this. So a piece that
comes twice, late, or out of order does no harm:

    an unfinished message | event                                     | becomes
    ----------------------+-------------------------------------------+--------------------------
    none                  | a piece                                   | kept
    kept                  | a piece that is there already             | kept
                          | the last piece that was missing           | a frame; forgotten
                          | a piece that contradicts the first        | forgotten
                          | `AGE` seconds without a new piece         | forgotten
                          | others are more than the limits allow     | forgotten: those of
                          |                                           | strangers first, the oldest

What others make a node keep has limits: the size of one message, how many of one node are
unfinished, how many and how large all are together, and how large those of strangers are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from civitas._cluster import authority
from civitas._cluster.codec import LARGEST_FRAME, decode, encode
from civitas._cluster.proofs import proof_of
from civitas._cluster.protocol import Changed, ControlMessage, Piece
from civitas.envelope import ORIGIN_AT, Origin
from civitas.errors import FrameError

LARGEST_MESSAGE: Final = 16 * 1024 * 1024
"""Bytes of a message in pieces at most: the info of 70,000 agents with the longest names."""

LEAST_FRAME: Final = 1024
"""Bytes that a transport must carry at least: what is never cut, such as credit, fits in them."""

_OVERHEAD: Final = 128
"""Bytes of the frame of a piece that are none of its data."""

OF_ONE_NODE: Final = 4
"""Unfinished messages of one node at most."""

OF_ALL: Final = 256
"""Unfinished messages at most."""

OF_ALL_BYTES: Final = 4 * LARGEST_MESSAGE
"""Bytes of all unfinished messages at most."""

OF_STRANGERS_BYTES: Final = LARGEST_MESSAGE + LARGEST_MESSAGE // 4
"""Bytes of the unfinished messages of strangers at most: room for the largest newcomer."""

AGE: Final = 10.0
"""Seconds that an unfinished message is kept without a new piece."""

BEACONS: Final = 1024
"""Nodes whose last beacon is kept, at most."""

Proves: TypeAlias = Callable[[bytes, bytes, float], bool]
"""Given a proof, the key of a node, and the time: whether that node hears what is said to it."""


class ControlCodec:
    """Makes the frames of a node's control messages, and reads those of other nodes.

    No frame has more than `largest` bytes.
    """

    def __init__(self, origin: Origin, largest: int = LARGEST_FRAME) -> None:
        self._origin = origin
        self._largest = min(largest, LARGEST_FRAME)
        self._numbers = itertools.count(1)
        self._assembly = Assembly()
        self._beacons: dict[bytes, tuple[bytes, Origin, Changed]] = {}
        """The last beacon of each node, as a frame and as read: it is repeated without a change."""

    def frames(self, message: ControlMessage) -> list[bytes]:
        """Return the frame of a message, or those of its pieces."""
        frame = encode(message, self._origin)
        if len(frame) <= self._largest:
            return [frame]
        pieces = split(frame, next(self._numbers), self._largest, proof_of(message))
        return [encode(piece, self._origin) for piece in pieces]

    def read(
        self,
        frame: bytes,
        now: float,
        is_member: Callable[[bytes], bool],
        proves: Proves,
        *,
        to_everyone: bool,
    ) -> tuple[Origin, ControlMessage] | None:
        """Return who has sent a message, and the message; None while pieces of it are missing.

        Pieces are kept only of members, by their keys, and of those for whom `proves` returns that
        the proof in them is one. The frame came `to_everyone`, or to this node only.

        Raises:
            FrameError: the bytes are no system frame, or not one for this address.
            DeserializationError: there is no message in it.
        """
        known = self._beacons.get(frame[ORIGIN_AT])
        if known is not None and known[0] == frame:
            return known[1:]
        origin, message = decode(frame)
        key = frame[ORIGIN_AT]
        of_member = is_member(key)
        if of_member and isinstance(message, Changed) and not message.info.agents:
            self._keep_beacon(frame, origin, message)
        if isinstance(message, Piece):
            if not of_member and not proves(message.proof, key, now):
                raise FrameError("a piece of a message of a node that has not proved itself")
            whole = self._assembly.take(
                origin,
                message,
                now,
                to_everyone=to_everyone,
                of_member=of_member,
            )
            if whole is None:
                return None
            sender, message = decode(whole, limit=LARGEST_MESSAGE)
            if sender != origin or isinstance(message, Piece):
                raise FrameError("pieces that are not those of one message of their sender")
        if not authority.taken(message, to_everyone=to_everyone):
            raise FrameError(f"a {type(message).__name__} is not taken at this address")
        return origin, message

    def _keep_beacon(self, frame: bytes, origin: Origin, beacon: Changed) -> None:
        if len(frame) > LEAST_FRAME:
            return
        if len(self._beacons) >= BEACONS:
            self._beacons.clear()
        self._beacons[frame[ORIGIN_AT]] = frame, origin, beacon


def split(
    frame: bytes, number: int, largest: int = LARGEST_FRAME, proof: bytes = b""
) -> list[Piece]:
    """Cut a frame into pieces whose own frames have at most `largest` bytes."""
    step = largest - _OVERHEAD
    parts = [frame[at : at + step] for at in range(0, len(frame), step)]
    return [Piece(number, index, len(parts), part, proof) for index, part in enumerate(parts)]


class _Key(NamedTuple):
    origin: Origin
    to_everyone: bool
    number: int


class _Unfinished:
    """The pieces of one message that have come."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.parts: dict[int, bytes] = {}
        self.size = 0
        self.heard_at = 0.0
        self.of_member = False


class Assembly:
    """The messages of other nodes of which pieces are missing."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes that are kept."""
        self._unfinished: dict[_Key, _Unfinished] = {}

    def __len__(self) -> int:
        """Return how many messages are unfinished."""
        return len(self._unfinished)

    def take(
        self, origin: Origin, piece: Piece, now: float, *, to_everyone: bool, of_member: bool
    ) -> bytes | None:
        """Keep a piece; return the whole frame when it was the last that was missing.

        Pieces that came `to_everyone` and to this node only are never of one message. Those of a
        member are kept longer than those of a stranger.
        """
        self._forget_old(now)
        key = _Key(origin, to_everyone, piece.number)
        message = self._unfinished.get(key) or _Unfinished(piece.count)
        if piece.count != message.count or not _plausible(piece):
            self._forget(key)
            return None
        if piece.index in message.parts:
            return None
        cost = len(piece.data) + _OVERHEAD
        if message.size + cost > LARGEST_MESSAGE + _OVERHEAD * piece.count:
            self._forget(key)
            return None
        message.parts[piece.index] = piece.data
        message.size += cost
        message.heard_at, message.of_member = now, of_member
        self.size += cost
        self._unfinished.pop(key, None)
        self._unfinished[key] = message  # the last to be forgotten
        if len(message.parts) == message.count:
            self._forget(key)
            return b"".join(message.parts[index] for index in range(message.count))
        self._make_room(origin)
        return None

    def _make_room(self, origin: Origin) -> None:
        own = [key for key in self._unfinished if key.origin == origin]
        if len(own) > OF_ONE_NODE:
            self._forget(own[0])
        strangers = {k: each.size for k, each in self._unfinished.items() if not each.of_member}
        while (
            len(self._unfinished) > OF_ALL
            or self.size > OF_ALL_BYTES
            or sum(strangers.values()) > OF_STRANGERS_BYTES
        ):
            oldest = next(iter(strangers or self._unfinished))
            strangers.pop(oldest, None)
            self._forget(oldest)

    def _forget_old(self, now: float) -> None:
        while self._unfinished:
            key, oldest = next(iter(self._unfinished.items()))
            if now - oldest.heard_at <= AGE:
                return
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        message = self._unfinished.pop(key, None)
        if message is not None:
            self.size -= message.size


def _plausible(piece: Piece) -> bool:
    return 0 <= piece.index < piece.count <= LARGEST_MESSAGE // (LEAST_FRAME - _OVERHEAD) + 1
