"""DeadLetterStore: reads dead letters, returns them to their agents, and removes them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from nats.js.api import RawStreamMsg

from civitas.errors import ConfigurationError, TransportError
from civitas.plugins import TransportContext
from civitas_nats.connection import Connection
from civitas_nats.jetstream import dead_letters
from civitas_nats.jetstream.api import JetStreamAPI
from civitas_nats.jetstream.dead_letter_contents import replay_frame
from civitas_nats.jetstream.dead_letters import StoredDeadLetter
from civitas_nats.jetstream.publisher import Publisher
from civitas_nats.options import NATSOptions
from civitas_nats.subjects import Subjects
from civitas_nats.urls import mask_logins

_READ_TOGETHER: Final = 32
"""Messages that are requested together."""

_BYTES_READ_TOGETHER: Final = 64 << 20
"""Bytes that they may have together, if each is as large as the server takes."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters a command is about.

    Attributes:
        numbers: the letters with these numbers; all when empty.
        agent: the letters of this agent; of all agents when None.
    """

    numbers: tuple[int, ...] = ()
    agent: str | None = None

    def matches(self, stored: StoredDeadLetter) -> bool:
        """Return whether a letter is selected."""
        of_agent = self.agent in (None, stored.letter.agent)
        return of_agent and (not self.numbers or stored.number in self.numbers)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The letters that matched a selection at one time; later letters do not belong to it.

    Attributes:
        selection: which letters are selected.
        count: how many there were.
        last: the number of the last letter in the stream.
    """

    selection: Selection
    count: int
    last: int


class DeadLetterStore:
    """The dead letters of one stream, as `async with DeadLetterStore(...) as store`.

    Args:
        options: what a topology says; `jetstream` may be off.
        logger: where problems of the connection are noted.
    """

    def __init__(self, options: NATSOptions, logger: logging.Logger) -> None:
        self._options = options
        self._stream = options.dead_letter_stream
        self._letters = Subjects(options.dead_letter_subject)
        self._subjects = Subjects(options.subject_prefix)
        self._connection = Connection(
            options,
            "civitas-nats",
            logger,
            down=lambda reason: logger.warning("%s", reason),
            up=lambda: None,
            dropped=lambda reason: logger.error("%s", reason),
            failed=TransportContext(logger=logger).failed,  # a command has no node to end
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

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            CivitasError: as for `Connection.open`.
        """
        try:
            await self._connection.open()
            await self._publisher.start()
        except BaseException:
            await self._connection.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect."""
        await self._publisher.stop(0)
        await self._connection.close()

    async def snapshot(self, selection: Selection) -> Snapshot:
        """Return which letters match a selection now.

        Raises:
            ConfigurationError: there is no such stream, or no letter with a number.
            CivitasError: JetStream does not answer, or refuses.
        """
        pattern = self._pattern(selection)
        found = await self._api.stream(self._stream, pattern)
        if found is None:
            raise ConfigurationError(
                f"there is no stream {self._stream} at {mask_logins(self._connection.servers)}: no"
                " process with jetstream has run there, or its stream_name is another one"
            )
        wanted = self._letters.all_agents
        if wanted not in (subjects := found.config.subjects or []):
            raise ConfigurationError(
                f"stream {self._stream} has the subjects {', '.join(subjects)}, not {wanted}:"
                " dead_letter_subject is another one"
            )
        last = found.state.last_seq
        if not selection.numbers:
            return Snapshot(selection, sum((found.state.subjects or {}).values()), last)
        count = 0
        async for _ in self.letters(Snapshot(selection, len(selection.numbers), last)):
            count += 1
        return Snapshot(selection, count, last)

    async def letters(self, snapshot: Snapshot) -> AsyncGenerator[StoredDeadLetter, None]:
        """Read the letters of a snapshot in the order in which they came; all stay.

        Raises:
            ConfigurationError: there is no letter with a number.
            CivitasError: JetStream does not answer, or refuses.
        """
        numbers = snapshot.selection.numbers
        letters = self._by_number(numbers) if numbers else self._in_order(snapshot)
        async for stored in letters:
            if snapshot.selection.matches(stored):
                yield stored

    async def check_replay_target(self) -> None:
        """Check that the agents' stream takes what is replayed.

        Raises:
            ConfigurationError: there is no such stream, or it has other subjects.
            CivitasError: JetStream does not answer, or refuses.
        """
        name, wanted = self._options.stream_name, self._subjects.all_agents
        found = await self._api.stream(name)
        subjects = [] if found is None else found.config.subjects or []
        if wanted not in subjects:
            problem = f"has the subjects {', '.join(subjects)}" if subjects else "is not there"
            raise ConfigurationError(
                f"stream {name} {problem}, and letters to agents go to {wanted}: give the topology"
                " of the agents"
            )

    async def replay(self, stored: StoredDeadLetter) -> None:
        """Send a letter to its agent, and remove it once the agents' stream has stored it.

        When that was interrupted and is done again within two minutes, the message is stored once.

        Raises:
            CivitasError: as for `Publisher.publish`; the letter stays.
        """
        letter = stored.letter
        subject = self._subjects.of(letter.agent)
        frame = replay_frame(stored, time.time())
        await self._publisher.publish(subject, frame, message_id=f"{self._stream}.{stored.id}")
        await self.drop(stored)

    async def drop(self, stored: StoredDeadLetter) -> None:
        """Remove a letter for good.

        Raises:
            CivitasError: JetStream does not answer, or refuses.
        """
        await self._api.delete_message(self._stream, stored.number)

    async def _by_number(self, numbers: Sequence[int]) -> AsyncGenerator[StoredDeadLetter, None]:
        for number in sorted(set(numbers)):
            message = await self._api.message(self._stream, number)
            if message is None:
                raise ConfigurationError(f"there is no dead letter {number}")
            yield self._read(message)

    async def _in_order(self, snapshot: Snapshot) -> AsyncGenerator[StoredDeadLetter, None]:
        """Read many letters together, and skip numbers that are missing."""
        pattern = self._pattern(snapshot.selection)
        step = max(1, min(_READ_TOGETHER, _BYTES_READ_TOGETHER // self._connection.max_payload))
        number = 1
        while number <= snapshot.last:
            first = await self._api.next_message(self._stream, number, pattern)
            if first is None or first.seq is None or first.seq > snapshot.last:
                return
            yield self._read(first)
            number = min(first.seq + step, snapshot.last + 1)
            others = range(first.seq + 1, number)
            for message in await asyncio.gather(
                *(self._api.message(self._stream, each) for each in others)
            ):
                if message is not None:
                    yield self._read(message)

    def _pattern(self, selection: Selection) -> str:
        """Return what the subjects of the selected letters match, whatever their numbers are."""
        agent = selection.agent
        return self._letters.all_agents if agent is None else self._letters.of(agent)

    def _read(self, message: RawStreamMsg) -> StoredDeadLetter:
        if message.seq is None or message.subject is None:
            raise TransportError(f"stream {self._stream} answered without a number")
        headers = {str(name): str(value) for name, value in (message.headers or {}).items()}
        stored_at = 0.0 if message.time is None else message.time.timestamp()
        agent = self._letters.agent_of(message.subject)
        return dead_letters.read(message.seq, agent, message.data or b"", headers, stored_at)
