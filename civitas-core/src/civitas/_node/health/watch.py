"""NodeWatch: the thread that looks at a node from outside its event loop, and speaks for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from civitas import _platform as platform
from civitas._health.listener import open_listener
from civitas._health.loop_watch import TICK, LoopWatch
from civitas._health.notify import Notifier
from civitas._health.settings import HealthSettings, Listen
from civitas._node.health.http import HttpServer
from civitas._node.health.pages import Pages
from civitas._node.health.vitals import Vitals
from civitas.errors import crash_of, logger_of
from civitas.transport.tasks import Failed, failure_of, guard_callback

logger = logger_of("civitas.node")

_NAME: Final = "civitas health"


class NodeWatch:
    """Answers probes, and tells a service manager, from before a node's start to after its stop.

    Args:
        vitals: the node.
        settings: where it listens, and what it bears.
        notifier: tells the service manager; None where there is none. It is closed at the end.
        failed: called, in any thread, when this has ended unexpectedly.
        on_look: called at each look, in the thread of this, with the time of the platform.
    """

    def __init__(
        self,
        vitals: Vitals,
        settings: HealthSettings,
        notifier: Notifier | None,
        failed: Failed,
        on_look: Callable[[float], object],
    ) -> None:
        self.url = ""
        """Where it answers; empty where it does not."""
        self._vitals = vitals
        self._settings = settings
        self._notifier = notifier
        self._failed = failed
        self._on_look = on_look
        self._listener: socket.socket | None = None
        self._runner = platform.make_runner(_NAME)
        watchdog = None if notifier is None else notifier.watchdog
        tick = TICK if watchdog is None else min(TICK, watchdog / 4)
        self._watch = LoopWatch(platform.monotonic(), tick)
        self._is_stopped = False
        self._stopping = asyncio.Event()
        self._stop_later = guard_callback(self._stopping.set, name=_NAME, failed=failed)
        self._home: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    # --- for the node's own event loop --------------------------------------------------------

    async def start(self) -> None:
        """Answer from now on.

        Raises:
            ConfigurationError: this machine has no such address, or it may not be used.
            CivitasError: the address is in use.
        """
        listen = self._settings.listen
        if listen is not None:
            self._listener = open_listener(self._settings)
            bound = Listen(listen.host, self._listener.getsockname()[1])
            self.url = f"http://{bound}"
        self._home = asyncio.get_running_loop()
        self._ended = self._home.create_future()
        self._opened = self._home.create_future()
        try:
            self._runner.start(self._live, self._loop_ended)
        except BaseException:  # there is nothing that could end
            self._ended.set_result(None)
            self._release()
            raise
        await self._opened
        if self.url:
            metrics = ", /metrics" if self._settings.metrics else ""
            logger.info("health: %s (/live, /ready%s)", self.url, metrics)

    async def stop(self) -> None:
        """Answer no more, and leave nothing behind. Idempotent."""
        if self._ended is None:
            return
        self._is_stopped = True  # first: the thread looks at it once it has a loop
        if self._loop is not None and not self._ended.done():
            with suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._stop_later)
        await asyncio.shield(self._ended)
        self._runner.join()

    # --- its own loop -------------------------------------------------------------------------

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._is_stopped:  # before there was a loop to say it to
            self._stopping.set()
        server = None
        try:
            if self._listener is not None:
                pages = Pages(self._vitals, self._settings, self._blocked)
                server = HttpServer(self._listener, pages.respond, self._failed)
                await server.start()
            self._at_home(_set, self._opened)
            while not self._stopping.is_set():
                self._look()
                await self._pause()
        finally:
            if server is not None:
                await server.stop()
            self._release()

    def _release(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._notifier is not None:
            self._notifier.stopping()
            self._notifier.close()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._watch.tick):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _look(self) -> None:
        now = platform.monotonic()
        if self._watch.look(now) and not self._at_home(self._watch.answer):
            self._stopping.set()  # the loop has ended without a stop of its node
        self._on_look(now)
        if self._notifier is not None:
            self._tell(self._notifier, now)

    def _tell(self, notifier: Notifier, now: float) -> None:
        """Tell the service manager what has changed, and that all is well while the loop turns."""
        state, blocked = self._vitals.state(), self._watch.blocked(now)
        reasons = self._vitals.not_ready(blocked, self._settings)
        if state == "stopping":
            notifier.stopping()
        elif state == "running":
            notifier.ready()
        count = self._vitals.running()
        well = "1 agent runs" if count == 1 else f"{count:,} agents run"
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        notifier.status(f"{reasons[0]}{more}" if reasons else well)
        if not blocked:
            notifier.alive(now)

    def _blocked(self) -> float:
        return self._watch.blocked(platform.monotonic())

    def _at_home(self, call: Callable[..., object], *arguments: object) -> bool:
        """Call something in the node's event loop; return whether there is still one."""
        assert self._home is not None
        guarded = guard_callback(call, name=_NAME, failed=self._failed)
        try:
            self._home.call_soon_threadsafe(guarded, *arguments)
        except RuntimeError:
            return False
        return True

    def _loop_ended(self, failure: BaseException | None) -> None:
        if failure is not None:
            self._failed(failure_of(_NAME, crash_of(failure)))
        for future in (self._opened, self._ended):
            self._at_home(_set, future)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
