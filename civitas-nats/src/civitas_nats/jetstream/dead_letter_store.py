"""NATSDeadLetterStore: reads, adds and removes what the two streams keep, for the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from nats.js.api import RawStreamMsg, StreamInfo

from civitas.errors import ConfigurationError, TransportError
from civitas.plugins import TransportContext
from civitas.transport import Kept, KeptMessage, Selection, Survey
from civitas_nats.connection import Connection
from civitas_nats.jetstream import dead_letters
from civitas_nats.jetstream.api import JetStreamAPI
from civitas_nats.jetstream.publisher import Publisher
from civitas_nats.options import NATSOptions
from civitas_nats.subjects import Subjects
from civitas_nats.urls import mask_logins

_READ_TOGETHER: Final = 32
"""Messages that are requested together."""

_BYTES_READ_TOGETHER: Final = 64 << 20
"""Bytes that they may have together, if each is as large as the server takes."""

_SUBJECT_OPTIONS: Final = {Kept.DEAD: "dead_letter_subject", Kept.WAITING: "subject_prefix"}


class NATSDeadLetterStore:
    """What the streams of a topology keep: dead letters, and messages that wait for their agents.

    Args:
        options: what a topology says; `jetstream` may be off.
        context: says where problems of the connection are noted.
    """

    def __init__(self, options: NATSOptions, context: TransportContext) -> None:
        self._options = options
        self._streams = {Kept.DEAD: options.dead_letter_stream, Kept.WAITING: options.stream_name}
        self._subjects = {
            kept: Subjects(getattr(options, name)) for kept, name in _SUBJECT_OPTIONS.items()
        }
        logger = context.logger
        self._connection = Connection(
            options,
            f"civitas {context.process}",
            logger,
            down=lambda reason: logger.warning("%s", reason),
            up=lambda: None,
            failed=context.failed,
            refused=self._on_refused,
        )
        self._api = JetStreamAPI(self._connection, options.send_timeout)
        self._publisher = Publisher(
            self._connection,
            options.stream_name,
            options.send_timeout,
            logger,
            missing=lambda: None,
            limited=lambda: True,
        )
        self._takes_messages = False

    async def start(self) -> None:
        """Connect.

        Raises:
            CivitasError: as for `Connection.open`.
        """
        await self._connection.open()
        await self._publisher.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._publisher.stop(0)
        await self._connection.close()

    def _on_refused(self, subject: str, reason: str) -> None:
        self._api.refused(subject, reason)
        self._publisher.refused(subject, reason)

    async def survey(self, kept: Kept) -> Survey:
        """Count the messages of a stream by the agents that their subjects name.

        Raises:
            ConfigurationError: there is no such stream, or it has other subjects.
            CivitasError: JetStream does not answer, or refuses.
        """
        stream, subjects = self._streams[kept], self._subjects[kept]
        found = await self._api.stream(stream, subjects.all_agents)
        if found is None:
            raise ConfigurationError(
                f"there is no stream {stream} at {mask_logins(self._connection.servers)}: no"
                " process with jetstream has run there, or its stream_name is another one"
            )
        if subjects.all_agents not in (has := _subjects_of(found)):
            raise ConfigurationError(
                f"stream {stream} has the subjects {', '.join(has)}, not {subjects.all_agents}:"
                f" {_SUBJECT_OPTIONS[kept]} is another one"
            )
        counts = (found.state.subjects or {}).items()
        return Survey({subjects.agent_of(at): count for at, count in counts}, found.state.last_seq)

    async def read(self, selection: Selection) -> AsyncGenerator[KeptMessage, None]:
        """Read the selected messages in the order of their stream; all stay.

        Raises:
            CivitasError: JetStream does not answer, or refuses.
        """
        numbers = selection.numbers
        found = self._by_number(selection, numbers) if numbers else self._in_order(selection)
        async for message in found:
            if selection.matches(message):
                yield message

    async def add(self, agent: str, frame: bytes, key: str) -> None:
        """Return when the agents' stream has stored a frame.

        When it is added again within two minutes, it is stored once.

        Raises:
            ConfigurationError: there is no such stream, or it has other subjects.
            CivitasError: as for `Publisher.publish`.
        """
        if not self._takes_messages:
            await self._check_target()
            self._takes_messages = True
        subject = self._subjects[Kept.WAITING].of(agent)
        message_id = f"{self._streams[Kept.DEAD]}.{key}"
        await self._publisher.publish(subject, frame, message_id=message_id)

    async def remove(self, message: KeptMessage) -> None:
        """Remove a message for good.

        Raises:
            CivitasError: JetStream does not answer, or refuses.
        """
        await self._api.delete_message(self._streams[message.kept], message.number)

    async def _check_target(self) -> None:
        name, wanted = self._options.stream_name, self._subjects[Kept.WAITING].all_agents
        found = await self._api.stream(name)
        subjects = [] if found is None else _subjects_of(found)
        if wanted not in subjects:
            problem = f"has the subjects {', '.join(subjects)}" if subjects else "is not there"
            raise ConfigurationError(
                f"stream {name} {problem}, and messages to agents go to {wanted}: give the topology"
                " of the agents"
            )

    async def _by_number(
        self, selection: Selection, numbers: Iterable[int]
    ) -> AsyncGenerator[KeptMessage, None]:
        for number in sorted(set(numbers)):
            message = await self._api.message(self._streams[selection.kept], number)
            if message is not None:
                yield self._read(selection.kept, message)

    async def _in_order(self, selection: Selection) -> AsyncGenerator[KeptMessage, None]:
        """Read many messages together, and skip numbers that are missing."""
        stream, subjects = self._streams[selection.kept], self._subjects[selection.kept]
        agent = selection.agent
        pattern = subjects.all_agents if agent is None else subjects.of(agent)
        last = selection.last
        if last is None:
            last = (await self.survey(selection.kept)).last
        step = max(1, min(_READ_TOGETHER, _BYTES_READ_TOGETHER // self._connection.max_payload))
        number = 1
        while number <= last:
            first = await self._api.next_message(stream, number, pattern)
            if first is None or first.seq is None or first.seq > last:
                return
            yield self._read(selection.kept, first)
            number = min(first.seq + step, last + 1)
            others = range(first.seq + 1, number)
            for message in await asyncio.gather(
                *(self._api.message(stream, each) for each in others)
            ):
                if message is not None:
                    yield self._read(selection.kept, message)

    def _read(self, kept: Kept, message: RawStreamMsg) -> KeptMessage:
        if message.seq is None or message.subject is None:
            raise TransportError(f"stream {self._streams[kept]} answered without a number")
        stored_at = 0.0 if message.time is None else message.time.timestamp()
        agent = self._subjects[kept].agent_of(message.subject)
        frame = message.data or b""
        if kept is Kept.WAITING:
            return KeptMessage(kept, message.seq, agent, frame, stored_at)
        headers = {str(name): str(value) for name, value in (message.headers or {}).items()}
        return dead_letters.read(message.seq, agent, frame, headers, stored_at)


def _subjects_of(stream: StreamInfo) -> list[str]:
    return list(stream.config.subjects or [])
