"""DurableTransport: at least once, by a server that keeps what is for agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Final

from civitas.errors import (
    DeserializationError,
    FrameError,
    NotConnectedError,
    OutcomeUnknownError,
    ProcessingError,
    TransportError,
    crash_unless_cancelled,
)
from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.testing.simulation.network import SimulatedNetwork
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.server_calls import ServerCalls
from civitas.testing.simulation.stream_server import ConsumerVerdict, StreamServer
from civitas.testing.simulation.transport import SimulatedTransport
from civitas.transport import Handler, cancel_task, concurrency_of, start_task

_NOT_KEPT: Final = (RESERVED_PREFIX, REPLY_PREFIX)

_PUBLISH_TIMEOUT: Final = 15.0
"""Seconds that a publish waits for the server's confirmation, over all its attempts."""

_ATTEMPT: Final = 2.0
"""Seconds after which a publish is repeated that was not confirmed."""

_RENEWAL: Final = 1.0
"""Seconds between two reports of a consumer to the server."""


class DurableTransport(SimulatedTransport):
    """Keeps each frame for an agent until the agent has processed it."""

    def __init__(
        self,
        network: SimulatedNetwork,
        server: StreamServer,
        process: SimulatedProcess,
        context: TransportContext,
        number: int,
        max_message_bytes: int | None = None,
    ) -> None:
        super().__init__(network, process, context, number, max_message_bytes)
        self.capabilities = Capabilities(
            cross_process=True,
            cross_machine=True,
            at_least_once=True,
            survives_broker_restart=True,
            max_message_bytes=max_message_bytes,
        )
        self._server = server
        self._readers: dict[str, _Reader] = {}
        self._calls = ServerCalls(network, process, context, self.name, lambda: self.started)

    async def stop(self) -> None:
        """Give back what is not processed, and leave the network."""
        for address in tuple(self._readers):
            await self.unsubscribe(address)
        await super().stop()

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Read the stream of an agent."""
        if address.startswith(_NOT_KEPT):
            await super().subscribe(address, handler)
            return
        if address in self._readers:
            raise TransportError(f"address {address!r} has an owner already")
        reader = self._readers[address] = _Reader(self, self._server, address, handler)
        reader.start()

    async def unsubscribe(self, address: str) -> None:
        """Read the stream of an agent no more."""
        reader = self._readers.pop(address, None)
        if reader is not None:
            await reader.close()
        elif address.startswith(_NOT_KEPT):
            await super().unsubscribe(address)

    async def publish(self, address: str, data: bytes) -> None:
        """Return when the server has confirmed that it keeps the frame."""
        if address.startswith(_NOT_KEPT):
            await super().publish(address, data)
            return
        self.check_size(data)
        self.check_started()
        await _Publish(self, self._server, address, data).confirmed()

    async def backlog(self, addresses: Collection[str]) -> dict[str, int]:
        """Count what the server keeps for each of these agents."""
        self.check_started()
        return await self._calls.ask(partial(self._server.backlog, tuple(addresses)))

    def to_server(self, call: Callable[[], object]) -> bool:
        """Have something done at the server; return whether it set out."""
        return self.network.carry(self.process, None, (self.name, "server"), call)


class _Publish:
    """A frame for the server: it is sent again and again, until it is confirmed or time is up."""

    def __init__(
        self, transport: DurableTransport, server: StreamServer, address: str, frame: bytes
    ) -> None:
        self._transport = transport
        self._server = server
        self._address = address
        self._frame = frame
        self._number = next(server.numbers)
        self._loop = asyncio.get_running_loop()
        self._confirm_later = transport.guard(self._confirm)
        self._answer: asyncio.Future[None] = self._loop.create_future()

    async def confirmed(self) -> None:
        """Return when the server has confirmed it."""
        left, until = False, self._loop.time() + _PUBLISH_TIMEOUT
        while (time := until - self._loop.time()) > 0:
            left = self._transport.to_server(self._store) or left
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_ATTEMPT, time)):
                    await self._answer
                    return
            self._answer = self._loop.create_future()  # the end of an attempt has cancelled it
        if left:
            raise OutcomeUnknownError("the server has not confirmed the message")
        raise NotConnectedError("the link is down")

    def _store(self) -> None:
        """Have the server keep it, and say so."""
        self._server.store(self._address, self._number, self._frame)
        lane = "server", self._transport.name
        self._transport.network.carry(None, self._transport.process, lane, self._answered)

    def _answered(self) -> None:
        if self._transport.started:
            self._loop.call_soon_threadsafe(self._confirm_later)

    def _confirm(self) -> None:
        if not self._answer.done():
            self._answer.set_result(None)


class _Reader:
    """The consumer of one agent's stream: as many frames at once as the agent handles."""

    def __init__(
        self, transport: DurableTransport, server: StreamServer, address: str, handler: Handler
    ) -> None:
        self.name = transport.name
        self.process = transport.process
        self._transport = transport
        self._server = server
        self._address = address
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._handling: dict[int | str, asyncio.Task[None]] = {}
        self._settled: set[int | str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._renew_later = transport.guard(self._renew)
        self._take_later = transport.guard(self._take)

    @property
    def reads(self) -> bool:
        """Whether it takes frames."""
        return self._open and self._transport.started

    @property
    def concurrency(self) -> int:
        """How many frames it takes at once."""
        return concurrency_of(self._handler)

    def start(self) -> None:
        """Begin."""
        self._renew()

    async def close(self) -> None:
        """Take no more; handlers that are still awaited are cancelled, and frames given back."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        handling = list(self._handling.values())
        for task in handling:
            cancel_task(task)
        if handling:
            await asyncio.wait(handling)
        self._transport.to_server(partial(self._server.disown, self._address, self))

    # --- for the server -----------------------------------------------------------------------

    def offer(self, number: int | str, frame: bytes, before: int | str | None) -> None:
        """Take a frame that the server gives, after the one before it."""
        if self.reads:
            self._loop.call_soon_threadsafe(self._take_later, number, frame, before)

    def buried(self, frame: bytes, reason: str) -> None:
        """Report that a frame has become a dead letter."""
        if self._transport.started:
            dropped_later = self._transport.guard(self._transport.context.dropped)
            self._loop.call_soon_threadsafe(dropped_later, f"dead letter: {reason}", frame)

    # --- parts --------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Show the server that this one reads, and that it is at work on frames."""
        if not self._open:
            return
        address = self._address
        self._transport.to_server(partial(self._server.own, address, self))
        for number in self._handling:
            self._transport.to_server(partial(self._server.prolong, address, number, self))
        self._timer = self._loop.call_later(_RENEWAL, self._renew_later)

    def _take(self, number: int | str, frame: bytes, before: int | str | None) -> None:
        """Begin with a frame, unless the one before it has not arrived: then ask for both."""
        if not self._open:
            return
        known = {*self._handling, *self._settled}
        if before is not None and before not in known:
            missed = partial(self._server.missed, self._address, self, known)
            self._transport.to_server(missed)
        elif number not in self._handling:
            self._handling[number] = start_task(
                self._handle(number, frame),
                name=f"{self.name} {self._address}",
                failed=self._transport.context.failed,
            )

    async def _handle(self, number: int | str, frame: bytes) -> None:
        outcome = ConsumerVerdict.GIVEN_BACK
        try:
            outcome = await self._outcome_of(frame)
        finally:
            self._handling.pop(number, None)
            self._settled.add(number)
            settle = partial(self._server.settle, self._address, number, outcome, self)
            self._transport.to_server(settle)

    async def _outcome_of(self, frame: bytes) -> ConsumerVerdict:
        try:
            await self._handler(frame)
        except ProcessingError:
            return ConsumerVerdict.FAILED
        except (FrameError, DeserializationError):
            return ConsumerVerdict.UNREADABLE
        except BaseException as error:  # noqa: BLE001 - whatever it is, the frame is not processed
            crash_unless_cancelled(error)
            return ConsumerVerdict.GIVEN_BACK
        return ConsumerVerdict.DONE
