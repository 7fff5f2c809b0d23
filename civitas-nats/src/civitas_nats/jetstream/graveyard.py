"""Graveyard: reading dead letters, returning them to their agents, and removing them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

from nats.js.api import RawStreamMsg

from civitas.errors import ConfigurationError, TransportError
from civitas_nats.connection import Connection
from civitas_nats.jetstream import dead_letters
from civitas_nats.jetstream.contents import frame_again
from civitas_nats.jetstream.dead_letters import Buried
from civitas_nats.jetstream.management import Management
from civitas_nats.jetstream.publisher import Publisher
from civitas_nats.options import NATSOptions
from civitas_nats.servers import shown
from civitas_nats.subjects import Subjects

_AT_A_TIME: Final = 32
"""Messages that are asked for together."""

_BYTES_AT_A_TIME: Final = 64 << 20
"""Bytes that these have at most, when all are as large as the server takes."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant.

    Attributes:
        numbers: these; all when there are none.
        agent: those of this agent; of all agents when None.
    """

    numbers: tuple[int, ...] = ()
    agent: str | None = None

    def has(self, buried: Buried) -> bool:
        """Return whether a letter is meant."""
        of_agent = self.agent in (None, buried.letter.agent)
        return of_agent and (not self.numbers or buried.number in self.numbers)


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is of a selection at one time. Letters that come later do not belong to it.

    Attributes:
        selection: which letters are meant.
        count: how many there are.
        last: the number of the last letter in the stream.
    """

    selection: Selection
    count: int
    last: int


class Graveyard:
    """The dead letters of one stream, as `async with Graveyard(...) as graveyard`.

    Args:
        options: what a topology says; `jetstream` may be off.
        logger: where trouble is noted.
    """

    def __init__(self, options: NATSOptions, logger: logging.Logger) -> None:
        self._options = options
        self._stream = options.dead_letter_stream
        self._begin = f"{options.dead_letter_subject}."
        self._subjects = Subjects(options.subject_prefix)
        self._connection = Connection(
            options,
            "civitas-nats",
            logger,
            down=lambda reason: logger.warning("%s", reason),
            up=lambda: None,
            dropped=lambda reason: logger.error("%s", reason),
        )
        self._management = Management(self._connection, options.send_timeout)
        self._publisher = Publisher(
            self._connection,
            options.stream_name,
            uuid4().hex,
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

    async def survey(self, selection: Selection) -> Extent:
        """Return what there is of a selection.

        Raises:
            ConfigurationError: there is no such stream, or no letter of a number.
            CivitasError: JetStream does not answer, or refuses.
        """
        pattern = self._begin + (selection.agent or "*")
        found = await self._management.stream(self._stream, pattern)
        if found is None:
            raise ConfigurationError(
                f"there is no stream {self._stream} at {shown(self._connection.servers)}: no"
                " process with jetstream has run there, or its stream_name is another one"
            )
        wanted = f"{self._begin}*"
        if wanted not in (subjects := found.config.subjects or []):
            raise ConfigurationError(
                f"stream {self._stream} has the subjects {', '.join(subjects)}, not {wanted}:"
                " dead_letter_subject is another one"
            )
        last = found.state.last_seq
        if not selection.numbers:
            return Extent(selection, sum((found.state.subjects or {}).values()), last)
        count = 0
        async for _ in self.letters(Extent(selection, len(selection.numbers), last)):
            count += 1
        return Extent(selection, count, last)

    async def letters(self, extent: Extent) -> AsyncGenerator[Buried, None]:
        """Read the letters of a selection in the order in which they came; all of them stay.

        Raises:
            ConfigurationError: there is no letter of a number.
            CivitasError: JetStream does not answer, or refuses.
        """
        numbers = extent.selection.numbers
        reading = self._by_number(numbers) if numbers else self._in_order(extent)
        async for buried in reading:
            if extent.selection.has(buried):
                yield buried

    async def check_way_back(self) -> None:
        """See that the agents' stream takes what goes back to them.

        Raises:
            ConfigurationError: there is no such stream, or it has other subjects.
            CivitasError: JetStream does not answer, or refuses.
        """
        name, wanted = self._options.stream_name, self._subjects.all_agents
        found = await self._management.stream(name)
        subjects = [] if found is None else found.config.subjects or []
        if wanted not in subjects:
            told = f"has the subjects {', '.join(subjects)}" if subjects else "is not there"
            raise ConfigurationError(
                f"stream {name} {told}, and letters to agents go to {wanted}: give the topology"
                " of the agents"
            )

    async def replay(self, buried: Buried) -> None:
        """Return a letter to its agent, and remove it once the agents' stream has stored it.

        Done again within two minutes, after it was interrupted, it is stored once.

        Raises:
            CivitasError: as for `Publisher.publish`; the letter stays.
        """
        letter = buried.letter
        subject = self._subjects.of(letter.agent)
        frame = frame_again(buried, time.time())
        await self._publisher.publish(subject, frame, message_id=f"{self._stream}.{buried.id}")
        await self.drop(buried)

    async def drop(self, buried: Buried) -> None:
        """Remove a letter for ever.

        Raises:
            CivitasError: JetStream does not answer, or refuses.
        """
        await self._management.delete_message(self._stream, buried.number)

    async def _by_number(self, numbers: Sequence[int]) -> AsyncGenerator[Buried, None]:
        for number in sorted(set(numbers)):
            message = await self._management.message(self._stream, number)
            if message is None:
                raise ConfigurationError(f"there is no dead letter {number}")
            yield self._read(message)

    async def _in_order(self, extent: Extent) -> AsyncGenerator[Buried, None]:
        """Read by leaps over what is missing, and by many at a time what is not."""
        pattern = self._begin + (extent.selection.agent or "*")
        step = max(1, min(_AT_A_TIME, _BYTES_AT_A_TIME // self._connection.max_payload))
        number = 1
        while number <= extent.last:
            first = await self._management.next_message(self._stream, number, pattern)
            if first is None or first.seq is None or first.seq > extent.last:
                return
            yield self._read(first)
            number = min(first.seq + step, extent.last + 1)
            others = range(first.seq + 1, number)
            for message in await asyncio.gather(
                *(self._management.message(self._stream, each) for each in others)
            ):
                if message is not None:
                    yield self._read(message)

    def _read(self, message: RawStreamMsg) -> Buried:
        if message.seq is None or message.subject is None:
            raise TransportError(f"stream {self._stream} answered without a number")
        headers = {str(name): str(value) for name, value in (message.headers or {}).items()}
        stored = 0.0 if message.time is None else message.time.timestamp()
        agent = message.subject.removeprefix(self._begin)
        return dead_letters.read(message.seq, agent, message.data or b"", headers, stored)
