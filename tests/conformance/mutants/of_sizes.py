"""Transports that cut or lose what is large, each in one kind of frame."""

from __future__ import annotations

import asyncio

from of_requests import OwnReplies
from right import Right, adopt_all

from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX

_MUCH = 1 << 16


class CutsLargeAnswers(OwnReplies):
    async def publish(self, address, data):
        await super().publish(address, data[:_MUCH] if address.startswith(REPLY_PREFIX) else data)


class CutsLargeSystemFrames(Right):
    async def publish(self, address, data):
        system = address.startswith(RESERVED_PREFIX)
        await super().publish(address, data[:_MUCH] if system else data)


class LosesLargeAnswersInFlight(OwnReplies):
    """Large answers go a way of their own, which has room for one."""

    waiting = None

    async def publish(self, address, data):
        if not address.startswith(REPLY_PREFIX) or len(data) < 1 << 15:
            await super().publish(address, data)
            return
        self.waiting = address, data
        await asyncio.sleep(0)
        if self.waiting is not None:
            (address, data), self.waiting = self.waiting, None
            await super().publish(address, data)


adopt_all(globals(), __name__)
