"""Durable: the at-least-once half of the transport, on a connection of its own.

Heartbeats and replies travel on another one, so a server whose disk is full, and which holds up
all that is to be stored, does not hold them up.
"""

from __future__ import annotations

import asyncio

from civitas.errors import CivitasError, NotConnectedError, TransportError
from civitas.plugins import TransportContext
from civitas.transport import Handler
from civitas_nats.connection import Connection
from civitas_nats.jetstream.around import Around
from civitas_nats.jetstream.consumer import Consumer
from civitas_nats.jetstream.dead_letters import DeadLetters
from civitas_nats.jetstream.management import Management
from civitas_nats.jetstream.publisher import Publisher
from civitas_nats.jetstream.streams import Streams
from civitas_nats.options import NATSOptions
from civitas_nats.subjects import Subjects
from civitas_nats.tasks import end


class Durable:
    """Stores messages to agents, and gives them to the agents of this process.

    Args:
        options: what the topology says.
        subjects: where the agents' messages are.
        context: what the node gave.
    """

    def __init__(self, options: NATSOptions, subjects: Subjects, context: TransportContext) -> None:
        self._options = options
        self._subjects = subjects
        self._logger = context.logger
        self._connection = Connection(
            options,
            f"{context.process} jetstream",
            context.logger,
            down=_told_by_the_connection,
            up=self._restored,
            dropped=lambda reason: context.dropped(reason, b""),
        )
        management = Management(self._connection, options.send_timeout)
        self._streams = Streams(management, options, context.logger)
        self._publisher = Publisher(
            self._connection,
            options.stream_name,
            context.node,
            options.send_timeout,
            context.logger,
            self._look_for_stream,
            lambda: self._streams.limited,
        )
        self._around = Around(
            self._connection,
            management,
            self._streams,
            DeadLetters(self._publisher, options.dead_letter_subject, options.stream_name),
            options,
            context,
        )
        self._handlers: dict[str, Handler] = {}
        self._consumers: dict[str, Consumer] = {}
        self._search: asyncio.Task[None] | None = None
        self._started = False

    async def start(self) -> None:
        """Connect, see that the streams are there, and read for the agents that are subscribed.

        Raises:
            CivitasError: as for `Connection.open` and `Streams.ensure`.
        """
        await self._connection.open()
        await self._streams.ensure()
        await self._publisher.start()
        self._started = True
        loop = asyncio.get_running_loop()
        opening = [loop.create_task(self._consume(agent)) for agent in self._handlers]
        try:
            await asyncio.gather(*opening)
        finally:  # one has failed, or this start: the others are not to go on
            for task in opening:
                await end(task)

    async def stop(self) -> None:
        """Give back what is held, wait for what is on its way, and close. Also half-started."""
        self._started = False
        self._handlers.clear()
        consumers = list(self._consumers.values())
        self._consumers.clear()
        await end(self._search)
        await asyncio.gather(*(consumer.close() for consumer in consumers))
        await self._publisher.stop(self._options.linger)
        await self._connection.close()

    def __contains__(self, agent: str) -> bool:
        """Return whether an agent of this process reads its messages here."""
        return agent in self._handlers

    async def subscribe(self, agent: str, handler: Handler) -> None:
        """Give the agent's messages to `handler`, which returns when they are processed.

        Raises:
            TransportError: the agent has a handler already, or JetStream refuses.
        """
        if agent in self._handlers:
            raise TransportError(f"address {agent!r} has an owner already")
        self._handlers[agent] = handler
        if self._started:
            try:
                await self._consume(agent)
            except BaseException:
                if self._handlers.get(agent) is handler:
                    del self._handlers[agent]
                raise

    async def unsubscribe(self, agent: str) -> None:
        """Read no more for an agent; what its handler has not finished is given back."""
        self._handlers.pop(agent, None)
        consumer = self._consumers.pop(agent, None)
        if consumer is not None:
            await consumer.close()

    async def publish(self, agent: str, frame: bytes) -> None:
        """Return when the stream has stored a frame.

        Raises:
            CivitasError: as for `Publisher.publish`.
        """
        if not self._started:
            raise NotConnectedError("the nats transport is not started")
        await self._publisher.publish(self._subjects.of(agent), frame)

    async def wait_ready(self) -> None:
        """Return at once when connected: what is stored waits for its reader."""
        await self._connection.wait_ready()

    async def _consume(self, agent: str) -> None:
        handler = self._handlers[agent]
        consumer = Consumer(agent, self._subjects.of(agent), handler, self._around)
        await consumer.open()
        if self._handlers.get(agent) is not handler:
            await consumer.close()
            raise NotConnectedError(f"agent {agent!r} was unsubscribed before it was subscribed")
        self._consumers[agent] = consumer

    def _restored(self) -> None:
        self._publisher.restored()
        for consumer in self._consumers.values():
            consumer.restored()

    def _look_for_stream(self) -> None:
        """See to it that there is a stream again, for a message that found none."""
        if self._started and (self._search is None or self._search.done()):
            search = self._find_stream()
            self._search = asyncio.get_running_loop().create_task(
                search, name="civitas nats stream"
            )

    async def _find_stream(self) -> None:
        try:
            await self._streams.ensure_again()
        except CivitasError as error:
            self._logger.warning("messages can't be stored: %s", error)


def _told_by_the_connection(_reason: str) -> None:
    """Do nothing: the connection has logged its loss, and what is to be stored waits for it."""
