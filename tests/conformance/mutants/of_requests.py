"""Transports that spoil requests and their answers, each in one way."""

from __future__ import annotations

import asyncio
import itertools
import os

from right import Right, adopt_all

from civitas import envelope
from civitas.errors import NotConnectedError
from civitas.messages import REPLY_PREFIX
from conformance.hub import Hub, HubTransport


class OwnReplies(Right):
    """Right too, with a reply scheme of its own for its subclasses to spoil."""

    def __init__(self):
        super().__init__()
        self.address = f"_reply.{os.urandom(8).hex()}"
        self.numbers = itertools.count(1)
        self.pending = {}

    async def start(self):
        await super().start()
        await self.subscribe(self.address, self.deliver)

    async def stop(self):
        await super().stop()
        for answer in self.pending.values():
            if not answer.done():
                answer.set_exception(NotConnectedError("stopped"))

    async def deliver(self, data):
        answer = self.find(envelope.reply_to_of(data))
        if answer is not None and not answer.done():
            answer.set_result(data)

    def find(self, address):
        return self.pending.get(address)

    async def request(self, address, data, timeout):
        reply_to = f"{self.address}.{next(self.numbers)}"
        answer = self.pending[reply_to] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self.publish(address, envelope.with_reply_to(data, reply_to))
                return await answer
        finally:
            self.forget(reply_to)

    def forget(self, reply_to):
        del self.pending[reply_to]

    def has_reply_address(self, address):
        return address in self.pending


class AnswersInOrderOfArrival(OwnReplies):
    def find(self, address):
        return next((each for each in self.pending.values() if not each.done()), None)


class KeepsExpiredRequests(OwnReplies):
    def forget(self, reply_to):
        if self.pending[reply_to].done() and not self.pending[reply_to].cancelled():
            super().forget(reply_to)


class AnswersAnotherNodeNowAndThen(HubTransport):
    """Once in twenty an answer goes to another node that has asked."""

    network = Hub

    def __init__(self, hub, context=None):
        super().__init__(hub, context)
        self.answers = itertools.count(1)
        self.asked = set()

    async def publish(self, address, data):
        if address in self.hub.listeners and address.startswith(REPLY_PREFIX):
            self.asked.add(address)
            others = self.asked - {address}
            if others and not next(self.answers) % 20:
                address = others.pop()
        await super().publish(address, data)


class SwallowsCancellation(OwnReplies):
    async def request(self, address, data, timeout):
        try:
            return await super().request(address, data, timeout)
        except asyncio.CancelledError:
            return b""


class LeavesRequestsHanging(OwnReplies):
    async def stop(self):
        await self.inner.stop()


class TimesOutInItsOwnWay(Right):
    async def request(self, address, data, timeout):
        try:
            return await super().request(address, data, timeout)
        except TimeoutError as error:
            raise LookupError("no answer") from error


class ClaimsEveryReplyAddress(Right):
    def has_reply_address(self, address):
        return address.startswith("_reply.")


adopt_all(globals(), __name__)
