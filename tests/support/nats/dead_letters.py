"""Dead letters on a real server, made by the transport's own code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.js import JetStreamContext

from civitas.plugins import TransportContext
from civitas_nats.connection import Connection
from civitas_nats.jetstream.api import JetStreamAPI
from civitas_nats.jetstream.dead_letters import DeadLetter, DeadLetterPublisher
from civitas_nats.jetstream.publisher import Publisher
from civitas_nats.jetstream.streams import Streams
from civitas_nats.options import NATSOptions
from support.dead_letters import frame_of

_logger = logging.getLogger("civitas.tests.nats")


def letter_of(payload: dict[Any, Any], agent: str = "a", **about: Any) -> DeadLetter:
    """Return a dead letter with the frame of an order."""
    return DeadLetter(agent, frame_of(payload, **about), "ValueError: no", 5, 17)


def add_dead_letters(options: NATSOptions, *letters: DeadLetter) -> None:
    """Make the streams, and store dead letters in this order."""
    asyncio.run(_add(options, letters))


async def _add(options: NATSOptions, letters: tuple[DeadLetter, ...]) -> None:
    connection = Connection(
        options,
        "tests",
        _logger,
        down=print,
        up=lambda: None,
        failed=TransportContext().failed,
    )
    await connection.open()
    publisher = Publisher(
        connection,
        options.stream_name,
        30,
        _logger,
        missing=lambda: None,
        limited=lambda: False,
    )
    try:
        await Streams(JetStreamAPI(connection, 5.0), options, _logger).ensure()
        await publisher.start()
        dead = DeadLetterPublisher(publisher, options.dead_letter_subject, options.stream_name)
        await asyncio.gather(*map(dead.add, letters))  # sent in this order, over one connection
    finally:
        await publisher.stop(5.0)
        await connection.close()


@asynccontextmanager
async def jetstream_of(url: str) -> AsyncIterator[JetStreamContext]:
    """Have JetStream as the bare client sees it."""
    client = await nats.connect(url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


def stored(url: str, stream: str) -> list[tuple[str, bytes]]:
    """Return subjects and bytes of all that a stream holds, in its order."""
    return asyncio.run(_stored(url, stream))


async def _stored(url: str, stream: str) -> list[tuple[str, bytes]]:
    async with jetstream_of(url) as jetstream:
        state = (await jetstream.stream_info(stream)).state
        found = []
        number = state.first_seq
        for _ in range(state.messages):
            message = await jetstream.get_msg(stream, number, ">", next=True)
            found.append((message.subject or "", message.data or b""))
            number = (message.seq or 0) + 1
        return found
