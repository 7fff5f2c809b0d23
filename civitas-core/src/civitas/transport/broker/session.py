"""BrokerSession: one wire, from its first byte to whatever ends it.

Four tasks share a wire, and the end of one is the end of all: one reads, one sends (`send_queue`),
one subscribes (`subscriptions`), and one probes. A probe is a frame to an address of the session's
own, which goes to the broker and comes back, past the frames that wait to be sent. That it comes in
time shows that the connection lives, whatever TCP and the broker's client think of it. That it was
sent after the broker had confirmed all subscriptions shows that frames arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final, NoReturn

from civitas import _platform as platform
from civitas.errors import (
    NotConnectedError,
    OutcomeUnknownError,
    crash_unless_cancelled,
    describe,
)
from civitas.plugins import TransportContext
from civitas.transport.broker.send_queue import SendQueue
from civitas.transport.broker.subscriptions import BrokerSubscriptions
from civitas.transport.broker.wire import Wire
from civitas.transport.dispatcher import Dispatcher
from civitas.transport.tasks import cancel_task, start_task

_LOOKS: Final = 10
"""Looks at a probe within its time: one that comes late, since this process itself stood still,
leaves time for the others."""


@dataclass(frozen=True, kw_only=True)
class BrokerSettings:
    """What a BrokerTransport is to know of its broker, and how long it waits for it.

    Attributes:
        place: the broker for messages, such as its URL without the login.
        connect_timeout: seconds for one attempt to connect, for a start, and for `wait_ready`; for
            the last two they begin anew when a connection is there, and when subscriptions of
            many are answered.
        probe_interval: seconds between two probes of a connection.
        probe_timeout: seconds after which a connection on which no probe comes back is lost; more
            than the largest frame takes on its way.
        linger: seconds within which a stop lets handlers finish, and then the wire close.
    """

    place: str
    connect_timeout: float = 5.0
    probe_interval: float = 1.0
    probe_timeout: float = 3.0
    linger: float = 1.0


class BrokerSession:
    """Sends and receives by one wire, until that fails.

    Args:
        wire: a fresh one.
        settings: as given to the transport.
        context: as given to the transport.
        dispatcher: its addresses are subscribed, and it gets the frames for them.
        answered: called when it is connected, and each time that subscriptions were answered.

    Attributes:
        send: `SendQueue.send`.
        change: `BrokerSubscriptions.change`.
    """

    def __init__(
        self,
        wire: Wire,
        settings: BrokerSettings,
        context: TransportContext,
        dispatcher: Dispatcher,
        answered: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._settings = settings
        self._context = context
        self._deliver_to_handlers = dispatcher.deliver
        self._answered = answered
        self._own = f"_probe.{platform.random_bytes(8).hex()}"
        self._queue = SendQueue(wire, settings.place)
        self._subscriptions = BrokerSubscriptions(
            wire, dispatcher.addresses(), context.logger, answered
        )
        self.send: Final = self._queue.send
        self.change: Final = self._subscriptions.change
        self._is_connected = False
        self._failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._parts: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._echoes: dict[bytes, asyncio.Event] = {}

    @property
    def is_connected(self) -> bool:
        """Whether frames can be sent: it is logged in, and has not failed."""
        return self._is_connected and not self._failure.done()

    async def run(self, proved: Callable[[], None]) -> NoReturn:
        """Connect, and go on until the connection fails; raise why. `close` must follow.

        Args:
            proved: called each time that a probe comes back while all subscriptions are confirmed.
        """
        await self._connect()
        self._answered()
        for work in (self._subscriptions.run, partial(self._probe, proved)):
            self._start(work)
        raise await asyncio.shield(self._failure)

    async def close(self) -> None:
        """End what is going on, tell all who wait, and close the wire."""
        self._fail(NotConnectedError("the transport has stopped"))
        self._queue.close()
        parts = tuple(self._parts)
        for part in parts:
            cancel_task(part)
        if parts:
            await asyncio.wait(parts)
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(self._settings.linger):
                await self._wire.close()
        except BaseException as error:  # noqa: BLE001 - a wire may raise anything
            crash = crash_unless_cancelled(error, "the wire", task)
            self._context.logger.warning("a connection did not close: %s", describe(crash))

    async def prove(self) -> None:
        """Return when all that is subscribed now is confirmed, and a probe has come back since.

        Raises:
            AccessDeniedError: the broker forbids an address that is subscribed.
            NotConnectedError: the session has failed.
        """
        await self._subscriptions.wait_in_line()
        self._subscriptions.check()
        await self._round_trip()

    async def drain(self) -> None:
        """Return when the broker has all that was to be sent, or the session has failed."""
        await self._queue.wait_idle()

    # --- connecting ---------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Log in, and subscribe the address at which probes come back."""
        limit = self._settings.connect_timeout
        try:
            async with asyncio.timeout(limit):
                await self._wire.connect()
                self._is_connected = True
                self._start(self._read)
                self._start(self._queue.run)
                first = self._start(partial(self._wire.subscribe, [self._own]))
                await asyncio.wait((first, self._failure), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise NotConnectedError(
                f"no connection to {self._settings.place} within {limit:g} s (connect_timeout)"
            ) from error
        if self._failure.done():
            raise self._failure.result()

    # --- the tasks ----------------------------------------------------------------------------

    def _start(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Start a task with which the session ends when it raises.

        It makes the coroutine itself: one that is cancelled before its first turn has made none.
        """
        part = start_task(self._or_fail(work), name="civitas broker", failed=self._context.failed)
        self._parts.add(part)
        part.add_done_callback(self._parts.discard)
        return part

    async def _or_fail(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.current_task()
        try:
            await work()
        except BaseException as error:  # noqa: BLE001 - whatever it is ends the session
            self._fail(crash_unless_cancelled(error, "the wire", task))

    def _fail(self, error: Exception) -> None:
        if self._failure.done():
            return
        self._failure.set_result(error)
        self._subscriptions.close()
        for echo in self._echoes.values():
            echo.set()

    async def _read(self) -> None:
        await self._wire.receive(self._deliver)
        raise ConnectionResetError(f"{self._settings.place} has closed the connection")

    def _deliver(self, address: str, frame: bytes) -> None:
        if address != self._own:
            self._deliver_to_handlers(address, frame)
        elif frame in self._echoes:
            self._echoes[frame].set()

    # --- probing ------------------------------------------------------------------------------

    async def _probe(self, proved: Callable[[], None]) -> None:
        limit = self._settings.probe_timeout
        while True:
            is_in_line = self._subscriptions.in_line
            probe = self._start(self._round_trip)
            for _ in range(_LOOKS):
                await asyncio.wait((probe,), timeout=limit / _LOOKS)
                if probe.done():
                    break
            else:
                raise NotConnectedError(f"no answer from {self._settings.place} for {limit:g} s")
            if self._failure.done():
                return  # it is not the broker that has ended the probe
            if is_in_line:
                proved()
                await asyncio.sleep(self._settings.probe_interval)
                continue
            with suppress(TimeoutError):  # prove it as soon as it is so
                async with asyncio.timeout(self._settings.probe_interval):
                    await self._subscriptions.wait_in_line()

    async def _round_trip(self) -> None:
        token = b"%d" % next(self._numbers)
        echo = self._echoes[token] = asyncio.Event()
        try:
            await self.send(self._own, token, first=True)
            if not self._failure.done():
                await echo.wait()
        except OutcomeUnknownError as error:  # of no interest: it did not come back
            raise NotConnectedError(str(error)) from error
        finally:
            del self._echoes[token]
        if self._failure.done():
            raise NotConnectedError(f"the connection to {self._settings.place} is lost")
