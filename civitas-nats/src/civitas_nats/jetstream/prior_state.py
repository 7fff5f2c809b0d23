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

A reader that has several in hand at once leaves several: then the first so many messages without an
acknowledgement count as the first one does here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

TOGETHER: Final = 16
"""Messages that may be processed and not acknowledged yet, with the one in hand."""

_MOST_OTHERS: Final = 100
"""Of further messages that are written down: a description has 4 KiB at most."""


@dataclass(frozen=True, slots=True)
class ReaderRecord:
    """The description of a consumer: its reader, and the executions of its first message.

    Attributes:
        owner: id of the node that reads from it.
        head: number in the stream of the message that `deliveries` counts for; 0 for none.
        deliveries: times that this message was given to the agent.
        doubtful: number of the last message that was delivered to an earlier reader which was cut
            off; 0 for none.
        concurrency: messages that the reader may have in hand at once.
        others: the executions of further messages in hand, by number.
    """

    owner: str
    head: int = 0
    deliveries: int = 0
    doubtful: int = 0
    concurrency: int = 1
    others: Mapping[int, int] = field(default_factory=dict)

    def text(self) -> str:
        """Return the text for the description; readers of one message at a time leave out more."""
        values = asdict(self)
        values["others"] = dict(list(self.others.items())[:_MOST_OTHERS])
        if not self.others:
            del values["others"]
        if self.concurrency == 1:
            del values["concurrency"]
        return json.dumps(values, separators=(",", ":"))

    def deliveries_of(self, number: int) -> int | None:
        """Return the executions of a message; None when none are written down."""
        return self.deliveries if number == self.head else self.others.get(number)

    @classmethod
    def read(cls, text: str | None) -> ReaderRecord:
        """Return the record of a description; an empty one when something else is written there."""
        try:
            values = json.loads(text or "")
            head, deliveries = int(values["head"]), int(values["deliveries"])
            others = {int(n): int(count) for n, count in values.get("others", {}).items()}
            return cls(
                str(values["owner"]),
                head,
                deliveries,
                int(values.get("doubtful", 0)),
                int(values.get("concurrency", 1)),
                others,
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return cls("")


@dataclass(frozen=True, slots=True)
class PriorState:
    """What is known about the first messages that a consumer gives to its new reader.

    Attributes:
        record: what the previous reader has written.
        unsettled: number of the last message that was delivered to the previous reader, if it left
            any without an acknowledgement and was cut off; 0 otherwise.
        settled: messages that the previous reader has acknowledged.
    """

    record: ReaderRecord
    unsettled: int = 0
    settled: int = 0

    @property
    def messages(self) -> int:
        """How many of the first messages may have been in hand."""
        return max(self.record.concurrency, 1)

    def deliveries_of(self, first: int) -> int:
        """Return how often one of the first messages was given to its agent before.

        When it was delivered to a reader that was cut off, it was in hand there: that is one more.
        So is the reader before that, if it was cut off as well, perhaps with the same in hand.
        """
        in_hand = first <= self.unsettled
        written = self.record.deliveries_of(first)
        if written is not None:
            return written + in_hand
        twice = in_hand and first <= self.record.doubtful and self.settled < TOGETHER
        return in_hand + twice
