"""BrokerLink: keeps a session with the broker, and makes a new one when it has failed.

    state  | event                  | what is done                                    | next
    -------+------------------------+-------------------------------------------------+-------
    down   | a probe comes back     | `link_up`, unless it is the first time           | up
    down   | the session fails      | make a new one, after a pause that grows        | down
    up     | the session fails      | `link_down`; make a new one, after a short pause| down
    any    | `close`                | end the session                                 | closed

It is up only while all that is subscribed is confirmed and probes come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from civitas import _platform as platform
from civitas.errors import (
    AccessDeniedError,
    CivitasError,
    ConfigurationError,
    NotConnectedError,
    crash_unless_cancelled,
    describe,
)
from civitas.plugins import TransportContext
from civitas.transport.broker.session import BrokerSession, BrokerSettings
from civitas.transport.broker.wire import Wire
from civitas.transport.dispatcher import Dispatcher
from civitas.transport.tasks import cancel_task, start_task

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.5
"""Seconds between two attempts to connect, and at least half as many: not all come at once."""


class BrokerLink:
    """Keeps a session, and reports to the node when it is lost and when there is one again.

    Args:
        make_wire: makes a wire for each attempt to connect.
        settings: as given to the transport.
        context: as given to the transport.
        dispatcher: its addresses are subscribed, and it gets the frames for them.
    """

    def __init__(
        self,
        make_wire: Callable[[], Wire],
        settings: BrokerSettings,
        context: TransportContext,
        dispatcher: Dispatcher,
    ) -> None:
        self._make_wire = make_wire
        self._settings = settings
        self._context = context
        self._dispatcher = dispatcher
        self._session: BrokerSession | None = None
        self._is_up = asyncio.Event()
        """Set too when it is closed, for those who wait."""
        self._was_up = False
        self._is_settled = asyncio.Event()
        """Set when it is up for the first time, or a start need not wait for that any longer."""
        self._problem: CivitasError = NotConnectedError(f"{settings.place} does not answer")
        self._pause = _FIRST_PAUSE
        self._timeouts: set[asyncio.Timeout] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect; wait for a broker that is not there yet.

        Raises:
            AccessDeniedError: the broker does not let this process in.
            ConfigurationError: the wire says that its options can't be right.
            NotConnectedError: there was none within `connect_timeout`.
        """
        self._keeper = start_task(
            self._keep(), name="civitas broker link", failed=self._context.failed
        )
        async with self._in_time():
            await self._is_settled.wait()
        if not self._was_up:
            raise self._problem

    async def close(self) -> None:
        """Let the broker have what was handed over, and end. Idempotent, also half-open."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        self._problem = NotConnectedError("the transport has stopped")
        self._is_settled.set()
        self._is_up.set()
        try:
            if self._session is not None:
                async with asyncio.timeout(self._settings.linger):
                    await self._session.drain()
        except TimeoutError:
            self._context.logger.warning("not all was sent within %g s", self._settings.linger)
        finally:
            cancel_task(keeper)
        await asyncio.wait((keeper,))
        if self._closing is not None:
            await asyncio.wait((self._closing,))

    def change(self, address: str, *, wanted: bool) -> None:
        """Have the broker asked for an address, or for no more of it.

        Without a session there is nothing to do: the next one begins with what has handlers then.
        """
        if self._session is not None:
            self._session.change(address, wanted=wanted)

    async def send(self, address: str, frame: bytes) -> None:
        """Send a frame; it ends at the latest when a probe is missed.

        Raises:
            TransportError: as for `Transport.publish`.
        """
        session = self._session
        # Before the first proof frames may come already, and their answers must get away.
        if session is None or not session.is_connected:
            raise NotConnectedError(str(self._problem))
        await session.send(address, frame)

    async def prove(self) -> None:
        """Return when all that is subscribed is in place, and this process can publish.

        Raises:
            AccessDeniedError: the broker forbids an address.
            NotConnectedError: it was not so within `connect_timeout`.
        """
        async with self._in_time():
            while True:
                await self._is_up.wait()
                if self._keeper is None:
                    raise self._problem
                session = self._session
                with suppress(NotConnectedError):  # lost meanwhile: the next session proves it
                    if session is not None:
                        return await session.prove()
                await asyncio.sleep(_FIRST_PAUSE)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        limit = self._settings.connect_timeout
        try:
            async with asyncio.timeout(limit) as timeout:
                self._timeouts.add(timeout)
                try:
                    yield
                finally:
                    self._timeouts.discard(timeout)
        except TimeoutError:
            raise NotConnectedError(f"{self._problem} (tried for {limit:g} s)") from None

    def _answered(self) -> None:
        """Give those who wait more time: subscribing goes on."""
        end = asyncio.get_running_loop().time() + self._settings.connect_timeout
        for timeout in self._timeouts:
            if not timeout.expired():
                timeout.reschedule(end)

    # --- keeping ------------------------------------------------------------------------------

    async def _keep(self) -> None:
        task = asyncio.current_task()
        while True:
            try:
                self._session = BrokerSession(
                    self._make_wire(),
                    self._settings,
                    self._context,
                    self._dispatcher,
                    self._answered,
                )
                await self._session.run(self._proved)
            except BaseException as error:  # noqa: BLE001 - another one is made in any case
                self._lost(crash_unless_cancelled(error, "the wire", task))
            finally:
                await self._end_session()
            await asyncio.sleep(self._pause * (0.5 + 0.5 * platform.random_fraction()))
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _end_session(self) -> None:
        """Close the session to its end, also when the keeper is cancelled meanwhile."""
        session, self._session = self._session, None
        if session is not None:
            self._closing = start_task(
                session.close(), name="civitas broker close", failed=self._context.failed
            )
            await asyncio.wait((self._closing,))

    def _proved(self) -> None:
        if self._is_up.is_set():
            return
        self._pause = _FIRST_PAUSE
        self._is_up.set()
        self._is_settled.set()
        if self._was_up:
            self._context.logger.info("connected again, to %s", self._settings.place)
            self._context.link_up()
        self._was_up = True

    def _lost(self, error: Exception) -> None:
        if self._keeper is None:
            return  # it is closed; nobody is to hear of that
        problem = self._as_problem(error)
        is_news = self._is_up.is_set() or str(problem) != str(self._problem)
        self._problem = problem
        if is_news:
            self._context.logger.warning("%s", problem)
        if self._is_up.is_set():
            self._is_up.clear()
            self._context.link_down(str(problem))
        if isinstance(problem, AccessDeniedError | ConfigurationError):
            self._is_settled.set()  # a start need not wait longer

    def _as_problem(self, error: Exception) -> CivitasError:
        if isinstance(error, AccessDeniedError | ConfigurationError | NotConnectedError):
            return error
        text = describe(error).text or "it does not answer"
        problem = NotConnectedError(f"no connection to {self._settings.place}: {text}")
        problem.__cause__ = error
        return problem
