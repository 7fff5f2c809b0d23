"""PriorState: what one process leaves to the next one that reads an agent's messages.

It is written into the description of the agent's consumer. A server counts only how often it has
delivered a message, and it delivers a whole window at a time, of which no message but the first was
executed. So the number of executions is kept here. It ends a message that kills its process each
time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ReaderRecord:
    """The description of a consumer: its reader, and the executions of its first message.

    Attributes:
        owner: id of the node that reads from it.
        head: number in the stream of the message that `deliveries` counts for; 0 for none.
        deliveries: times that this message was given to the agent.
    """

    owner: str
    head: int = 0
    deliveries: int = 0

    def text(self) -> str:
        """Return the text for the description."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, text: str | None) -> ReaderRecord:
        """Return the record of a description; an empty one when something else is written there."""
        try:
            values = json.loads(text or "")
            return cls(str(values["owner"]), int(values["head"]), int(values["deliveries"]))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return cls("")


@dataclass(frozen=True, slots=True)
class PriorState:
    """What is known about the first message that a consumer gives to its new reader.

    Attributes:
        record: what the previous reader has written.
        unsettled: number of the last message that was delivered to the previous reader, if it left
            any without an acknowledgement and was cut off; 0 otherwise.
    """

    record: ReaderRecord
    unsettled: int = 0

    def deliveries_of(self, first: int) -> int:
        """Return how often the first message was given to its agent before.

        When it was delivered to a reader that was cut off, it was in hand there, which is one more.
        """
        known = self.record.deliveries if self.record.head == first else 0
        return known + (first <= self.unsettled)
