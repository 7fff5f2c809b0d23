"""Transports that lose, change or misdirect frames, each in one way."""

from __future__ import annotations

import asyncio
import itertools

from right import Right, adopt_all

from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities
from conformance.hub import Hub, HubTransport


class LosesOneInTen(Right):
    def __init__(self):
        super().__init__()
        self.numbers = itertools.count(1)

    async def publish(self, address, data):
        if next(self.numbers) % 10:
            await super().publish(address, data)


class Reorders(Right):
    held = None

    async def publish(self, address, data):
        if self.held is None:
            self.held = data
            return
        held, self.held = self.held, None
        await super().publish(address, data)
        await super().publish(address, held)


class LetsOthersOvertake(Right):
    def __init__(self):
        super().__init__()
        self.numbers = itertools.count(1)

    async def publish(self, address, data):
        if not next(self.numbers) % 3:
            await asyncio.sleep(0)
        await super().publish(address, data)


class DeliversTwice(Right):
    async def publish(self, address, data):
        await super().publish(address, data)
        await super().publish(address, data)


class StripsZeroBytes(Right):
    async def publish(self, address, data):
        await super().publish(address, data.rstrip(b"\0"))


class CutsLargeFrames(Right):
    async def publish(self, address, data):
        await super().publish(address, data[: 1 << 16])


class Loose(Right):
    """Knows its addresses, so that its subclasses can take one for another."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    async def subscribe(self, address, handler):
        await super().subscribe(address, handler)
        self.addresses.append(address)

    async def publish(self, address, data):
        alike = {each for each in self.addresses if self.means(address, each)}
        for each in alike or [address]:
            await super().publish(each, data)


class MatchesPrefixes(Loose):
    def means(self, published, subscribed):
        return published.startswith(subscribed)


class FoldsCase(Loose):
    def means(self, published, subscribed):
        return published.lower() == subscribed.lower()


class TakesDotsForUnderscores(Loose):
    def means(self, published, subscribed):
        return published.replace(".", "_") == subscribed.replace(".", "_")


class EscapesAllButItsEscape(Loose):
    def means(self, published, subscribed):
        return published.replace(".", "=2E") == subscribed.replace(".", "=2E")


class CutsLongNames(Loose):
    def means(self, published, subscribed):
        return published[:199] == subscribed[:199] and len(published) == len(subscribed)


class LetsASecondOwnerIn(Right):
    async def subscribe(self, address, handler):
        if not address.startswith(RESERVED_PREFIX):
            await self.unsubscribe(address)
        await super().subscribe(address, handler)


class SystemAddressesHaveOneSubscriber(Right):
    async def subscribe(self, address, handler):
        if address.startswith(RESERVED_PREFIX):
            await self.unsubscribe(address)
        await super().subscribe(address, handler)


class KeepsDeliveringAfterUnsubscribe(Right):
    def __init__(self):
        super().__init__()
        self.handlers = {}

    async def subscribe(self, address, handler):
        earlier = self.handlers.get(address)

        async def both(data):
            if earlier:
                await earlier(data)
            await handler(data)

        await super().subscribe(address, both)
        self.handlers[address] = handler


class StaysSubscribed(HubTransport):
    """Forgets the address itself; the hub goes on sending it what is for that address."""

    network = Hub

    async def unsubscribe(self, address):
        await super().unsubscribe(address)
        if self.started:
            self.hub.listeners.setdefault(address, []).append(self)

    def put(self, data):
        self.context.dropped("nobody here has that address", data)


class SubscribesAgainBesides(HubTransport):
    """Where an address is left, what the hub has of it stays, and is joined by the next one's."""

    network = Hub

    async def subscribe(self, address, handler):
        left = getattr(self, "left", {})
        await super().subscribe(address, handler)
        if address in left:
            self.hub.listeners[address].append(self.lanes[address][-1])

    async def unsubscribe(self, address):
        lanes = self.lanes.get(address, ())
        await super().unsubscribe(address)
        for lane in lanes:
            if lane in self.hub.listeners[address]:
                self.hub.listeners[address].remove(lane)
        self.left = {**getattr(self, "left", {}), address: True}


class IgnoresItsLimit(Right):
    capabilities = Capabilities(max_message_bytes=4096)


adopt_all(globals(), __name__)
