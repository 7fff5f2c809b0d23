"""Dead letters: messages that no agent could process, how they are stored, and who stores them."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import Final

from civitas.transport import Kept, KeptMessage
from civitas_nats.jetstream.publisher import Publisher
from civitas_nats.subjects import Subjects

REASON: Final = "Civitas-Reason"
DELIVERIES: Final = "Civitas-Deliveries"
NUMBER: Final = "Civitas-Stream-Sequence"
TIME: Final = "Civitas-Time"

_MAX_REASON: Final = 1000
"""Characters of a reason in its header. All headers together fit into `HEADER_ROOM`."""

_ESCAPE: Final = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")

_MAX_TIME: Final = 253_402_300_799
"""Seconds since the epoch: the end of the year 9999."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up.

    Attributes:
        agent: the agent that it was sent to.
        frame: the message.
        reason: why it was given up.
        deliveries: times that it was given to the agent.
        number: its number in the stream of messages.
    """

    agent: str
    frame: bytes
    reason: str
    deliveries: int
    number: int


def headers_of(letter: DeadLetter, now: float) -> dict[str, str]:
    """Return the headers of a dead letter.

    Args:
        letter: the letter.
        now: seconds since the epoch.
    """
    return {
        REASON: _header_text(letter.reason),
        DELIVERIES: str(letter.deliveries),
        NUMBER: str(letter.number),
        TIME: f"{now:.3f}",
    }


def read(
    number: int, agent: str, frame: bytes, headers: Mapping[str, str], stored_at: float
) -> KeptMessage:
    """Return the dead letter of a message of the stream, whoever has stored it.

    When something else has stored it, its reason is empty and its counts are 0.

    Args:
        number: its number in the stream.
        agent: the agent that its subject names.
        frame: its bytes.
        headers: its headers.
        stored_at: when the stream stored it, in seconds since the epoch.
    """
    deliveries, former = (_count(headers.get(name, "")) for name in (DELIVERIES, NUMBER))
    return KeptMessage(
        Kept.DEAD,
        number,
        agent,
        frame,
        _time(headers.get(TIME, ""), stored_at),
        _unescaped(headers.get(REASON, "")),
        deliveries,
        {"stream_sequence": former},
    )


class DeadLetterPublisher:
    """Stores dead letters in their stream.

    Args:
        publisher: sends with acknowledgements.
        subject: what their subjects begin with.
        stream: the stream of messages, where they come from.
    """

    def __init__(self, publisher: Publisher, subject: str, stream: str) -> None:
        self._publisher = publisher
        self._subjects = Subjects(subject)
        self._stream = stream

    async def add(self, letter: DeadLetter) -> None:
        """Return when a dead letter is stored. The same one is stored once.

        Raises:
            CivitasError: as for `Publisher.publish`.
        """
        await self._publisher.publish(
            self._subjects.of(letter.agent),
            letter.frame,
            headers_of(letter, time.time()),
            f"{self._stream}.{letter.number}.{_hash(letter.frame)}",
        )


def _hash(frame: bytes) -> str:
    return blake2b(frame, digest_size=8).hexdigest()


def _header_text(reason: str) -> str:
    """Return a reason as the text of a header: one line of printable ASCII, not too long."""
    parts = [_escaped(character) for character in " ".join(reason.split())]
    fitting = sum(length <= _MAX_REASON for length in accumulate(map(len, parts)))
    return "".join(parts[:fitting]) + ("..." if fitting < len(parts) else "")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _unescaped(text: str) -> str:
    """Return the reason of a header. What is not one of our escapes stays as it is."""
    return _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    code = escape[1]
    number = ord(code) if code == "\\" else int(code[1:], 16)
    return chr(number) if number <= sys.maxunicode else escape[0]


def _count(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _time(text: str, stored_at: float) -> float:
    try:
        value = float(text)
    except ValueError:
        return stored_at
    return value if 0 <= value <= _MAX_TIME else stored_at
