"""Transports that do not survive what goes wrong, each in one way."""

from __future__ import annotations

import asyncio

from right import Right, adopt_all

from civitas import envelope
from civitas.errors import FrameError, NotConnectedError


class OneHandlerAtATime(Right):
    def __init__(self):
        super().__init__()
        self.lock = asyncio.Lock()

    async def subscribe(self, address, handler):
        async def in_turn(data):
            async with self.lock:
                await handler(data)

        await super().subscribe(address, in_turn)


class Mortal(Right):
    """Delivers nothing once it is dead."""

    dead = False

    async def publish(self, address, data):
        if not self.dead:
            await super().publish(address, data)


class DiesOfMalformedBytes(Mortal):
    async def publish(self, address, data):
        try:
            envelope.open(data)
        except FrameError:
            self.dead = True
        await super().publish(address, data)


class DiesWithAHandler(Mortal):
    async def subscribe(self, address, handler):
        async def fragile(data):
            try:
                await handler(data)
            except RuntimeError:
                self.dead = True

        await super().subscribe(address, fragile)


class LetsTheHandlersErrorOut(Right):
    async def subscribe(self, address, handler):
        async def tell(data):
            try:
                await handler(data)
            except RuntimeError as error:
                self.told = error

        await super().subscribe(address, tell)

    async def publish(self, address, data):
        self.told = None
        await super().publish(address, data)
        if self.told is not None:
            raise self.told


class ComplainsAboutNobody(Right):
    async def publish(self, address, data):
        try:
            await super().publish(address, data)
        except Exception as error:
            if isinstance(error, NotConnectedError):
                raise
            raise LookupError(address) from error


adopt_all(globals(), __name__)
