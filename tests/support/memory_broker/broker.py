"""MemoryBroker: passes frames on after half a round trip each way, and fails as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from civitas.errors import AccessDeniedError, MessageRoutingError
from civitas.transport import Outgoing

ROUND_TRIP: Final = 0.01

Fault: TypeAlias = Callable[[], Awaitable[None]]


class MemoryBroker:
    """Its wires take turns as the event loop has it; on virtual time all of it is exact.

    Attributes:
        is_there: whether it accepts connections.
        is_silent: whether it keeps its connections, and takes and says nothing.
        lets_in: whether it lets processes in.
        forbidden: addresses for which it refuses to subscribe and to publish.
        knows_subscribers: whether it refuses frames that nobody has subscribed to.
        cuts_behind_probes: how many connections end right behind the next probe.
        faults: what is awaited in a method of a wire, by its name, before the method's own work.
        attempts: when a wire began to connect.
        asked: for each SUBSCRIBE, how many addresses it named.
        forgotten: addresses of which no more was asked for.
        batches: for each publish, its frames, without the probes.
        wires: the connections.
        closed: how many wires were closed.
    """

    def __init__(self, round_trip: float = ROUND_TRIP) -> None:
        self.half = round_trip / 2
        self.is_there = True
        self.is_silent = False
        self.lets_in = True
        self.forbidden: set[str] = set()
        self.knows_subscribers = False
        self.cuts_behind_probes = 0
        self.faults: dict[str, Fault] = {}
        self.attempts: list[float] = []
        self.asked: list[int] = []
        self.forgotten: list[str] = []
        self.batches: list[list[bytes]] = []
        self.wires: list[MemoryWire] = []
        self.closed = 0

    def make_wire(self) -> MemoryWire:
        """Return a wire."""
        return MemoryWire(self)

    def cut(self) -> None:
        """End all connections."""
        for wire in tuple(self.wires):
            wire.end()

    def stop(self) -> None:
        """End all connections, and accept no more."""
        self.is_there = False
        self.cut()

    def pass_on(self, batch: Sequence[Outgoing]) -> None:
        """Give frames to all who have subscribed."""
        coming: list[tuple[MemoryWire, Outgoing]] = []
        for each in batch:
            found = [wire for wire in self.wires if each.address in wire.addresses]
            if each.address in self.forbidden:
                each.refuse(AccessDeniedError(f"you may not publish to {each.address!r}"))
            elif not found and self.knows_subscribers:
                each.refuse(MessageRoutingError("nobody is there"))
            coming += [(wire, each) for wire in found]
        # Together, as timers of one moment keep no order; and after the answer to the publisher.
        asyncio.get_running_loop().call_later(1.1 * self.half, self._arrive, coming)

    def _arrive(self, coming: list[tuple[MemoryWire, Outgoing]]) -> None:
        for wire, each in coming:
            wire.come(each.address, each.frame)


class MemoryWire:
    """A connection."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.addresses: set[str] = set()
        self._broker = broker
        self._incoming: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()

    def end(self) -> None:
        """End it, as a broker does that has gone."""
        if self in self._broker.wires:
            self._broker.wires.remove(self)
            self._incoming.put_nowait(None)

    def come(self, address: str, frame: bytes) -> None:
        """Have a frame come, unless the connection has ended."""
        if self in self._broker.wires and not self._broker.is_silent:
            self._incoming.put_nowait((address, frame))
            if address.startswith("_probe.") and self._broker.cuts_behind_probes:
                self._broker.cuts_behind_probes -= 1
                self.end()

    async def connect(self) -> None:
        """Connect and log in."""
        broker = self._broker
        broker.attempts.append(asyncio.get_running_loop().time())
        await self._fault("connect")
        await self._there_and_back()
        if not broker.is_there:
            raise ConnectionRefusedError("connection refused")
        if not broker.lets_in:
            raise AccessDeniedError("wrong password")
        broker.wires.append(self)

    async def subscribe(self, addresses: Sequence[str]) -> None:
        """Ask for addresses: all, or none where one is forbidden."""
        self._broker.asked.append(len(addresses))
        await self._fault("subscribe")
        await self._there_and_back()
        self._check()
        for address in addresses:
            if address in self._broker.forbidden:
                raise AccessDeniedError(f"you may not subscribe to {address!r}")
        self.addresses.update(addresses)

    async def unsubscribe(self, addresses: Sequence[str]) -> None:
        """Ask for no more of addresses."""
        await self._fault("unsubscribe")
        await self._there_and_back()
        self._check()
        self._broker.forgotten += addresses
        self.addresses.difference_update(addresses)

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Hand frames over, and wait for the answer."""
        frames = [each.frame for each in batch if not each.address.startswith("_probe.")]
        if frames:
            self._broker.batches.append(frames)
            await self._fault("publish")
        await self._there()
        self._check()
        self._broker.pass_on(batch)
        await self._there()
        self._check()

    async def receive(self, deliver: Callable[[str, bytes], None]) -> None:
        """Deliver what comes."""
        await self._fault("receive")
        while (item := await self._incoming.get()) is not None:
            deliver(*item)

    async def close(self) -> None:
        """Close it."""
        self.end()
        self._broker.closed += 1
        await self._fault("close")

    def _check(self) -> None:
        if self not in self._broker.wires:
            raise ConnectionResetError("connection reset")

    async def _fault(self, method: str) -> None:
        fault = self._broker.faults.get(method)
        if fault is not None:
            await fault()

    async def _there(self) -> None:
        await asyncio.sleep(self._broker.half)
        while self._broker.is_silent:
            await asyncio.sleep(self._broker.half)

    async def _there_and_back(self) -> None:
        await self._there()
        await self._there()
