"""Transports that start or stop badly, each in one way."""

from __future__ import annotations

import asyncio
import os
import threading

from right import Right, adopt_all


class StopsOnlyOnce(Right):
    stopped = False

    async def stop(self):
        if self.stopped:
            raise AttributeError("'NoneType' object has no attribute 'close'")
        self.stopped = True
        await super().stop()


class IsSilentAfterStop(Right):
    stopped = False

    async def start(self):
        self.stopped = False
        await super().start()

    async def stop(self):
        self.stopped = True
        await super().stop()

    async def publish(self, address, data):
        if not self.stopped:
            await super().publish(address, data)


class IsNeverReady(Right):
    async def wait_ready(self):
        await asyncio.Event().wait()


class LeaksATask(Right):
    async def start(self):
        await super().start()
        self.task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")


class LeaksAThread(Right):
    async def start(self):
        await super().start()
        threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()


class LeaksADescriptor(Right):
    async def start(self):
        await super().start()
        self.pipe = os.pipe()


adopt_all(globals(), __name__)
