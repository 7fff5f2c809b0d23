"""Lease: the hold of this node on the durable consumer of one agent.

The description of the consumer says which node reads from it (`prior_state`). A stream with a work
queue keeps each message until it is acknowledged. So a consumer that is deleted and made again
delivers all that is not acknowledged, in order, from the first message on. That is how order
outlives a crash, and how a reader that should be gone is shut out.

| state      | what the server says of the consumer                  | what follows            |
|------------|-------------------------------------------------------|-------------------------|
| in step    | it is ours, with our deliveries and pending messages  | nothing                 |
| behind     | it is ours; a delivery or an acknowledgement was lost | `recreate`              |
| missing    | it was deleted, perhaps by a process that takes over  | check again, `recreate` |
| taken over | it has the id of another node                         | stop reading            |

`take_over` starts a lease, whoever had it before. `check` returns its state, which is not stored.

A consumer that has delivered anything, or has a pull request open, is made again by `take_over`. So
what the server gave to a process that was killed, or that stands still, comes to the next one at
once: `ack_wait` goes with the consumer. And the new reader counts deliveries from the first one on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Final

from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy

from civitas_nats.jetstream.consumer_context import ConsumerContext
from civitas_nats.jetstream.prior_state import PriorState, ReaderRecord
from civitas_nats.jetstream.window import Held
from civitas_nats.subjects import consumer_name

_KEPT: Final = (
    "filter_subject",
    "deliver_subject",
    "deliver_policy",
    "ack_policy",
    "max_deliver",
    "headers_only",
    "backoff",
)
"""Settings that decide which messages come. A change of them brings back none that it passed."""


class LeaseState(Enum):
    """What `Lease.check` has found; see the module."""

    IN_STEP = "in step"
    BEHIND = "behind"
    MISSING = "missing"
    TAKEN_OVER = "taken over"


class Lease:
    """Takes a consumer over, checks and recreates it, and writes the record for the next reader.

    Each method raises CivitasError when JetStream refuses, or does not answer.

    Args:
        agent: the agent's name.
        subject: the subject of its messages.
        shared: what all consumers of the process share.
    """

    def __init__(self, agent: str, subject: str, shared: ConsumerContext) -> None:
        self._name = consumer_name(agent)
        self._subject = subject
        self._options = shared.options
        self._api = shared.api
        self._stream = shared.options.stream_name
        self._owner = shared.context.node
        self.doubtful = 0
        """Number of the last message that was delivered to a reader which was cut off; 0 for none.
        Whether those up to it were handled then, nobody knows."""
        self.concurrency = 1
        """Messages that this reader may have in hand at once."""

    async def take_over(self) -> PriorState:
        """Make the consumer this node's, and return what its reader before has left."""
        found = await self._api.consumer(self._stream, self._name)
        if found is None:
            await self._put(ReaderRecord(self._owner, concurrency=self.concurrency))
            return PriorState(ReaderRecord(self._owner))
        previous = ReaderRecord.read(found.config.description)
        pending = found.num_ack_pending or 0
        delivered = found.delivered
        was_read = delivered is not None and delivered.consumer_seq > 0
        unsettled = delivered.stream_seq if delivered is not None and pending else 0
        self.doubtful = max(unsettled, previous.doubtful)
        record = replace(
            previous, owner=self._owner, doubtful=self.doubtful, concurrency=self.concurrency
        )
        if was_read or found.num_waiting or not self._fits(found.config):
            await self._api.delete_consumer(self._stream, self._name)
        await self._put(record)
        settled = found.ack_floor.consumer_seq if found.ack_floor is not None else 0
        return PriorState(previous, unsettled, settled)

    async def record_deliveries(self, in_hand: Sequence[Held]) -> None:
        """Write how often those in hand were given to their agent, before one is given again."""
        found = await self._api.consumer(self._stream, self._name)
        if found is not None and self._is_mine(found):  # otherwise this would take it back
            await self._put(self._record(in_hand))

    async def recreate(self, held: Sequence[Held]) -> None:
        """Delete the consumer and make it again: it delivers all that is not acknowledged.

        Args:
            held: the messages that it delivers first.
        """
        await self._api.delete_consumer(self._stream, self._name)
        await self._put(self._record(held))

    async def check(self, deliveries: int, held: int) -> LeaseState:
        """Return the state of the lease.

        Args:
            deliveries: deliveries of the consumer that have arrived.
            held: messages that are held, and not acknowledged.
        """
        found = await self._api.consumer(self._stream, self._name)
        if found is None:
            return LeaseState.MISSING
        if not self._is_mine(found):
            return LeaseState.TAKEN_OVER
        delivered = found.delivered.consumer_seq if found.delivered is not None else 0
        same = delivered == deliveries and (found.num_ack_pending or 0) == held
        return LeaseState.IN_STEP if same else LeaseState.BEHIND

    def _fits(self, config: ConsumerConfig) -> bool:
        """Return whether a consumer gives us all messages: anyone may have made one of its name."""
        wanted = self._config(ReaderRecord(self._owner))
        return all(
            (getattr(config, name) or None) == (getattr(wanted, name) or None) for name in _KEPT
        )

    def _is_mine(self, found: ConsumerInfo) -> bool:
        return ReaderRecord.read(found.config.description).owner == self._owner

    def _record(self, held: Sequence[Held]) -> ReaderRecord:
        record = ReaderRecord(self._owner, doubtful=self.doubtful, concurrency=self.concurrency)
        if not held:
            return record
        others = {each.number: each.deliveries for each in held[1:] if each.deliveries}
        first = held[0]
        return replace(record, head=first.number, deliveries=first.deliveries, others=others)

    async def _put(self, record: ReaderRecord) -> None:
        await self._api.put_consumer(self._stream, self._config(record))

    def _config(self, record: ReaderRecord) -> ConsumerConfig:
        return ConsumerConfig(
            name=self._name,  # with it the request names the filter: permissions can tell it
            durable_name=self._name,
            description=record.text(),
            filter_subject=self._subject,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._options.ack_wait,
            max_deliver=-1,  # counted here: a server counts deliveries, not executions
            max_ack_pending=self._options.max_ack_pending,
        )
