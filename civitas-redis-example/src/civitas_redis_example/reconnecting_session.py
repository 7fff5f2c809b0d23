"""ReconnectingSession: keeps a session with the server, and makes a new one when it has failed.

| state | event                   | what is done                            | next state |
|-------|-------------------------|-----------------------------------------|------------|
| down  | a probe came back       | `link_up`, unless it is the first time  | up         |
| down  | the session has failed  | make a new one after a pause            | down       |
| up    | the session has failed  | `link_down`, make a new one             | down       |
| any   | `close`                 | end the session                         | closed     |
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from civitas.errors import NotConnectedError, TransportError, crash_unless_cancelled
from civitas.plugins import TransportContext
from civitas.transport import Dispatcher, cancel_task, start_task
from civitas_redis_example.errors import AccessDeniedError, translated
from civitas_redis_example.options import RedisOptions
from civitas_redis_example.session import Session

_PAUSE: Final = 0.1
"""Seconds between two attempts, and up to twice as many, so that not all processes come at once."""


class ReconnectingSession:
    """Keeps a session, and reports to the node when it is lost and when there is one again.

    It is up only while probes come back.

    Attributes:
        current: the present session, which may have still to connect.

    Args:
        options: what the topology says.
        context: what the node gave.
        dispatcher: its addresses are subscribed, and it gets the frames for them.
    """

    def __init__(
        self, options: RedisOptions, context: TransportContext, dispatcher: Dispatcher
    ) -> None:
        self._options = options
        self._context = context
        self._dispatcher = dispatcher
        self.current = self._new_session()
        self._is_up = asyncio.Event()
        self._was_up = False
        self._problem = translated(TimeoutError(), options.place)
        self._settled = asyncio.Event()
        """Set when it is up for the first time, or will never be up."""
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Connect; wait for a server that is not there yet.

        Raises:
            AccessDeniedError: the server does not let this process in.
            NotConnectedError: there was none within `connect_timeout`.
        """
        self._keeper = start_task(self._keep(), name="civitas redis", failed=self._context.failed)
        async with self._in_time():
            await self._settled.wait()
        if not self._is_up.is_set():
            raise self._problem

    async def close(self) -> None:
        """End the session; what waits for it fails. Idempotent, also half-open."""
        self._closed = True
        if self._keeper is not None:
            cancel_task(self._keeper)
            await asyncio.wait((self._keeper,))
        self._is_up.clear()
        self._problem = NotConnectedError("the redis transport has stopped")
        self._settled.set()

    async def publish(self, address: str, frame: bytes) -> int:
        """Send a frame, and return how many connections the server has given it to.

        It ends at the latest when a probe is missed.

        Raises:
            TransportError: as for `Session.publish`.
        """
        # Before the first proof frames may come already, and their answers must get away.
        if not self._is_up.is_set() and not self.current.is_open:
            raise NotConnectedError(str(self._problem))
        return await self.current.publish(address, frame)

    async def wait_ready(self) -> None:
        """Return when all that was subscribed before is in place, and this process can publish.

        Raises:
            NotConnectedError: it was not so within `connect_timeout`.
        """
        async with self._in_time():
            while True:
                await self._is_up.wait()
                with suppress(NotConnectedError):  # lost meanwhile: the next session proves it
                    return await self.current.prove()
                await asyncio.sleep(_PAUSE)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        limit = self._options.connect_timeout
        try:
            async with asyncio.timeout(limit):
                yield
        except TimeoutError:
            raise NotConnectedError(f"{self._problem} (tried for {limit:g} s)") from None

    # --- keeping ------------------------------------------------------------------------------

    def _new_session(self) -> Session:
        return Session(self._options, self._context.process, self._dispatcher)

    async def _keep(self) -> None:
        while not self._closed:  # a TaskGroup may keep a cancellation to itself (Python 3.11, 3.12)
            try:
                await self.current.run(self._proved)
            except BaseException as error:  # noqa: BLE001 - another one is made in any case
                self._lost(translated(crash_unless_cancelled(error), self._options.place))
            self.current = self._new_session()
            await asyncio.sleep(_PAUSE * (1 + random.random()))

    def _proved(self) -> None:
        if self._is_up.is_set():
            return
        self._is_up.set()
        self._settled.set()
        if self._was_up:
            self._context.logger.info("connected again, to %s", self._options.place)
            self._context.link_up()
        self._was_up = True

    def _lost(self, problem: TransportError) -> None:
        is_news = self._is_up.is_set() or str(problem) != str(self._problem)
        self._problem = problem
        if is_news:
            self._context.logger.warning("%s", problem)
        if self._is_up.is_set():
            self._is_up.clear()
            self._context.link_down(str(problem))
        if isinstance(problem, AccessDeniedError):
            self._settled.set()  # a start need not wait longer
