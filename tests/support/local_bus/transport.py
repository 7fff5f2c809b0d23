"""LocalBusTransport: agents of several processes of one machine, over a broker on a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Final

from civitas.errors import TransportError
from civitas.plugins import Capabilities, TransportContext
from civitas.transport import BrokerSettings, BrokerTransport, Outgoing
from support.local_bus import wire
from support.local_bus.broker import Broker, BrokerRunningError
from support.local_bus.options import LocalBusOptions

_PIECE: Final = 1 << 18
_WAITING: Final = 1 << 20
"""Bytes that wait for the broker before a sender has to."""

CONNECT_TIMEOUT: Final = 30.0
"""Seconds that a start waits: a test may start the process that has the broker as the last one."""

PROBE_TIMEOUT: Final = 5.0


def capabilities_for(options: LocalBusOptions) -> Capabilities:
    """Return what the local bus claims with these options."""
    return Capabilities(
        cross_process=True,
        survives_broker_restart=True,
        max_message_bytes=options.max_message_bytes,
    )


class LocalBusWire:
    """One connection to the broker at a path."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._tokens = count(1)
        self._pongs: dict[bytes, asyncio.Future[None]] = {}

    async def connect(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_unix_connection(self._path, limit=_PIECE)
        self._writer.transport.set_write_buffer_limits(high=_WAITING)

    async def subscribe(self, addresses: Sequence[str]) -> None:
        """Ask for addresses."""
        await self._ask(wire.SUB, addresses)

    async def unsubscribe(self, addresses: Sequence[str]) -> None:
        """Ask for no more of addresses."""
        await self._ask(wire.UNSUB, addresses)

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Send frames."""
        for each in batch:
            self._write(wire.PUB, each.address, each.frame)
        await self._stream.drain()

    async def receive(self, deliver: Callable[[str, bytes], None]) -> None:
        """Deliver what comes."""
        splitter = wire.Splitter()
        while piece := await self._reader.read(_PIECE):
            for command in splitter.feed(piece):
                if command.operation == wire.PUB:
                    deliver(command.address.decode(), command.data)
                elif (asked := self._pongs.pop(command.data, None)) and not asked.done():
                    asked.set_result(None)

    async def close(self) -> None:
        """Let the broker have what was sent, and close."""
        if self._writer is None:
            return
        try:
            self._writer.close()
            with contextlib.suppress(OSError):  # it is lost, which has been said
                await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()

    @property
    def _stream(self) -> asyncio.StreamWriter:
        assert self._writer is not None
        return self._writer

    def _write(self, operation: int, address: str = "", data: bytes = b"") -> None:
        self._stream.write(wire.pack(operation, address.encode(), data))

    async def _ask(self, operation: int, addresses: Sequence[str]) -> None:
        """Send commands, and a ping: its echo proves them all."""
        token = b"%d" % next(self._tokens)
        asked = self._pongs[token] = asyncio.get_running_loop().create_future()
        for address in addresses:
            self._write(operation, address)
        self._write(wire.PING, data=token)
        await asked


class LocalBusTransport(BrokerTransport):
    """Carries frames between the processes that name the same socket.

    The bus delivers at most once: what finds a buffer full, or a connection lost, is gone.

    Args:
        options: where the broker is, and who starts it.
        context: what the node gives; a transport on its own needs none.

    Attributes:
        lost: frames that `cut` and `lose` have made away with.
    """

    def __init__(self, options: LocalBusOptions, context: TransportContext | None = None) -> None:
        super().__init__(
            "local bus",
            partial(LocalBusWire, options.path),
            BrokerSettings(
                place=f"the broker at {options.path}",
                connect_timeout=CONNECT_TIMEOUT,
                probe_timeout=PROBE_TIMEOUT,
            ),
            capabilities_for(options),
            context,
        )
        self.lost = 0
        self._options = options
        self._broker: Broker | None = None
        self._to_lose = 0
        self._to_lose_at: dict[str, int] = {}

    async def open(self) -> None:
        """Start the broker if that is this process's part, and connect to it.

        Raises:
            TransportError: there can't be a socket.
        """
        if self._options.start_broker and self.context.is_primary:
            self._start_broker()
        await super().open()

    async def close(self) -> None:
        """Close the connection, and stop the broker that was started here."""
        broker, self._broker = self._broker, None
        try:
            await super().close()
        finally:
            if broker is not None:
                await asyncio.to_thread(broker.stop)

    async def send(self, address: str, frame: bytes) -> None:
        """Send a frame, unless it is to be lost."""
        if not self._loses(address):
            await super().send(address, frame)

    # --- for tests of what happens to losses --------------------------------------------------

    def cut(self, lose: int) -> None:
        """Lose the next `lose` frames published over the wire, whatever their addresses."""
        self._to_lose = lose

    def lose(self, address: str, count: int) -> None:
        """Lose the next `count` frames published over the wire to one address."""
        self._to_lose_at[address] = count

    def _loses(self, address: str) -> bool:
        if self._to_lose_at.get(address, 0):
            self._to_lose_at[address] -= 1
        elif self._to_lose:
            self._to_lose -= 1
        else:
            return False
        self.lost += 1
        return True

    # --- parts --------------------------------------------------------------------------------

    def _start_broker(self) -> None:
        self._broker = Broker(self._options.path)
        try:
            self._broker.start()
        except BrokerRunningError:
            self._broker = None
            self.context.logger.info("a broker runs at %s already", self._options.path)
        except OSError as error:
            raise TransportError(f"no socket at {self._options.path}: {error}") from error
