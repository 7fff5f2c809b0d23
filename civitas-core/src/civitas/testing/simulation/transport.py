"""SimulatedTransport: at most once, as a broker's publish and subscribe."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from civitas.envelope import UnsealedRequest
from civitas.errors import MessageTooLargeError, NotConnectedError
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.testing.simulation.network import SimulatedNetwork
from civitas.testing.simulation.process import SimulatedProcess
from civitas.transport import Dispatcher, Handler, InProcessTransport, Publish, guard_callback

CONNECT_TIMEOUT: Final = 20.0
"""Seconds that a start waits for its link."""

_LOOK: Final = 0.1
"""Seconds between two looks at a link that is down."""

_DRAIN: Final = 1.0
"""Seconds that the handlers have to finish at a stop."""


class SimulatedTransport:
    """Carries frames by a simulated network; what is lost there is lost."""

    def __init__(
        self,
        network: SimulatedNetwork,
        process: SimulatedProcess,
        context: TransportContext,
        number: int,
        max_message_bytes: int | None = None,
    ) -> None:
        self.capabilities = Capabilities(
            cross_process=True,
            cross_machine=True,
            survives_broker_restart=True,
            max_message_bytes=max_message_bytes,
        )
        self._largest = max_message_bytes
        self.network = network
        self.process = process
        self.control = context.control
        self.name = f"{process.label}#{number}"
        self.local = self.within_process = InProcessTransport(context)
        self.dispatcher = Dispatcher(context)
        self.started = False
        self.context = context
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._line = asyncio.Lock()
        self._in_line = 0
        self.guard = partial(guard_callback, name=self.name, failed=context.failed)
        self._deliver_later = self.guard(self.dispatcher.deliver)
        self._link_down_later = self.guard(context.link_down)
        self._link_up_later = self.guard(context.link_up)
        self._has_room_later = self.guard(self._has_room.set)
        self.loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Join the network."""
        await self._connected()
        self.loop = asyncio.get_running_loop()
        self.started = True
        await self.local.start()
        self.network.endpoints.append(self)
        if self.local.inbox.address not in self.dispatcher:
            self.dispatcher.subscribe(self.local.inbox.address, self.local.inbox)

    async def stop(self) -> None:
        """Leave the network, and let the handlers finish."""
        self.started = False
        if self in self.network.endpoints:
            self.network.endpoints.remove(self)
        await self.local.stop()
        await self.dispatcher.close(_DRAIN)

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame for `address` to `handler`."""
        if not address.startswith(RESERVED_PREFIX):
            await self.local.subscribe(address, handler)
        self.dispatcher.subscribe(address, handler)

    async def unsubscribe(self, address: str) -> None:
        """Give no more frames for `address` to anyone."""
        await self.local.unsubscribe(address)
        await self.dispatcher.unsubscribe(address)

    async def publish(self, address: str, data: bytes) -> None:
        """Hand a frame to the network, or to its owner in this process."""
        self.check_size(data)
        if address in self.local:
            await self.local.publish(address, data)
            return
        self.check()
        if self._in_line or not self._has_room.is_set():
            await self._wait_for_room()
        self.network.publish(self, address, data)

    def publish_nowait(self, address: str, data: bytes) -> bool:
        """Hand a frame to the network and return True; now and then there is no room for a while.

        It returns False for all that `publish` does in another way, too.
        """
        small = self._largest is None or len(data) <= self._largest
        linked = self.started and not self.network.trouble(self.process)
        if not small or not linked or address in self.local:
            return False
        if self._in_line or not self._has_room.is_set():
            return False
        if self.network.is_crowded() and self.loop is not None:
            self._has_room.clear()
            self.loop.call_later(self.network.latency(), self._has_room_later)
            return False
        self.network.publish(self, address, data)
        return True

    async def request(
        self,
        address: str,
        data: bytes | UnsealedRequest,
        timeout: float | None,
        publish: Publish | None = None,
    ) -> bytes:
        """Send a frame, by `publish` if that is given, and return the frame that answers it."""
        self.check()
        send = partial(publish or self.publish, address)
        return await self.local.inbox.request(data, timeout, send)

    async def wait_ready(self) -> None:
        """Return when this process has its link, and a round trip has passed."""
        self.check_started()
        await self._connected()
        await asyncio.sleep(2 * self.network.latency())

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` belongs to a request in flight."""
        return self.local.inbox.has(address)

    # --- for the network ----------------------------------------------------------------------

    def listens(self, address: str) -> bool:
        """Return whether anyone here is subscribed to the address."""
        return address in self.dispatcher

    def receive(self, address: str, frame: bytes) -> None:
        """Take a frame from the network."""
        if self.started and self.loop is not None:
            self.loop.call_soon_threadsafe(self._deliver_later, address, frame)

    def link_changed(self, reason: str) -> None:
        """Report that the link is down, or with no reason that it is up."""
        if not self.process.alive or self.loop is None:
            return
        if reason:
            self.loop.call_soon_threadsafe(self._link_down_later, reason)
        else:
            self.loop.call_soon_threadsafe(self._link_up_later)

    # --- parts --------------------------------------------------------------------------------

    def check_size(self, data: bytes) -> None:
        """Raise when a frame is larger than this transport carries."""
        if self._largest is not None and len(data) > self._largest:
            raise MessageTooLargeError(
                f"a frame of {len(data)} bytes is more than max_message_bytes ({self._largest})"
            )

    def check_started(self) -> None:
        """Raise unless it is started."""
        if not self.started:
            raise NotConnectedError("the simulated transport is not started")

    def check(self) -> None:
        """Raise unless it is started and has its link."""
        self.check_started()
        trouble = self.network.trouble(self.process)
        if trouble:
            raise NotConnectedError(f"the link is down: {trouble}")

    async def _wait_for_room(self) -> None:
        """Wait in line: who was called first goes on first."""
        self._in_line += 1
        try:
            async with self._line:
                await self._has_room.wait()
        finally:
            self._in_line -= 1
        self.check()

    async def _connected(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + CONNECT_TIMEOUT
        while self.network.trouble(self.process):
            if loop.time() >= until:
                raise NotConnectedError(f"not connected within {CONNECT_TIMEOUT:g} s")
            await asyncio.sleep(_LOOK)
