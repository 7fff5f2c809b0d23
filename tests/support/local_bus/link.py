"""Link: one client's connection to the broker, made again whenever it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable
from typing import Final

from civitas.errors import NotConnectedError
from civitas.plugins import TransportContext
from support.local_bus import wire

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.2
"""Seconds between two attempts to reach the broker."""

_PIECE: Final = 1 << 18
_WAITING: Final = 1 << 20
"""Bytes that wait for the broker before a sender has to."""

_FIRST_TRY: Final = 1.0
_SEND_DEADLINE: Final = 5.0
_FLUSH: Final = 1.0
"""Seconds that a start, a send and a stop wait for the broker."""

_GREETING: Final = b"greeting"
"""Token of the ping behind the subscriptions of a new connection: its echo proves them all."""


class Link:
    """Keeps a connection to the broker, with all subscriptions, until it is stopped.

    Args:
        path: the broker's unix socket.
        context: told when a connection is lost and when it is back.
        addresses: gives the addresses to subscribe to on a new connection.
        on_frame: called with (address, frame) for each frame; never raises.
    """

    def __init__(
        self,
        path: str,
        context: TransportContext,
        addresses: Callable[[], Iterable[str]],
        on_frame: Callable[[str, bytes], None],
    ) -> None:
        self._path = path
        self._context = context
        self._addresses = addresses
        self._on_frame = on_frame
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._up = asyncio.Event()  # set too when all has ended, for those who wait
        self._stopped = False
        self._sending = asyncio.Lock()
        self._is_down = False  # as the node was told
        self._tokens = itertools.count(1)
        self._pings: dict[bytes, asyncio.Future[bool]] = {}

    async def start(self) -> None:
        """Try to connect; where there is no broker yet, go on trying in the background."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._keep_connected(), name="local bus link")
        try:
            async with asyncio.timeout(_FIRST_TRY):
                await self._tried.wait()
        except TimeoutError:
            self._context.logger.warning("the broker at %s does not answer yet", self._path)

    async def stop(self) -> None:
        """Let the broker take what was sent, then close the connection."""
        if self._up.is_set() and not self._stopped:
            try:
                async with asyncio.timeout(_FLUSH):
                    await self.barrier()
            except (TimeoutError, NotConnectedError) as error:
                self._context.logger.warning("not everything reached the broker: %s", error)
        self._stopped = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        self._up.set()

    def tell(self, command: bytes) -> None:
        """Change the subscriptions; without a connection, the next one begins with all of them."""
        if self._writer is not None:
            self._writer.write(command)

    async def send(self, command: bytes) -> None:
        """Send to the broker, as soon as not too much waits for it.

        Raises:
            NotConnectedError: there is no connection, or the broker takes nothing.
        """
        writer = self._writer
        if writer is None or not self._up.is_set() or writer.is_closing():
            raise NotConnectedError(f"no connection to the broker at {self._path}; it is retried")
        try:
            async with asyncio.timeout(_SEND_DEADLINE), self._sending:  # nobody overtakes
                if writer.transport.get_write_buffer_size() > _WAITING:
                    await writer.drain()
                if self._writer is writer:
                    writer.write(command)
                    return
        except (TimeoutError, OSError) as error:
            raise NotConnectedError(
                f"the broker at {self._path} took nothing for {_SEND_DEADLINE:g} s, "
                f"or the connection was lost; the frame was not sent"
            ) from error
        raise NotConnectedError(f"the connection to the broker at {self._path} was lost")

    async def barrier(self) -> None:
        """Return when the broker has done all that was asked of it before.

        Raises:
            NotConnectedError: the link was stopped meanwhile.
        """
        while True:
            await self._up.wait()
            if self._stopped:
                raise NotConnectedError("the local bus was stopped")
            if self._writer is None:
                continue  # lost again before it was this one's turn
            token = b"%d" % next(self._tokens)
            answer = self._pings[token] = asyncio.get_running_loop().create_future()
            self._writer.write(wire.pack(wire.PING, data=token))
            try:
                if await answer:
                    return
            finally:
                del self._pings[token]

    async def _keep_connected(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_PIECE)
            except OSError:
                self._tried.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            try:
                reason = await self._use(reader, writer)
            finally:
                was_up = self._lose()
                writer.transport.abort()
                with contextlib.suppress(OSError):  # why it was lost has been told already
                    await writer.wait_closed()
            if was_up:
                self._is_down = True
                self._context.link_down(reason)

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Subscribe, then read until the connection ends; return why it ended."""
        writer.transport.set_write_buffer_limits(high=_WAITING)
        self._writer = writer
        for address in self._addresses():
            writer.write(wire.pack(wire.SUB, address.encode()))
        writer.write(wire.pack(wire.PING, data=_GREETING))
        splitter = wire.Splitter()
        try:
            while piece := await reader.read(_PIECE):
                for command in splitter.feed(piece):
                    self._take(command)
        except (OSError, wire.WireError, UnicodeDecodeError) as error:
            return f"the connection to the broker failed: {error}"
        return "the broker closed the connection"

    def _take(self, command: wire.Command) -> None:
        if command.operation == wire.PUB:
            self._on_frame(command.address.decode(), command.data)
        elif command.data == _GREETING:
            self._is_up()
        elif (ping := self._pings.get(command.data)) is not None and not ping.done():
            ping.set_result(True)

    def _is_up(self) -> None:
        self._up.set()
        self._tried.set()
        if self._is_down:
            self._is_down = False
            self._context.link_up()

    def _lose(self) -> bool:
        """Forget the connection; return whether it was up."""
        was_up = self._up.is_set()
        self._writer = None
        self._up.clear()
        for ping in self._pings.values():
            if not ping.done():
                ping.set_result(False)
        return was_up
