"""Streams: how the stream of messages and that of dead letters are made and checked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo

from civitas.errors import ConfigurationError
from civitas.plugins import TransportContext
from civitas_nats.connection import Connection
from civitas_nats.errors import StreamMismatchError
from civitas_nats.jetstream.api import JetStreamAPI
from civitas_nats.jetstream.padding import UNIT, rounded
from civitas_nats.options import NATSOptions
from civitas_nats.subjects import Subjects

DUPLICATE_WINDOW: Final = 120.0
"""Seconds for which a stream remembers the id of a message; `send_timeout` is at most 100."""

_DELETION: Final = 1.0
"""Seconds that a server needs to remove the files of a deleted stream."""

_COMPARED: Final = (
    "subjects",
    "retention",
    "discard",
    "storage",
    "num_replicas",
    "max_bytes",
    "max_age",
    "max_msgs_per_subject",
    "no_ack",
)

_MUST_NOT_BE: Final = (
    "mirror",
    "sources",
    "subject_transform",
    "republish",
    "allow_rollup_hdrs",
    "allow_msg_schedules",
    "sealed",
)
"""Settings with which a stream gives messages away, changes to whom they go, takes in others, or
lets a publisher remove those of others."""


def wanted_stream(options: NATSOptions) -> StreamConfig:
    """Return the stream for messages: a work queue, which keeps each until it is acknowledged.

    When it is full it refuses new messages (`discard: new`), so that a sender gets an error. The
    policy `old` would silently remove the oldest, and so would a limit to the age of messages or to
    the number of those to one agent.
    """
    return StreamConfig(
        name=options.stream_name,
        description="Messages to Civitas agents",
        subjects=[Subjects(options.subject_prefix).all_agents],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        max_bytes=None if options.max_bytes is None else rounded(options.max_bytes),
        max_age=0.0,
        max_msgs_per_subject=-1,
        no_ack=False,
        num_replicas=options.replicas,
        duplicate_window=DUPLICATE_WINDOW,
    )


def wanted_dead_letters(options: NATSOptions) -> StreamConfig:
    """Return the stream for dead letters."""
    return StreamConfig(
        name=options.dead_letter_stream,
        description="Messages that Civitas agents could not process",
        subjects=[Subjects(options.dead_letter_subject).all_agents],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        num_replicas=options.replicas,
        duplicate_window=DUPLICATE_WINDOW,
    )


def differences(wanted: StreamConfig, found: StreamConfig, send_timeout: float) -> list[str]:
    """Return the differences between an existing stream and the wanted one, as parts of a sentence.

    Args:
        wanted: the wanted stream; a field that is None is not compared.
        found: the existing one.
        send_timeout: seconds within which a message may be sent again.
    """
    parts = [
        f"{name} is {_value_text(getattr(found, name))}, not {_value_text(getattr(wanted, name))}"
        for name in _COMPARED
        if getattr(wanted, name) is not None
        and _value_text(getattr(found, name)) != _value_text(getattr(wanted, name))
    ]
    parts += [f"{name} is set" for name in _MUST_NOT_BE if getattr(found, name, None)]
    if found.retention == wanted.retention == RetentionPolicy.WORK_QUEUE and (
        limit_of(found) % UNIT and wanted.max_bytes is None
    ):
        parts.append(f"max_bytes is {found.max_bytes}, no multiple of {UNIT}")
    if found.duplicate_window < send_timeout:
        parts.append(
            f"duplicate_window is {found.duplicate_window:g} s, less than send_timeout"
            f" ({send_timeout:g} s)"
        )
    return parts


def limit_of(stream: StreamConfig) -> int:
    """Return how many bytes a stream may have; 0 for no limit."""
    return max(stream.max_bytes or 0, 0)


async def create_streams(options: NATSOptions, logger: logging.Logger) -> None:
    """Create both streams on a connection of its own, unless they are there and fit.

    Raises:
        CivitasError: as for `Connection.open` and `Streams.ensure`.
    """
    async with _api(options, logger) as api:
        may_create = options.model_copy(update={"create_stream": True})
        await Streams(api, may_create, logger).ensure()


async def delete_streams(options: NATSOptions, logger: logging.Logger) -> None:
    """Delete both streams on a connection of its own, with all that they keep, if there are any.

    Raises:
        CivitasError: as for `Connection.open`; or JetStream does not answer, or refuses.
    """
    async with _api(options, logger) as api:
        for name in (options.stream_name, options.dead_letter_stream):
            await api.delete_stream(name)


@asynccontextmanager
async def _api(options: NATSOptions, logger: logging.Logger) -> AsyncIterator[JetStreamAPI]:
    """Ask JetStream on a connection of its own."""
    connection = Connection(
        options,
        "civitas-nats",
        logger,
        down=lambda reason: logger.warning("%s", reason),
        up=lambda: None,
        failed=TransportContext(logger=logger).failed,  # a command has no node to end
        refused=lambda subject, reason: api.refused(subject, reason),  # noqa: PLW0108 - made below
    )
    api = JetStreamAPI(connection, options.send_timeout)
    try:
        await connection.open()
        yield api
    finally:
        await connection.close()


class Streams:
    """Ensures that both streams exist and are as they should be.

    Args:
        api: asks JetStream.
        options: what the topology says.
        logger: where it is noted that a stream was created.
    """

    def __init__(self, api: JetStreamAPI, options: NATSOptions, logger: logging.Logger) -> None:
        self._api = api
        self._options = options
        self._logger = logger
        self.created: datetime | None = None
        """When the stream of messages was created, as of the last `ensure`."""
        self.limited = False
        """Whether it has a limit in bytes, so that messages are padded (see `padding`)."""

    async def ensure(self) -> None:
        """Return when both streams exist.

        Raises:
            StreamMismatchError: one is not as it should be.
            ConfigurationError: one is missing and `create_stream` is off, or JetStream is off.
            TransportError: JetStream does not answer, or refuses.
        """
        stream = await self._ensure(wanted_stream(self._options))
        await self._ensure(wanted_dead_letters(self._options))
        self.created = stream.created
        self.limited = limit_of(stream.config) > 0

    async def ensure_again(self) -> None:
        """Do what `ensure` does, after the stream or a consumer was deleted.

        A server notifies the readers of a deleted stream before it has removed its files. A stream
        that is created in between can lose what it stores (nats-server 2.9.10).
        """
        if await self._api.stream(self._options.stream_name) is None:
            await asyncio.sleep(_DELETION)
        await self.ensure()

    async def _ensure(self, wanted: StreamConfig) -> StreamInfo:
        found = await self._api.stream(str(wanted.name))
        if found is None:
            if not self._options.create_stream:
                raise ConfigurationError(
                    f"there is no stream {wanted.name}, and create_stream is off: create it, as"
                    f" {_described(wanted)}"
                )
            found = await self._create(wanted)
        different = differences(wanted, found.config, self._options.send_timeout)
        if different:
            raise StreamMismatchError(
                f"stream {wanted.name} exists and does not fit: {'; '.join(different)}. Change the"
                " stream or these options, or choose another stream_name"
            )
        return found

    async def _create(self, wanted: StreamConfig) -> StreamInfo:
        created = await self._api.create_stream(wanted)
        if created is not None:
            self._logger.info("stream %s: %s", wanted.name, _described(wanted))
            return created
        found = await self._api.stream(str(wanted.name))  # another process was first
        if found is None:
            raise ConfigurationError(f"stream {wanted.name} is created and deleted by others")
        return found


def _described(config: StreamConfig) -> str:
    return (
        f"subjects {_value_text(config.subjects)}, retention {_value_text(config.retention)},"
        f" discard {_value_text(config.discard)}, storage {_value_text(config.storage)}"
    )


def _value_text(value: Any) -> str:
    """Return a value of a configuration as it is written in one."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(getattr(value, "value", value))
