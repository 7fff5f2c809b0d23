"""Record: what a consumer's description keeps for the next process that hosts its agent.

A server counts how often it has delivered a message, and it delivers a window of them at a time;
only the first of a window is ever executed before the next. So the count of executions, which ends
a message that brings down its process each time, is kept here, with the consumer itself.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """Who reads from a consumer, and how often its first message was executed.

    Attributes:
        owner: id of the node that reads from it.
        head: number in the stream of the message that `deliveries` is about; 0 for none.
        deliveries: times that this message was given to the agent.
    """

    owner: str
    head: int = 0
    deliveries: int = 0

    def text(self) -> str:
        """Return what is written into the description."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, text: str | None) -> Record:
        """Return what a description says; one that somebody else wrote says nothing."""
        try:
            values = json.loads(text or "")
            return cls(str(values["owner"]), int(values["head"]), int(values["deliveries"]))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return cls("")


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What is known of the first message that a consumer gives to its new reader.

    Attributes:
        record: what the reader before has written.
        unsettled: number of the last message that the reader before was given and has not
            acknowledged in an orderly way; 0 when it left nothing behind.
    """

    record: Record
    unsettled: int = 0

    def deliveries_of(self, first: int) -> int:
        """Return how often the first message was given to its agent before.

        It was in hand when the reader before ended without a word, unless it came after all that
        this one was given.
        """
        known = self.record.deliveries if self.record.head == first else 0
        return known + (first <= self.unsettled)
