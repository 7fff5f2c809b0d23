"""Signatures: how frames are signed with a cluster's key, verified, and refused when they repeat.

Theory. All nodes of a system have one secret, the `cluster_key`. A signed frame is the frame as it
was, with the bit SIGNED in its kind, and a trailer of 24 bytes: a counter, and a tag. The tag is a
keyed BLAKE2b (RFC 7693) over the address at which the frame was published, the whole frame and the
counter. So who has no key can neither make nor change a frame, nor move one to another address.

The count of earlier deliveries is not covered where a durable transport may set it: at an agent's
address. A batch (kind 3) is signed as a whole, and all its frames are of one node.

A frame that was recorded can be sent again. Each sender counts the frames that it signs, so to the
receiver the counter says whether a frame is new. What a receiver remembers of a sender (a node id
and a generation, so each start of a node) depends on the address:

    address of a frame       | accepted                                  | remembered
    -------------------------+-------------------------------------------+--------------------------
    system, or reply (ONCE)  | its counter is above the last one of the  | the counter
                             | sender here                               |
    the receiver's own, for  | the same                                  | the counter; the first is
    probes (PROBE)           |                                           | the sender's floor
    an agent's (AGENT)       | the sender has a floor, and the counter   | the counter
                             | is above it, and above the last one here  |
    an agent's, of a durable | always: it gives frames again, and its    | nothing
    transport (STORED)       | receiver settles each                     |

The floor is there since an agent's address outlives its node: what a sender had sent to an agent's
former node is new to the next one, which has seen nothing of it. But a sender sends to the agents
of a node only after that node has answered its probe, at an address that only this node ever had.
So what it sends to them has a counter above that of its first probe, and what it has sent to a
former node before has not. Where nobody probes (a transport that is used without a node), there
are no floors.

State is kept for who has the key only, since a frame is verified first. It has limits all the same:
of more than SENDERS senders, the one that was silent longest is forgotten; of more than ADDRESSES
agents of one sender, those with the lowest counters, the highest of which becomes the floor.

It does no I/O, and knows neither clocks nor random numbers.
"""

from __future__ import annotations

import hmac
from enum import Enum, auto
from hashlib import blake2b
from itertools import count
from struct import Struct
from typing import Final

from civitas.envelope import (
    KIND_BATCH,
    KIND_SYSTEM,
    MAGIC,
    ORIGIN_AT,
    SIGNED,
    TRAILER_BYTES,
    VERSION,
    frames_in,
)
from civitas.errors import FrameError, UnauthenticatedFrameError

SENDERS: Final = 16_384
ADDRESSES: Final = 4_096

_TAG_BYTES: Final = 16
_SHORTEST_FRAME: Final = 27
_ATTEMPT: Final = b"\x00"
_COUNTER: Final = Struct(">Q")
_LENGTH: Final = Struct(">H")
_MARKED: Final = [bytes((kind | SIGNED,)) for kind in range(SIGNED)]
_PLAIN: Final = [bytes((kind & ~SIGNED,)) for kind in range(2 * SIGNED)]


class ClusterKey:
    """The secret that all nodes of a system share, or two of them: the first signs, all verify.

    It shows nothing of them.
    """

    __slots__ = ("_keys",)

    def __init__(self, *secrets: str) -> None:
        self._keys = [
            blake2b(each.encode(), digest_size=64, person=b"civitas key 1").digest()
            for each in secrets
        ]

    def __repr__(self) -> str:
        return "ClusterKey(***)"

    def at(self, address: str, *, attempt_may_change: bool = False) -> AddressKey:
        """Return what signs and verifies the frames that are published at one address."""
        return AddressKey(self._keys, address, attempt_may_change=attempt_may_change)


class AddressKey:
    """Signs and verifies the frames of one address. It is made by `ClusterKey.at`."""

    __slots__ = ("_attempt_may_change", "_hashes")

    def __init__(self, keys: list[bytes], address: str, *, attempt_may_change: bool) -> None:
        encoded = address.encode()
        hashes = [blake2b(digest_size=_TAG_BYTES, key=k, person=b"civitas frame 1") for k in keys]
        for each in hashes:
            each.update(_LENGTH.pack(len(encoded)) + encoded)
        self._hashes = hashes
        self._attempt_may_change = attempt_may_change

    def sign(self, frame: bytes, counter: int) -> bytes:
        """Return the frame, signed.

        Raises:
            FrameError: the bytes are no frame, or a batch of frames of several nodes.
        """
        if len(frame) < 4 or frame[0] != MAGIC or frame[2] >= SIGNED:
            raise FrameError("only a frame can be signed")
        if frame[2] > KIND_SYSTEM:
            sender_of(frame)
        covered = b"".join((frame[:2], _MARKED[frame[2]], frame[3:], _COUNTER.pack(counter)))
        return covered + self._tag(self._hashes[0], covered)

    def verify(self, frame: bytes) -> tuple[bytes, int]:
        """Return a frame without its trailer, and its counter.

        Raises:
            UnauthenticatedFrameError: it is not signed, or not by a key that is valid here.
        """
        if len(frame) < _SHORTEST_FRAME + TRAILER_BYTES or not (
            frame[0] == MAGIC and frame[1] == VERSION and frame[2] >= SIGNED
        ):
            raise UnauthenticatedFrameError(
                "it is not signed: its node has no cluster_key, or signs fewer frames "
                "(signed_frames)"
            )
        covered, tag = frame[:-_TAG_BYTES], frame[-_TAG_BYTES:]
        for each in self._hashes:
            if hmac.compare_digest(self._tag(each, covered), tag):
                break
        else:
            raise UnauthenticatedFrameError(
                "it is signed with another cluster_key, or was changed on its way"
            )
        (counter,) = _COUNTER.unpack_from(covered, len(covered) - _COUNTER.size)
        plain = frame[:2] + _PLAIN[frame[2]] + frame[3:-TRAILER_BYTES]
        return plain, counter

    def _tag(self, keyed: blake2b, covered: bytes) -> bytes:
        keyed = keyed.copy()
        if self._attempt_may_change:
            keyed.update(covered[:3] + _ATTEMPT)
            keyed.update(memoryview(covered)[4:])
        else:
            keyed.update(covered)
        return keyed.digest()


def sender_of(frame: bytes) -> bytes:
    """Return node id and generation (12 bytes) of who has made a frame, or all frames of a batch.

    Raises:
        FrameError: a batch is malformed, or has frames of several nodes.
    """
    if frame[2] != KIND_BATCH:
        return frame[ORIGIN_AT]
    senders = {each[ORIGIN_AT] for each in frames_in(frame)}
    if len(senders) != 1:
        raise FrameError("all frames of a batch are of one node")
    return senders.pop()


class Freshness(Enum):
    """By which rule the counters of the frames at an address are judged; see the theory."""

    ONCE = auto()
    PROBE = auto()
    AGENT = auto()
    STORED = auto()


class Verdict(Enum):
    """What a frame is, by its counter."""

    NEW = auto()
    REPLAYED = auto()
    FORMER = auto()
    """It was sent to a former node of its agent: now, if that has just gone, or long ago."""


class _Sender:
    __slots__ = ("floor", "heard", "of_agents", "once")

    def __init__(self) -> None:
        self.heard = 0
        self.floor: int | None = None
        self.once: dict[str, int] = {}
        """The last counters at this node's own addresses, of which there are few."""
        self.of_agents: dict[str, int] = {}


class ReplayGuard:
    """The counters that were seen of each sender; its table is in the theory.

    Args:
        floors: whether senders probe before they send to agents.
    """

    def __init__(
        self, *, floors: bool = True, senders: int = SENDERS, addresses: int = ADDRESSES
    ) -> None:
        self._floors = floors
        self._most_senders = senders
        self._most_addresses = addresses
        self._senders: dict[bytes, _Sender] = {}
        self._turn = count(1)

    def __len__(self) -> int:
        """Return how many senders are remembered."""
        return len(self._senders)

    def judge(self, sender: bytes, address: str, counter: int, rule: Freshness) -> Verdict:
        """Return what a frame is that was verified; a new one is remembered."""
        if rule is Freshness.STORED:
            return Verdict.NEW
        known = self._senders.get(sender) or self._add(sender)
        known.heard = next(self._turn)
        if rule is Freshness.AGENT:
            return self._judge_agents(known, address, counter)
        if counter <= known.once.get(address, -1):
            return Verdict.REPLAYED
        known.once[address] = counter
        if rule is Freshness.PROBE and known.floor is None:
            known.floor = counter
        return Verdict.NEW

    def _judge_agents(self, sender: _Sender, address: str, counter: int) -> Verdict:
        floor = sender.floor
        if floor is None:
            if self._floors:
                return Verdict.FORMER
            floor = sender.floor = -1
        if counter <= floor:
            return Verdict.FORMER
        if counter <= sender.of_agents.get(address, floor):
            return Verdict.REPLAYED
        sender.of_agents[address] = counter
        if len(sender.of_agents) > self._most_addresses:
            lowest = sorted(sender.of_agents.items(), key=lambda each: each[1])
            for name, forgotten in lowest[: len(lowest) // 2]:
                del sender.of_agents[name]
                sender.floor = max(floor, forgotten)
        return Verdict.NEW

    def _add(self, sender: bytes) -> _Sender:
        if len(self._senders) >= self._most_senders:
            del self._senders[min(self._senders, key=lambda each: self._senders[each].heard)]
        self._senders[sender] = added = _Sender()
        return added
