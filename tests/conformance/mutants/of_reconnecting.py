"""Transports that connect again, but with something missing, left behind, or in haste."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket

from of_outages import MortalHub, RightAfterAnOutage
from right import adopt_all

from civitas.errors import NotConnectedError

_NOTICED = 0.05
"""Seconds in which a hub that stands still is noticed."""


class LosesOneInFiftyAfterAReconnect(RightAfterAnOutage):
    losing = False

    def connect(self):
        super().connect()
        self.losing, self.numbers = True, itertools.count(1)

    async def publish(self, address, data):
        if not self.losing or next(self.numbers) % 50:
            await super().publish(address, data)


class ConnectsAgainOnlyOnce(RightAfterAnOutage):
    outages = 0

    def lost(self):
        super().lost()
        self.outages += 1

    def connect(self):
        if self.outages < 2:
            super().connect()


class TellsOnlyTheFirstOutage(RightAfterAnOutage):
    told = False

    def lost(self):
        if self.told:
            self.connected.clear()
        else:
            super().lost()
        self.told = True


class ForgetsWhatIsSubscribedInAnOutage(RightAfterAnOutage):
    known = None

    def lost(self):
        self.known = set(self.lanes)
        super().lost()

    def subscribe_again(self):
        late = {each: lanes for each, lanes in self.lanes.items() if each not in self.known}
        super().subscribe_again()
        for address, lanes in late.items():
            mine = self.hub.listeners[address]
            mine[:] = [lane for lane in mine if lane not in lanes]


class SubscribesAgainWhatWasLeft(RightAfterAnOutage):
    had = ()

    def lost(self):
        self.had = tuple(self.lanes)
        super().lost()

    def subscribe_again(self):
        super().subscribe_again()
        for address in self.had:
            if address not in self.lanes:
                self.hub.listeners.setdefault(address, []).append(self)

    def put(self, data):
        self.context.dropped("nobody here has that address", data)


class LeavesADescriptorBehind(RightAfterAnOutage):
    """One for each outage; its stop closes them all."""

    def __init__(self, hub, context=None):
        super().__init__(hub, context)
        self.open = []

    def connect(self):
        super().connect()
        self.open += os.pipe()

    async def stop(self):
        await super().stop()
        while self.open:
            os.close(self.open.pop())


class LeavesATaskBehind(RightAfterAnOutage):
    """One for each outage; its stop ends them all."""

    def __init__(self, hub, context=None):
        super().__init__(hub, context)
        self.waiting = []

    def lost(self):
        super().lost()
        self.waiting.append(self.loop.create_task(asyncio.Event().wait()))

    async def stop(self):
        await super().stop()
        for task in self.waiting:
            task.cancel()
        if self.waiting:
            await asyncio.wait(self.waiting)


class ConnectsWithoutAPause(RightAfterAnOutage):
    trying = None

    def lost(self):
        super().lost()
        self.trying = self.loop.create_task(self.try_for_ever())

    def back(self):
        super().back()
        self.trying.cancel()

    async def try_for_ever(self):
        while True:
            with socket.socket() as client:
                client.connect_ex(("127.0.0.1", 9))
            await asyncio.sleep(0.005)

    async def stop(self):
        await super().stop()
        if self.trying is not None:
            self.trying.cancel()
            await asyncio.wait([self.trying])


class SpinsWithoutItsBroker(ConnectsWithoutAPause):
    async def try_for_ever(self):
        while True:
            await asyncio.sleep(0)


class SubscribesFiveHundredAgain(RightAfterAnOutage):
    """What is more does not fit into its buffer."""

    def subscribe_again(self):
        super().subscribe_again()
        for address in list(self.lanes)[500:]:
            self.hub.listeners[address].clear()


class CallsItUnsent(RightAfterAnOutage):
    """A frame that it has handed over when the connection is lost is called not sent."""

    async def publish(self, address, data):
        await super().publish(address, data)
        for _ in range(10):
            await asyncio.sleep(0)
        if not self.connected.is_set() and self.started:
            raise NotConnectedError("the hub went away")


class SleepyHub(MortalHub):
    """A hub that takes frames while it stands still, and delivers them when it goes on."""

    def __init__(self):
        super().__init__()
        self.asleep = False
        self.kept = []

    def pause(self):
        self.asleep = True
        for member in self.members:
            member.loop.call_later(_NOTICED, member.hears_nothing)

    def resume(self):
        self.asleep = False
        kept, self.kept = self.kept, []
        for address, data in kept:
            self.send(address, data)
        for member in self.members:
            member.back()

    def send(self, address, data):
        if self.asleep:
            self.kept.append((address, data))
        else:
            super().send(address, data)


class CallsSilenceUnsent(RightAfterAnOutage):
    network = SleepyHub

    def hears_nothing(self):
        self.connected.clear()
        self.context.link_down("the hub says nothing")

    def subscribe_again(self):
        for address in self.lanes:
            self.hub.listeners[address] = []
        super().subscribe_again()

    async def publish(self, address, data):
        await super().publish(address, data)
        if self.hub.asleep:
            raise NotConnectedError("the hub says nothing")


adopt_all(globals(), __name__)
