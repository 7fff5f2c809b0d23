"""SimulatedDeadLetterStore: what the server of a simulation keeps, for commands and tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TypeVar

from civitas.errors import NotConnectedError
from civitas.plugins import TransportContext
from civitas.testing.simulation.network import SimulatedNetwork
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.server_calls import ANSWER_TIMEOUT, ServerCalls
from civitas.testing.simulation.stream_server import StreamServer
from civitas.transport import Kept, KeptMessage, Selection, Survey

T = TypeVar("T")


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
        self._server = server
        self._started = False
        name = f"{process.label}#{number}"
        self._calls = ServerCalls(network, process, context, name, lambda: self._started, timeout)

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
        if not self._started:
            raise NotConnectedError("the dead-letter store is not started")
        return await self._calls.ask(question)
