"""Window: the messages of one agent that its process asks for and holds, in their order. No I/O.

`PullRequests` says when and for how many messages the server is asked. `Window` holds those that
came: those in hand, which are handled, as many as the agent handles at once, and the others behind
them. They come in hand in their order, and are finished in any. It reports a gap when a delivery
did not arrive, for then the next one would be out of order.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

HEARTBEAT: Final = 2.0
"""Seconds after which a server shows that a pull request still stands."""

_EXPIRES: Final = 20.0
"""Seconds after which a pull request ends that was not filled; then it is sent again."""

_NANOSECONDS: Final = 1_000_000_000

_MIN_TOKENS: Final = 9
"""Tokens of the subject of an acknowledgement; servers with a domain write more (NATS ADR-15)."""

_MIN_TOKENS_WITH_DOMAIN: Final = 11
"""Then the domain and a hash of the account stand before the name of the stream."""


class PullRequests:
    """The pull requests of one consumer that are open. A server fills the oldest first.

    Args:
        size: messages that may be held and asked for together.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._step = max(size // 2, 1)
        self._open: dict[str, int] = {}
        self._count = 0

    def due(self, held: int) -> tuple[str, bytes] | None:
        """Return the name and the body of the next request; None while there is no room for one.

        Args:
            held: messages that are held.
        """
        room = self._size - held - sum(self._open.values())
        if room < self._step:
            return None
        self._count += 1
        name = str(self._count)
        self._open[name] = room
        body = {
            "batch": room,
            "expires": int(_EXPIRES * _NANOSECONDS),
            "idle_heartbeat": int(HEARTBEAT * _NANOSECONDS),
        }
        return name, json.dumps(body).encode()

    def arrived(self) -> None:
        """Note that a message has come."""
        for name, left in self._open.items():
            if left > 1:
                self._open[name] = left - 1
            else:
                del self._open[name]
            return

    def ended(self, name: str) -> None:
        """Note that the server has ended a request, filled or not."""
        self._open.pop(name, None)

    def forget(self) -> None:
        """Note that no request is open any more."""
        self._open.clear()


class Position(NamedTuple):
    """The number of a message in the stream, and the number of its delivery by the consumer."""

    stream: int
    delivery: int


def position_of(reply: str) -> Position:
    """Read the position of a message from the subject at which it is acknowledged.

    It is `$JS.ACK.<stream>.<consumer>.<deliveries>.<in stream>.<delivery>.<time>.<pending>`
    (NATS ADR-15).

    Raises:
        ValueError: it is a different subject.
    """
    tokens = reply.split(".")
    if not reply.startswith("$JS.ACK.") or len(tokens) < _MIN_TOKENS:
        raise ValueError(f"{reply[:80]!r} does not acknowledge a message of a stream")
    at = 5 if len(tokens) < _MIN_TOKENS_WITH_DOMAIN else 7
    return Position(int(tokens[at]), int(tokens[at + 1]))


class Arrival(Enum):
    """What a delivery is that has come."""

    NEW = "new"
    """The next message."""
    HELD = "held"
    """A message that is held: the server has waited too long to hear of it."""
    DONE = "done"
    """A message that was processed: its acknowledgement did not reach the server."""
    GAP = "gap"
    """Another delivery did not arrive before it; to take this one would break the order."""


@dataclass(slots=True)
class Held:
    """A message that is held.

    Attributes:
        number: its number in the stream.
        frame: what was sent.
        reply: the subject at which it is acknowledged; empty when it can't be any more.
        deliveries: times that it was given to its agent before.
    """

    number: int
    frame: bytes
    reply: str
    deliveries: int = 0


class Window:
    """The messages that are held: those in hand, and those after them in their order."""

    def __init__(self) -> None:
        self.in_hand: list[Held] = []
        """Messages that are handled, in order."""
        self.done = 0
        """Number of a message that was processed; all before it are processed, too."""
        self._done_after: set[int] = set()
        """Numbers of messages that were processed though one before them is not."""
        self._last_taken = 0
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
    def has_more(self) -> bool:
        """Whether messages wait behind those in hand."""
        return bool(self._waiting)

    @property
    def _last_number(self) -> int:
        return self._waiting[-1].number if self._waiting else self._last_taken

    def first(self) -> Held | None:
        """Return the first message that is held, in hand or waiting; None when none is."""
        return next(iter(self._numbers.values()), None)

    def held(self) -> list[Held]:
        """Return all messages that are held, in order."""
        return list(self._numbers.values())

    def arrived(self, position: Position, frame: bytes, reply: str) -> Arrival:
        """Hold a message that has come if it is the next one; return what it is."""
        if position.delivery != self._next_delivery:
            return Arrival.GAP
        held = self._numbers.get(position.stream)
        done = position.stream <= self.done or position.stream in self._done_after
        if held is None and not done and position.stream < self._last_number:
            return Arrival.GAP
        self._next_delivery += 1
        if held is not None:
            held.reply = reply
            return Arrival.HELD
        if done:
            return Arrival.DONE
        message = Held(position.stream, frame, reply)
        self._numbers[message.number] = message
        self._waiting.append(message)
        return Arrival.NEW

    def take(self) -> Held | None:
        """Take the next message in hand and return it; None while none waits."""
        if not self._waiting:
            return None
        held = self._waiting.popleft()
        self.in_hand.append(held)
        self._last_taken = held.number
        return held

    def finish(self, held: Held) -> None:
        """Remove a message in hand, which is processed.

        Raises:
            ValueError: it is not in hand.
        """
        self.in_hand.remove(held)
        del self._numbers[held.number]
        if not self.in_hand:
            self.done = max(self._last_taken, self.done)
            self._done_after.clear()
            return
        self._done_after.add(held.number)
        before = {each for each in self._done_after if each < self.in_hand[0].number}
        self._done_after -= before
        self.done = max(before, default=self.done)

    def begin_anew(self) -> None:
        """Drop what waits: a recreated consumer delivers it again, and those in hand, too."""
        self._waiting.clear()
        self._numbers = {held.number: held for held in self.in_hand}
        self._next_delivery = 1

    def begin_with_another_stream(self) -> None:
        """Drop the numbers as well: the stream was deleted, and a new one begins with 1.

        Those in hand can't be acknowledged any more: their subjects may belong to other messages.
        """
        self.done = self._last_taken = 0
        self._done_after.clear()
        for place, held in enumerate(self.in_hand):
            held.number = place - len(self.in_hand) + 1
            held.reply = ""
        self.begin_anew()
