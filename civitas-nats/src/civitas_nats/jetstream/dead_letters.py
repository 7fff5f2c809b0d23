"""Dead letters: what no agent could process, kept in a stream of their own with the reason."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import Final

from civitas_nats.jetstream.publisher import Publisher

REASON: Final = "Civitas-Reason"
DELIVERIES: Final = "Civitas-Deliveries"
NUMBER: Final = "Civitas-Stream-Sequence"
TIME: Final = "Civitas-Time"

_LONGEST_REASON: Final = 1000
"""Characters of a reason, as it is written. All headers together fit `HEADER_ROOM`."""

_ESCAPE: Final = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")

_LATEST: Final = 253_402_300_799
"""Seconds since the epoch: the last that has a date of four digits."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that is given up.

    Attributes:
        agent: for whom it was.
        frame: the message.
        reason: why it is given up.
        deliveries: times that it was given to the agent.
        number: its place in the stream that it came from.
    """

    agent: str
    frame: bytes
    reason: str
    deliveries: int
    number: int


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter as it lies in its stream.

    Attributes:
        number: its place there.
        time: when it was given up, in seconds since the epoch.
        letter: what lies there. Of one that somebody else has put there, the reason is empty, and
            the numbers are 0.
    """

    number: int
    time: float
    letter: DeadLetter

    @property
    def id(self) -> str:
        """What tells it from all others, also from those of a stream that was made anew."""
        return f"{self.number}.{self.time:.3f}.{_hash(self.letter.frame)}"


def headers_of(letter: DeadLetter, now: float) -> dict[str, str]:
    """Return what is written beside a dead letter.

    Args:
        letter: what is given up.
        now: seconds since the epoch.
    """
    return {
        REASON: _written(letter.reason),
        DELIVERIES: str(letter.deliveries),
        NUMBER: str(letter.number),
        TIME: f"{now:.3f}",
    }


def read(
    number: int, agent: str, frame: bytes, headers: Mapping[str, str], stored: float
) -> Buried:
    """Return what lies in the stream, whoever has put it there.

    Args:
        number: its place.
        agent: the end of its subject.
        frame: its bytes.
        headers: what is written beside it.
        stored: when the stream stored it, in seconds since the epoch.
    """
    reason = _as_it_was(headers.get(REASON, ""))
    counts = (_count(headers.get(name, "")) for name in (DELIVERIES, NUMBER))
    letter = DeadLetter(agent, frame, reason, *counts)
    return Buried(number, _time(headers.get(TIME, ""), stored), letter)


class DeadLetters:
    """Sends dead letters to their stream.

    Args:
        publisher: sends with acknowledgements.
        subject: what their subjects begin with.
        stream: the stream that they come from.
    """

    def __init__(self, publisher: Publisher, subject: str, stream: str) -> None:
        self._publisher = publisher
        self._subject = subject
        self._stream = stream

    async def add(self, letter: DeadLetter) -> None:
        """Return when a dead letter is stored. The same one is stored once.

        Raises:
            CivitasError: as for `Publisher.publish`.
        """
        await self._publisher.publish(
            f"{self._subject}.{letter.agent}",
            letter.frame,
            headers_of(letter, time.time()),
            f"{self._stream}.{letter.number}.{_hash(letter.frame)}",
        )


def _hash(frame: bytes) -> str:
    return blake2b(frame, digest_size=8).hexdigest()


def _written(reason: str) -> str:
    """Return a reason that fits a header: one line of printable ASCII, not too long."""
    signs = [_escaped(sign) for sign in " ".join(reason.split())]
    fitting = sum(length <= _LONGEST_REASON for length in accumulate(map(len, signs)))
    return "".join(signs[:fitting]) + ("..." if fitting < len(signs) else "")


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def _as_it_was(text: str) -> str:
    """Return the reason that was written so; what is no escape, somebody else has written."""
    return _ESCAPE.sub(_sign, text)


def _sign(escape: re.Match[str]) -> str:
    code = escape[1]
    number = ord(code) if code == "\\" else int(code[1:], 16)
    return chr(number) if number <= sys.maxunicode else escape[0]


def _count(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _time(text: str, stored: float) -> float:
    try:
        value = float(text)
    except ValueError:
        return stored
    return value if 0 <= value <= _LATEST else stored
