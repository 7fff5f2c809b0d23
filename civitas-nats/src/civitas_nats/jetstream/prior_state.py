"""PriorState: what one process leaves to the next one that reads an agent's messages.

It is written into the description of the agent's consumer. A server counts only how often it has
delivered a message, and it delivers a whole window at a time, of which no message but the first was
executed. So the number of executions is kept here. It ends a message that kills its process each
time.

| what a reader that was cut off leaves                  | counted as given once more           |
|--------------------------------------------------------|--------------------------------------|
| the first message without an acknowledgement           | this one                             |
| the same, though it had processed up to 15 from there  | this one; the one in hand is not     |
|   on, whose acknowledgements went together             |   known                              |
| then its successor is cut off with one of those up to  | twice: it was in hand both times,    |
|   16 in hand                                           |   for all that is known              |

So none is given more than `max_deliver` times. The successor acknowledges each of them at once.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

TOGETHER: Final = 16
"""Messages that may be processed and not acknowledged yet, with the one in hand."""


@dataclass(frozen=True, slots=True)
class ReaderRecord:
    """The description of a consumer: its reader, and the executions of its first message.

    Attributes:
        owner: id of the node that reads from it.
        head: number in the stream of the message that `deliveries` counts for; 0 for none.
        deliveries: times that this message was given to the agent.
        doubtful: number of the last message that was delivered to an earlier reader which was cut
            off; 0 for none.
    """

    owner: str
    head: int = 0
    deliveries: int = 0
    doubtful: int = 0

    def text(self) -> str:
        """Return the text for the description."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, text: str | None) -> ReaderRecord:
        """Return the record of a description; an empty one when something else is written there."""
        try:
            values = json.loads(text or "")
            head, deliveries = int(values["head"]), int(values["deliveries"])
            return cls(str(values["owner"]), head, deliveries, int(values.get("doubtful", 0)))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return cls("")


@dataclass(frozen=True, slots=True)
class PriorState:
    """What is known about the first message that a consumer gives to its new reader.

    Attributes:
        record: what the previous reader has written.
        unsettled: number of the last message that was delivered to the previous reader, if it left
            any without an acknowledgement and was cut off; 0 otherwise.
        settled: messages that the previous reader has acknowledged.
    """

    record: ReaderRecord
    unsettled: int = 0
    settled: int = 0

    def deliveries_of(self, first: int) -> int:
        """Return how often the first message was given to its agent before.

        When it was delivered to a reader that was cut off, it was in hand there: that is one more.
        So is the reader before that, if it was cut off as well, perhaps with the same in hand.
        """
        in_hand = first <= self.unsettled
        if self.record.head == first:
            return self.record.deliveries + in_hand
        twice = in_hand and first <= self.record.doubtful and self.settled < TOGETHER
        return in_hand + twice
