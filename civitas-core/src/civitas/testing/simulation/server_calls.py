"""ServerCalls: questions of one process to the server of a simulation, repeated until answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from civitas.errors import NotConnectedError, OutcomeUnknownError
from civitas.plugins import TransportContext
from civitas.testing.simulation.network import SimulatedNetwork
from civitas.testing.simulation.process import SimulatedProcess
from civitas.transport import guard_callback

T = TypeVar("T")

ANSWER_TIMEOUT: Final = 15.0
"""Seconds for the server's answer, over all attempts."""

_ATTEMPT: Final = 0.5
"""Seconds after which a question is repeated that was not answered."""


class ServerCalls:
    """Asks the server over the network, which delays and loses as it does for all.

    Args:
        network: what lies between.
        process: whose connection it is.
        context: what the node gives; of it `failed` is needed.
        name: tells the connection from the others of the process.
        is_open: returns whether the connection is still used.
        timeout: seconds for each answer.
    """

    def __init__(
        self,
        network: SimulatedNetwork,
        process: SimulatedProcess,
        context: TransportContext,
        name: str,
        is_open: Callable[[], bool],
        timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        self._network = network
        self._process = process
        self._name = name
        self._settle_later = guard_callback(_settle, name=name, failed=context.failed)
        self._is_open = is_open
        self._timeout = timeout

    async def ask(self, question: Callable[[], T]) -> T:
        """Have something done at the server, perhaps several times, and return what it gives.

        Raises:
            NotConnectedError: the link is down.
            OutcomeUnknownError: the server has not answered in time.
        """
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
        if self._is_open():
            answer.get_loop().call_soon_threadsafe(self._settle_later, answer, given)


def _settle(answer: asyncio.Future[T], given: T) -> None:
    if not answer.done():
        answer.set_result(given)
