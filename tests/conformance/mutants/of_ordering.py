"""Transports that mix up, drop or wedge what is in flight together, each in one way."""

from __future__ import annotations

import asyncio
import itertools

from of_requests import OwnReplies
from right import Right, adopt_all

from conformance.hub import Hub, HubTransport


class SharesOutBeyondThirty(OwnReplies):
    """As a pool of connections does that grows with what is in flight."""

    def __init__(self):
        super().__init__()
        self.in_flight = 0
        self.numbers = itertools.count()

    async def publish(self, address, data):
        self.in_flight += 1
        try:
            await asyncio.sleep(0)
            if self.in_flight > 30 and next(self.numbers) % 2:
                await asyncio.sleep(0)
            await super().publish(address, data)
        finally:
            self.in_flight -= 1


class SendsLargeOnesApart(OwnReplies):
    async def publish(self, address, data):
        if len(data) > 1 << 16:
            await asyncio.sleep(0)
        await super().publish(address, data)


class LetsRequestsOvertake(Right):
    async def publish(self, address, data):
        await asyncio.sleep(0)
        await super().publish(address, data)


class KeepsTwoWindows(HubTransport):
    """Its queue before a handler has room for 512 frames, and drops what is too much."""

    network = Hub

    async def subscribe(self, address, handler):
        await super().subscribe(address, handler)
        self.lanes[address][-1].queue = _Bounded()


class _Bounded(asyncio.Queue):
    def put_nowait(self, item):
        if self.qsize() < 512:
            super().put_nowait(item)


class WedgesWhenCancelled(OwnReplies):
    def __init__(self):
        super().__init__()
        self.lock = asyncio.Lock()

    async def publish(self, address, data):
        await self.lock.acquire()
        await asyncio.sleep(0)
        self.lock.release()
        await super().publish(address, data)


class SendsHalfWhenCancelled(OwnReplies):
    async def publish(self, address, data):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await super().publish(address, data[: len(data) // 2])
            raise
        await super().publish(address, data)


class LosesItsNeighbourWhenCancelled(OwnReplies):
    """A batch of the frames in flight is given up when one of them is cancelled."""

    def __init__(self):
        super().__init__()
        self.spoilt = 0

    async def publish(self, address, data):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.spoilt = 1
            raise
        if self.spoilt:
            self.spoilt -= 1
            return
        await super().publish(address, data)


adopt_all(globals(), __name__)
