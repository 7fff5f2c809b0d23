"""Window: the messages of one agent that its process holds, in the order of the stream. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

_SHORT: Final = 9
"""Parts of a subject that acknowledges; servers with a domain write three more (ADR-15)."""

_WITH_DOMAIN: Final = 11
"""Parts at least, where the domain and a hash of the account stand before the stream."""


class Position(NamedTuple):
    """Where a message is: its number in the stream, and that of its delivery by the consumer."""

    stream: int
    delivery: int


def position_of(reply: str) -> Position:
    """Read the subject to which a message is acknowledged.

    It is `$JS.ACK.<stream>.<consumer>.<deliveries>.<in stream>.<delivery>.<time>.<pending>`
    (NATS ADR-15).

    Raises:
        ValueError: it is another one.
    """
    parts = reply.split(".")
    if not reply.startswith("$JS.ACK.") or len(parts) < _SHORT:
        raise ValueError(f"{reply[:80]!r} does not acknowledge a message of a stream")
    at = 5 if len(parts) < _WITH_DOMAIN else 7
    return Position(int(parts[at]), int(parts[at + 1]))


class Arrival(Enum):
    """What a message is that has come."""

    NEW = "new"
    """The next one of the stream."""
    HELD = "held"
    """One that is held already: the server had not heard of it for too long."""
    DONE = "done"
    """One that was processed: the server has not heard that yet."""
    GAP = "gap"
    """Another one was lost before it: what follows would be out of order."""


@dataclass(slots=True)
class Held:
    """A message that is held.

    Attributes:
        number: its place in the stream.
        frame: what was sent.
        reply: the subject to which it is acknowledged; empty when that is gone.
        deliveries: times that it was given to its agent before.
    """

    number: int
    frame: bytes
    reply: str
    deliveries: int = 0


class Window:
    """What is held for one agent: one message in hand, and those after it in their order.

    Args:
        size: messages that are held at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.in_hand: Held | None = None
        self.done = 0
        """Number of the last message that was processed; all before it are, too."""
        self._waiting: deque[Held] = deque()
        self._numbers: dict[int, Held] = {}
        self._next_delivery = 1

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def deliveries(self) -> int:
        """Deliveries of the consumer that have come."""
        return self._next_delivery - 1

    @property
    def _last_number(self) -> int:
        last = self._waiting[-1] if self._waiting else self.in_hand
        return 0 if last is None else last.number

    def first(self) -> Held | None:
        """Return the first message that is held, in hand or waiting; None when none is."""
        return next(iter(self._numbers.values()), None)

    def held(self) -> list[Held]:
        """Return all that is held, in order."""
        return list(self._numbers.values())

    def arrived(self, position: Position, frame: bytes, reply: str) -> Arrival:
        """Take a message that has come, if it is the next one; say what it is."""
        if position.delivery != self._next_delivery:
            return Arrival.GAP
        held = self._numbers.get(position.stream)
        if held is None and self.done < position.stream < self._last_number:
            return Arrival.GAP
        self._next_delivery += 1
        if held is not None:
            held.reply = reply
            return Arrival.HELD
        if position.stream <= self.done:
            return Arrival.DONE
        message = Held(position.stream, frame, reply)
        self._numbers[message.number] = message
        self._waiting.append(message)
        return Arrival.NEW

    def take(self) -> Held | None:
        """Take the next message in hand, and return it; None while nothing waits."""
        if self.in_hand is None and self._waiting:
            self.in_hand = self._waiting.popleft()
        return self.in_hand

    def finish(self) -> Held:
        """Let go of the message in hand, which is processed."""
        held = self.in_hand
        if held is None:
            raise RuntimeError("there is no message in hand")
        self.in_hand = None
        del self._numbers[held.number]
        self.done = held.number
        return held

    def begin_anew(self) -> None:
        """Forget what waits: a consumer made anew gives it again, the message in hand as well."""
        self._waiting.clear()
        in_hand = self.in_hand
        self._numbers = {} if in_hand is None else {in_hand.number: in_hand}
        self._next_delivery = 1

    def begin_with_another_stream(self) -> None:
        """Forget the numbers as well: the stream was deleted, and another one begins with 1.

        The message in hand can be acknowledged no more; its old subject may stand for another.
        """
        self.begin_anew()
        self.done = 0
        if self.in_hand is not None:
            self.in_hand.number = 0
            self.in_hand.reply = ""
            self._numbers = {0: self.in_hand}
