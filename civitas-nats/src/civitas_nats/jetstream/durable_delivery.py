"""DurableDelivery: the at-least-once half of the transport, on a connection of its own.

Heartbeats and replies travel on the other connection. A server whose disk is full stops answering
on a connection that stores messages (nats-server 2.9.10), and must not hold them up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from civitas.errors import CivitasError, NotConnectedError, TransportError
from civitas.plugins import TransportContext
from civitas.transport import Handler, start_task
from civitas_nats.client import cancel_and_wait
from civitas_nats.connection import Connection
from civitas_nats.jetstream.api import JetStreamAPI
from civitas_nats.jetstream.consumer import Consumer
from civitas_nats.jetstream.consumer_context import ConsumerContext
from civitas_nats.jetstream.dead_letters import DeadLetterPublisher
from civitas_nats.jetstream.publisher import Publisher
from civitas_nats.jetstream.streams import Streams
from civitas_nats.options import NATSOptions
from civitas_nats.subjects import Subjects

_COUNTED_TOGETHER: Final = 100_000
"""Subjects that a server counts in one answer at most (nats-server 2.9 to 2.12)."""


class DurableDelivery:
    """Stores messages to agents in the stream, and delivers those to the agents of this process.

    Args:
        options: what the topology says.
        subjects: maps agents to subjects.
        context: what the node gave to the transport.
    """

    def __init__(self, options: NATSOptions, subjects: Subjects, context: TransportContext) -> None:
        self._options = options
        self._subjects = subjects
        self._logger = context.logger
        self._connection = Connection(
            options,
            f"{context.process} jetstream",
            context.logger,
            down=lambda _reason: None,  # the connection logs it, and what is to be stored waits
            up=self._connection_restored,
            failed=context.failed,
            refused=self._on_refused,
        )
        api = self._api = JetStreamAPI(self._connection, options.send_timeout)
        self._streams = Streams(api, options, context.logger)
        self._publisher = Publisher(
            self._connection,
            options.stream_name,
            options.send_timeout,
            context.logger,
            self._ensure_streams_soon,
            lambda: self._streams.limited,
        )
        self._shared = ConsumerContext(
            self._connection,
            api,
            self._streams,
            DeadLetterPublisher(self._publisher, options.dead_letter_subject, options.stream_name),
            options,
            context,
        )
        self._handlers: dict[str, Handler] = {}
        self._consumers: dict[str, Consumer] = {}
        self._ensuring: asyncio.Task[None] | None = None
        self._started = False

    async def start(self) -> None:
        """Connect, ensure that the streams exist, and read for the agents that are subscribed.

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
        finally:  # one has failed, or this start was cancelled: the others must not go on
            for task in opening:
                await cancel_and_wait(task)

    async def stop(self) -> None:
        """Give back what is held, wait for acknowledgements, and close. Also half-started."""
        self._started = False
        self._handlers.clear()
        consumers = list(self._consumers.values())
        self._consumers.clear()
        await cancel_and_wait(self._ensuring)
        await asyncio.gather(*(consumer.close() for consumer in consumers))
        await self._publisher.stop(self._options.linger)
        await self._connection.close()

    def __contains__(self, agent: str) -> bool:
        """Return whether an agent of this process reads its messages here."""
        return agent in self._handlers

    async def subscribe(self, agent: str, handler: Handler) -> None:
        """Call `handler` with each message to the agent; it returns when the message is processed.

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
        """Stop reading for an agent; what its handler has not finished is given back."""
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

    async def backlog(self, agents: Collection[str]) -> dict[str, int]:
        """Count what the stream has for each of these agents: a message is there until it is done.

        One request asks for all of them.

        Raises:
            CivitasError: the transport is not started, or JetStream does not answer, or refuses.
        """
        if not self._started:
            raise NotConnectedError("the nats transport is not started")
        subjects = {agent: self._subjects.of(agent) for agent in agents}
        one = next(iter(subjects.values())) if len(subjects) == 1 else None
        counts = await self._count(one or self._subjects.all_agents)
        if one is None and len(counts) >= _COUNTED_TOGETHER:  # others may have been left out
            for subject in [each for each in subjects.values() if each not in counts]:
                counts |= await self._count(subject)
        return {agent: counts.get(subject, 0) for agent, subject in subjects.items()}

    async def _count(self, subjects: str) -> dict[str, int]:
        stream = await self._api.stream(self._options.stream_name, subjects)
        return {} if stream is None else dict(stream.state.subjects or {})

    async def wait_ready(self) -> None:
        """Return when the connection is ready; a stored message waits for its reader anyway."""
        await self._connection.wait_ready()

    async def _consume(self, agent: str) -> None:
        handler = self._handlers[agent]
        consumer = Consumer(agent, self._subjects.of(agent), handler, self._shared)
        await consumer.open()
        if self._handlers.get(agent) is not handler:
            await consumer.close()
            raise NotConnectedError(f"agent {agent!r} was unsubscribed before it was subscribed")
        self._consumers[agent] = consumer

    def _connection_restored(self) -> None:
        self._publisher.connection_restored()
        for consumer in self._consumers.values():
            consumer.connection_restored()

    def _on_refused(self, subject: str, reason: str) -> None:
        self._api.refused(subject, reason)
        self._publisher.refused(subject, reason)

    def _ensure_streams_soon(self) -> None:
        """Create the stream again, if that is allowed: a message has found none."""
        if self._started and (self._ensuring is None or self._ensuring.done()):
            self._ensuring = start_task(
                self._ensure_streams(), name="civitas nats stream", failed=self._connection.failed
            )

    async def _ensure_streams(self) -> None:
        try:
            await self._streams.ensure_again()
        except CivitasError as error:
            self._logger.warning("messages can't be stored: %s", error)
