"""SimulatedDeadLetterStore: what the server of a simulation keeps, for commands and tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from civitas.errors import NotConnectedError, OutcomeUnknownError
from civitas.plugins import TransportContext
from civitas.testing.simulation.network import SimulatedNetwork
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.stream_server import StreamServer
from civitas.transport import Kept, KeptMessage, Selection, Survey, guard_callback

T = TypeVar("T")

ANSWER_TIMEOUT: Final = 15.0
"""Seconds for the server's answer, over all attempts."""

_ATTEMPT: Final = 0.5
"""Seconds after which a question is repeated that was not answered."""


class SimulatedDeadLetterStore:
    """Asks the server over the network, which delays and loses as it does for all.

    Args:
        network: what lies between.
        server: what keeps the messages.
        process: whose connection it is.
        context: what the node gives; of it `failed` is needed.
        number: tells it from the other connections of the process.
        timeout: seconds for each answer.
    """

    def __init__(
        self,
        network: SimulatedNetwork,
        server: StreamServer,
        process: SimulatedProcess,
        context: TransportContext,
        number: int,
        timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        self._network = network
        self._server = server
        self._process = process
        self._name = f"{process.label}#{number}"
        self._settle_later = guard_callback(_settle, name=self._name, failed=context.failed)
        self._timeout = timeout
        self._started = False

    async def start(self) -> None:
        """Find the server."""
        self._started = True
        await self._ask(lambda: None)

    async def stop(self) -> None:
        """Ask nothing more."""
        self._started = False

    async def survey(self, kept: Kept) -> Survey:
        """Count what the server keeps."""

        def count() -> Survey:
            counts = Counter(each.agent for each in self._server.messages(kept))
            return Survey(counts, self._server.places)

        return await self._ask(count)

    async def read(self, selection: Selection) -> AsyncGenerator[KeptMessage, None]:
        """Give what is selected; all of it stays."""
        for message in await self._ask(partial(self._server.messages, selection.kept)):
            if selection.matches(message):
                yield message

    async def add(self, agent: str, frame: bytes, key: str) -> None:
        """Return when the server has confirmed that it keeps a frame, once for each key."""
        await self._ask(partial(self._server.store, agent, key, frame))

    async def remove(self, message: KeptMessage) -> None:
        """Have the server keep a message no longer."""
        await self._ask(partial(self._server.forget, message))

    async def _ask(self, question: Callable[[], T]) -> T:
        """Have something done at the server, perhaps several times, and return what it gives."""
        if not self._started:
            raise NotConnectedError("the dead-letter store is not started")
        loop = asyncio.get_running_loop()
        left, until = False, loop.time() + self._timeout
        while (time := until - loop.time()) > 0:
            answer: asyncio.Future[T] = loop.create_future()
            at_server = partial(self._answer, question, answer)
            lane = (self._name, "server")
            left = self._network.carry(self._process, None, lane, at_server) or left
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_ATTEMPT, time)):
                    return await answer
        if left:
            raise OutcomeUnknownError("the server has not answered")
        raise NotConnectedError("the link is down")

    def _answer(self, question: Callable[[], T], answer: asyncio.Future[T]) -> None:
        """At the server: do what is asked, and send what it gives."""
        given = question()
        lane = ("server", self._name)
        self._network.carry(None, self._process, lane, partial(self._came, answer, given))

    def _came(self, answer: asyncio.Future[T], given: T) -> None:
        if self._started:
            answer.get_loop().call_soon_threadsafe(self._settle_later, answer, given)


def _settle(answer: asyncio.Future[T], given: T) -> None:
    if not answer.done():
        answer.set_result(given)
