"""Lease: this node's hold on the durable consumer of one agent."""

from __future__ import annotations

from enum import Enum

from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy

from civitas_nats.jetstream.around import Around
from civitas_nats.jetstream.record import Inheritance, Record
from civitas_nats.jetstream.window import Held
from civitas_nats.subjects import consumer_name


class Holding(Enum):
    """How a lease stands."""

    IN_STEP = "in step"
    """The server and this node agree on what this node holds."""
    BEHIND = "behind"
    """The server has delivered what has not come, or waits for what was acknowledged."""
    MISSING = "missing"
    """Somebody has deleted the consumer."""
    TAKEN = "taken"
    """Another node reads from it."""


class Lease:
    """Takes, keeps and renews a consumer, and writes into it what the next reader has to know.

    A work-queue stream keeps each message until it is acknowledged. So a consumer that is deleted
    and made again begins with the first message that is not, and gives all others after it in
    order: that is how order outlives a crash, and how a reader that should be gone is shut out.

    Args:
        agent: the agent's name.
        subject: where its messages are.
        around: what all consumers of the process share.
    """

    def __init__(self, agent: str, subject: str, around: Around) -> None:
        self._name = consumer_name(agent)
        self._subject = subject
        self._around = around
        self._management = around.management
        self._stream = around.options.stream_name
        self._owner = around.context.node

    async def take(self) -> Inheritance:
        """Take the consumer over from whoever had it, and return what that one has left.

        Raises:
            CivitasError: JetStream refuses, or does not answer.
        """
        found = await self._management.consumer(self._stream, self._name)
        if found is None:
            await self._put(Record(self._owner))
            return Inheritance(Record(self._owner))
        record = Record.read(found.config.description)
        mine = Record(self._owner, record.head, record.deliveries)
        pending = found.num_ack_pending or 0
        if pending or found.num_waiting:
            await self._management.delete_consumer(self._stream, self._name)
        await self._put(mine)
        delivered = found.delivered.stream_seq if found.delivered is not None else 0
        return Inheritance(mine, delivered if pending else 0)

    async def remember(self, held: Held | None) -> None:
        """Write down how often a message was given to its agent, before it is given again.

        Raises:
            CivitasError: JetStream refuses, or does not answer.
        """
        found = await self._management.consumer(self._stream, self._name)
        if found is not None and self._is_mine(found):  # else it would be taken back
            await self._put(self._record(held))

    async def renew(self, first: Held | None) -> None:
        """Make the consumer anew: it gives all that is not acknowledged, `first` before all.

        Raises:
            CivitasError: JetStream refuses, or does not answer.
        """
        await self._management.delete_consumer(self._stream, self._name)
        await self._put(self._record(first))

    async def look(self, deliveries: int, held: int) -> Holding:
        """Return how the lease stands.

        Args:
            deliveries: deliveries of the consumer that have come.
            held: messages that are held.

        Raises:
            CivitasError: JetStream refuses, or does not answer.
        """
        found = await self._management.consumer(self._stream, self._name)
        if found is None:
            return Holding.MISSING
        if not self._is_mine(found):
            return Holding.TAKEN
        delivered = found.delivered.consumer_seq if found.delivered is not None else 0
        same = delivered == deliveries and (found.num_ack_pending or 0) == held
        return Holding.IN_STEP if same else Holding.BEHIND

    def _is_mine(self, found: ConsumerInfo) -> bool:
        return Record.read(found.config.description).owner == self._owner

    def _record(self, held: Held | None) -> Record:
        if held is None:
            return Record(self._owner)
        return Record(self._owner, held.number, held.deliveries)

    async def _put(self, record: Record) -> None:
        options = self._around.options
        config = ConsumerConfig(
            durable_name=self._name,
            description=record.text(),
            filter_subject=self._subject,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=options.ack_wait,
            max_deliver=-1,  # counted here: the server counts what it delivers, not what is handled
            max_ack_pending=options.max_ack_pending,
        )
        await self._management.put_consumer(self._stream, config)
