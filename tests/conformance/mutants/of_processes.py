"""Transports that forget that there are other processes, nodes and threads, each in one way."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

from right import adopt_all

from civitas.messages import RESERVED_PREFIX
from conformance.hub import Hub, HubTransport


class RightBetweenNodes(HubTransport):
    """The hub's transport."""

    network = Hub


class SharesSystemFramesOut(RightBetweenNodes):
    """As a queue group of a broker does: one connection gets each frame."""

    async def publish(self, address, data):
        if not address.startswith(RESERVED_PREFIX):
            await super().publish(address, data)
            return
        everybody = self.hub.listeners.get(address, [])
        if everybody:
            owner = everybody[0].context
            for lane in everybody:
                if lane.context is owner:
                    lane.put(data)


class DeliversWhatIsLate(RightBetweenNodes):
    def __init__(self, hub, context=None):
        super().__init__(hub, replace(context, fenced=frozenset()))


class DropsInSilence(RightBetweenNodes):
    def __init__(self, hub, context=None):
        super().__init__(hub, replace(context, dropped=lambda reason, frame: None))


class NeedsTheMainThread(RightBetweenNodes):
    async def start(self):
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        await super().start()


class IgnoresItsLimitAtHome(RightBetweenNodes):
    async def publish(self, address, data):
        if address in self.lanes:
            self.hub.send(address, data)
        else:
            await super().publish(address, data)


class ThrowsAwayAtStop(RightBetweenNodes):
    """Sends in a task of its own, a little later."""

    def __init__(self, hub, context=None):
        super().__init__(hub, context)
        self.waiting = []

    async def publish(self, address, data):
        await super().publish("nobody", data)  # its checks
        self.waiting.append((address, data))
        asyncio.get_running_loop().call_later(0.01, self.flush)

    def flush(self):
        waiting, self.waiting = self.waiting, []
        for address, data in waiting:
            self.hub.send(address, data)

    async def stop(self):
        self.waiting = []
        await super().stop()


adopt_all(globals(), __name__)
