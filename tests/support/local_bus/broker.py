"""Broker: forwards what is published at an address to every connection subscribed there.

In a thread of its own, so that what blocks the event loop of its process does not hold up others:

    with Broker(path) as broker:
        ...

or as a process of its own, which says `ready` and ends at SIGTERM:

    python -m support.local_bus.broker PATH
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self, cast

from support.local_bus import wire

OUTGOING_LIMIT: Final = 16 << 20
"""Bytes that wait for one connection at most; what comes then is dropped: at most once."""

_BACKLOG: Final = 128
_LOOK: Final = 0.5
_FLUSH: Final = 1.0
"""Seconds in which a stopping broker hands over what it has for its connections."""


class BrokerRunningError(Exception):
    """There is a broker at this path already."""


class Exchange:
    """Who is subscribed where, and what became of the frames. Counters may be read by any thread.

    Probes are not counted.

    Attributes:
        forwarded: frames handed to a connection; one for each.
        dropped: frames that found the buffer of a connection full.
        unrouted: frames for an address that nobody was subscribed to.
        refused: connections closed because of what they sent.
    """

    def __init__(self, outgoing_limit: int) -> None:
        self.outgoing_limit = outgoing_limit
        self.connections: set[Connection] = set()
        self.subscribers: dict[bytes, dict[Connection, None]] = {}
        self.forwarded = self.dropped = self.unrouted = self.refused = 0
        self._empty: asyncio.Event | None = None

    def do(self, connection: Connection, command: wire.Command) -> None:
        """Do what a connection asks for.

        Raises:
            WireError: it is nothing that one may ask for.
        """
        if command.operation == wire.PUB:
            self._publish(command.address, command.data)
        elif command.operation == wire.SUB:
            self.subscribers.setdefault(command.address, {})[connection] = None
        elif command.operation == wire.UNSUB:
            self._unsubscribe(connection, command.address)
        elif command.operation == wire.PING:
            connection.send(wire.pack(wire.PONG, data=command.data))
        else:
            raise wire.WireError(f"not for a client to say: {command.operation}")

    def forget(self, connection: Connection) -> None:
        """Take a connection off all its addresses."""
        self.connections.discard(connection)
        for address in list(self.subscribers):
            self._unsubscribe(connection, address)
        if self._empty is not None and not self.connections:
            self._empty.set()

    async def close(self) -> None:
        """Hand over what waits, as far as it is taken in time, and close all connections."""
        self._empty = asyncio.Event()
        if not self.connections:
            return
        for connection in self.connections:
            connection.close()
        try:
            async with asyncio.timeout(_FLUSH):
                await self._empty.wait()
        except TimeoutError:
            for connection in self.connections:
                connection.abort()
            await self._empty.wait()

    def _publish(self, address: bytes, frame: bytes) -> None:
        counted = not address.startswith(b"_probe.")
        subscribers = self.subscribers.get(address)
        if not subscribers:
            self.unrouted += counted
            return
        command = wire.pack(wire.PUB, address, frame)
        for connection in subscribers:
            if connection.waiting + len(command) > self.outgoing_limit:
                self.dropped += counted
            else:
                self.forwarded += counted
                connection.send(command)

    def _unsubscribe(self, connection: Connection, address: bytes) -> None:
        subscribers = self.subscribers.get(address, {})
        subscribers.pop(connection, None)
        if not subscribers:
            self.subscribers.pop(address, None)


class Connection(asyncio.Protocol):
    """The broker's end of one client's stream; its commands are done in the order sent."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._splitter = wire.Splitter()
        self._stream: asyncio.Transport | None = None

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken yet."""
        return 0 if self._stream is None else self._stream.get_write_buffer_size()

    def send(self, command: bytes) -> None:
        """Send without waiting."""
        if self._stream is not None and not self._stream.is_closing():
            self._stream.write(command)

    def close(self) -> None:
        """Close once all is handed over."""
        if self._stream is not None:
            self._stream.close()

    def abort(self) -> None:
        """Close at once."""
        if self._stream is not None:
            self._stream.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream = cast(asyncio.Transport, transport)
        self._exchange.connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            for command in self._splitter.feed(data):
                self._exchange.do(self, command)
        except wire.WireError:
            self._exchange.refused += 1
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._exchange.forget(self)


class Broker:
    """A broker in a thread of its own; it may be stopped and started again on the same path.

    Args:
        path: the unix socket; a file that a killed broker left there is replaced.
        outgoing_limit: bytes that wait for one connection at most.

    Attributes:
        exchange: counters and subscriptions of the present life, or of the last one.
    """

    def __init__(self, path: str | Path, *, outgoing_limit: int = OUTGOING_LIMIT) -> None:
        self.path = Path(path)
        self.exchange = Exchange(outgoing_limit)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._begun = threading.Event()

    def start(self) -> None:
        """Listen; when this returns, clients can connect.

        Raises:
            BrokerRunningError: another one listens at the path.
            OSError: the socket can't be made there.
        """
        listening = _listen(self.path)
        self.exchange = Exchange(self.exchange.outgoing_limit)
        self._begun.clear()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="local bus")
        self._thread.start()
        self._begun.wait()

    def stop(self) -> None:
        """Hand over what was taken, close everything and remove the socket. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, listening: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listening))
        finally:
            self._begun.set()

    async def _serve(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        exchange = self.exchange
        server = await self._loop.create_unix_server(lambda: Connection(exchange), sock=listening)
        self._begun.set()
        await self._until_stopped(self._stop)
        # Before it is closed: what does not answer any more may be replaced by another broker.
        self.path.unlink(missing_ok=True)
        # A connection that asyncio (3.11) is still accepting when its server is closed stays open.
        while accepting := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(accepting)
        server.close()
        await exchange.close()

    async def _until_stopped(self, stop: asyncio.Event) -> None:
        """Wait for `stop`, or for the end of a program that forgot it: it would hang otherwise."""
        while not stop.is_set() and threading.main_thread().is_alive():
            with contextlib.suppress(TimeoutError):  # time to look at the main thread again
                async with asyncio.timeout(_LOOK):
                    await stop.wait()


def _listen(path: Path) -> socket.socket:
    """Return a socket that listens at the path, unless somebody listens there already."""
    with _one_at_a_time(path.parent):
        if path.is_socket():
            if _answers(path):
                raise BrokerRunningError(f"a broker runs at {path} already")
            path.unlink()
        listening = socket.socket(socket.AF_UNIX)
        try:
            listening.bind(str(path))
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    return listening


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let nobody else look for a broker in this folder and start one meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # so many wait for it that there is no room
        except OSError:
            return False
        return True


def main() -> None:
    """Run a broker until SIGTERM or SIGINT."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the thread is made, which inherits it
    with Broker(sys.argv[1]):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
