"""Transports and serializers with one thing wrong each. The kit must catch them all.

This file is run by test_mutants.py, in a pytest of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from typing import ClassVar

import pytest

from civitas import envelope
from civitas.errors import FrameError, NotConnectedError
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities
from civitas.serializer import JsonSerializer, MsgpackSerializer
from civitas.testing import SerializerConformance, TransportConformance
from civitas.transport import InProcessTransport


class Right:
    """The in-process transport, method by method: what the mutants change one thing of."""

    capabilities = Capabilities()

    def __init__(self):
        self.inner = InProcessTransport()

    async def start(self):
        await self.inner.start()

    async def stop(self):
        await self.inner.stop()

    async def subscribe(self, address, handler):
        await self.inner.subscribe(address, handler)

    async def unsubscribe(self, address):
        await self.inner.unsubscribe(address)

    async def publish(self, address, data):
        await self.inner.publish(address, data)

    async def request(self, address, data, timeout):
        return await self.inner.request(address, data, timeout)

    async def wait_ready(self):
        await self.inner.wait_ready()

    def has_reply_address(self, address):
        return self.inner.has_reply_address(address)


# --- delivery ------------------------------------------------------------------------------------


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
        alike = [each for each in self.addresses if self.means(address, each)]
        for each in alike or [address]:
            await super().publish(each, data)


class MatchesPrefixes(Loose):
    def means(self, published, subscribed):
        return published.startswith(subscribed)


class FoldsCase(Loose):
    def means(self, published, subscribed):
        return published.lower() == subscribed.lower()


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


class IgnoresItsLimit(Right):
    capabilities = Capabilities(max_message_bytes=4096)


# --- faults --------------------------------------------------------------------------------------


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


# --- requests ------------------------------------------------------------------------------------


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


# --- lifecycle -----------------------------------------------------------------------------------


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


# --- serializers ---------------------------------------------------------------------------------


class LosesTheTtl(MsgpackSerializer):
    def deserialize(self, data):
        message = super().deserialize(data)
        message.ttl = None
        return message


class MakesFloatsOfIntegers(JsonSerializer):
    def deserialize(self, data):
        message = super().deserialize(data)
        message.payload = {
            key: float(value) if type(value) is int else value
            for key, value in message.payload.items()
        }
        return message


class LetsTheLibrarysErrorOut(JsonSerializer):
    def deserialize(self, data):
        data.decode()
        return super().deserialize(data)


# --- adoption ------------------------------------------------------------------------------------


class Adopted:
    """How each of the above adopts the kit."""

    subject: ClassVar[type]

    @pytest.fixture
    def make_transport(self):
        return self.subject

    @pytest.fixture
    def make_serializer(self):
        return self.subject


def adopt(subject: type) -> type:
    about = {"subject": subject, "patience": 0.5}
    kit = SerializerConformance
    if hasattr(subject, "publish"):
        kit, about["capabilities"] = TransportConformance, subject.capabilities
    return type(f"Test{subject.__name__}", (Adopted, kit), about)


for _subject in [each for each in vars().values() if isinstance(each, type)]:
    if _subject.__module__ == __name__:
        globals()[f"Test{_subject.__name__}"] = adopt(_subject)
