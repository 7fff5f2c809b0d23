"""Dead letters: what no agent could process, kept in a stream of their own with the reason."""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from civitas_nats.jetstream.publisher import Publisher

REASON: Final = "Civitas-Reason"
DELIVERIES: Final = "Civitas-Deliveries"
NUMBER: Final = "Civitas-Stream-Sequence"
TIME: Final = "Civitas-Time"

_LONGEST_REASON: Final = 500


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
        headers = {
            REASON: _in_one_line(letter.reason),
            DELIVERIES: str(letter.deliveries),
            NUMBER: str(letter.number),
            TIME: f"{time.time():.3f}",
        }
        await self._publisher.publish(
            f"{self._subject}.{letter.agent}",
            letter.frame,
            headers,
            f"{self._stream}.{letter.number}.{blake2b(letter.frame, digest_size=8).hexdigest()}",
        )


def _in_one_line(text: str) -> str:
    """Return a reason that fits a header: one line of printable ASCII, not too long."""
    line = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + "..."
