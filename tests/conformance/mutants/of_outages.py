"""Transports that do not come back from an outage as they should, each in one way."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from of_durability import RightLedger
from right import adopt_all

from civitas.errors import NotConnectedError
from civitas.messages import REPLY_PREFIX
from civitas.plugins import Capabilities
from conformance.hub import Hub, HubTransport
from support.ledger import Ledger

_NOTICED = 0.01
"""Seconds in which a transport connects again."""


class MortalHub(Hub):
    """A hub that can be killed, or be cut off from everybody."""

    def __init__(self):
        super().__init__()
        self.up = True
        self.members = []

    def kill(self):
        self.listeners.clear()
        self.cut()

    def start(self):
        self.mend()

    def cut(self):
        self.up = False
        for member in self.members:
            member.lost()

    def pause(self):
        self.up = False
        for member in self.members:
            member.hears_nothing()

    def resume(self):
        self.mend()

    def send(self, address, data):
        if self.up:
            super().send(address, data)

    def mend(self):
        self.up = True
        for member in self.members:
            member.back()


class RightAfterAnOutage(HubTransport):
    """The hub's transport, which connects again and subscribes again."""

    network = MortalHub
    capabilities = Capabilities(
        cross_process=True, survives_broker_restart=True, max_message_bytes=64 * 1024
    )

    def __init__(self, hub, context=None):
        super().__init__(hub, context)
        self.connected = asyncio.Event()

    async def start(self):
        self.loop = asyncio.get_running_loop()
        self.hub.members.append(self)
        self.connected.set()
        await super().start()

    async def stop(self):
        if self in self.hub.members:
            self.hub.members.remove(self)
        await super().stop()

    async def publish(self, address, data):
        if self.started and not self.connected.is_set():
            raise NotConnectedError("the hub is away")
        await super().publish(address, data)

    async def wait_ready(self):
        await self.connected.wait()

    async def subscribe(self, address, handler):
        await super().subscribe(address, handler)
        if not self.connected.is_set() and self.hub.listeners[address]:
            self.hub.listeners[address].remove(self.lanes[address][-1])

    async def unsubscribe(self, address):
        for lane in self.lanes.pop(address, ()):
            if lane in self.hub.listeners.get(address, ()):
                self.hub.listeners[address].remove(lane)
            await lane.stop()

    def lost(self):
        self.connected.clear()
        self.context.link_down("the hub is away")
        for address, lanes in self.lanes.items():
            mine = self.hub.listeners.get(address, [])
            mine[:] = [lane for lane in mine if lane not in lanes]

    def hears_nothing(self):
        self.lost()

    def back(self):
        self.loop.call_later(_NOTICED, self.connect)

    def connect(self):
        if self.started and self.hub.up:
            self.subscribe_again()
            self.connected.set()
            self.context.link_up()

    def subscribe_again(self):
        for address, lanes in self.lanes.items():
            self.hub.listeners.setdefault(address, []).extend(lanes)


class IsReadyTooEarly(RightAfterAnOutage):
    async def subscribe(self, address, handler):
        await super().subscribe(address, handler)
        lane = self.lanes[address][-1]
        self.hub.listeners[address].remove(lane)
        self.loop.call_later(_NOTICED, self.hub.listeners[address].append, lane)


class SharesOnlyMemory(RightAfterAnOutage):
    """Right in one process; its claim to cross processes is wrong."""


class NeverConnectsAgain(RightAfterAnOutage):
    def back(self):
        pass


class ForgetsItsSubscriptions(RightAfterAnOutage):
    def subscribe_again(self):
        pass


class SubscribesTwice(RightAfterAnOutage):
    def subscribe_again(self):
        super().subscribe_again()
        super().subscribe_again()


class ForgetsItsReplyAddress(RightAfterAnOutage):
    def subscribe_again(self):
        super().subscribe_again()
        for address in self.lanes:
            if address.startswith(REPLY_PREFIX):
                self.hub.listeners[address].clear()


class TrustsOldProofs(RightAfterAnOutage):
    def subscribe_again(self):
        self.loop.call_later(5 * _NOTICED, super().subscribe_again)


class HangsWithoutItsBroker(RightAfterAnOutage):
    async def publish(self, address, data):
        await self.connected.wait()
        await super().publish(address, data)


class StopWaitsForItsBroker(RightAfterAnOutage):
    async def stop(self):
        await self.connected.wait()
        await super().stop()


class IsHeardTwiceAfterACut(RightAfterAnOutage):
    """Its broker lives on, and still has what it subscribed before."""

    def lost(self):
        self.connected.clear()
        self.context.link_down("the hub is away")


class TellsNoOutage(RightAfterAnOutage):
    def __init__(self, hub, context=None):
        silent = replace(context, link_down=lambda reason: None, link_up=lambda: None)
        super().__init__(hub, silent)


class SaysUpTooEarly(RightAfterAnOutage):
    def connect(self):
        self.connected.set()
        self.context.link_up()
        self.loop.call_later(5 * _NOTICED, self.subscribe_again)


class KeepsSilentInAnOutage(RightAfterAnOutage):
    async def publish(self, address, data):
        if self.connected.is_set() or not self.started:
            await super().publish(address, data)


class SendsLateWhatItRefused(RightAfterAnOutage):
    def __init__(self, hub, context=None):
        super().__init__(hub, context)
        self.refused = []

    async def publish(self, address, data):
        if not self.connected.is_set():
            self.refused.append((address, data))
        await super().publish(address, data)

    def subscribe_again(self):
        super().subscribe_again()
        for address, data in self.refused:
            self.hub.send(address, data)


class ReportsItsLossTwice(RightAfterAnOutage):
    def lost(self):
        super().lost()
        self.context.link_down("it is still away")


class TakesSilenceForPeace(RightAfterAnOutage):
    def hears_nothing(self):
        pass


class ForgetfulLedger(Ledger):
    """A ledger that keeps nothing when it is killed."""

    def kill(self):
        for stream in self.streams.values():
            stream.entries.clear()

    def start(self):
        pass


class KeepsItInMemoryOnly(RightLedger):
    network = ForgetfulLedger
    capabilities = Capabilities(
        cross_process=True, at_least_once=True, survives_broker_restart=True
    )


adopt_all(globals(), __name__)
