"""At-least-once transports that lose, keep or repeat what they should not, each in one way."""

from __future__ import annotations

import asyncio
import contextlib

from right import adopt_all

from civitas import envelope
from civitas.errors import FrameError, ProcessingError
from civitas.messages import RESERVED_PREFIX
from support.ledger import Ledger, LedgerTransport


class RightLedger(LedgerTransport):
    """The ledger's transport, of which each mutant changes how a handler's end is understood."""

    def network():
        return Ledger(retry_delay=0.03)

    @staticmethod
    async def dead_letters(ledger):
        return [letter.frame for letter in ledger.dead_letters]

    def __init__(self, ledger, context=None):
        super().__init__(ledger, context)
        self.ledger = ledger

    async def subscribe(self, address, handler):
        if address.startswith("_"):
            await super().subscribe(address, handler)
            return

        async def judged(frame):
            await self.judge(handler, address, frame)

        self.ledger.stream(address)
        await super().subscribe(address, judged)

    async def judge(self, handler, address, frame):
        await handler(frame)


class TakesAnErrorForAnAcknowledgement(RightLedger):
    async def judge(self, handler, address, frame):
        with contextlib.suppress(Exception):
            await handler(frame)


class LetsTheNextOnePass(RightLedger):
    async def judge(self, handler, address, frame):
        try:
            await handler(frame)
        except ProcessingError:
            attempt = envelope.open(frame).attempt
            await self.publish(address, envelope.with_attempt(frame, attempt + 1))


class DoesNotSayHowOften(RightLedger):
    async def judge(self, handler, address, frame):
        await handler(envelope.with_attempt(frame, 0))


class RetriesForEver(RightLedger):
    def network():
        return Ledger(retry_delay=0.03, max_deliver=1_000_000)


class CountsWhatWasNotExecuted(RightLedger):
    async def judge(self, handler, address, frame):
        try:
            await handler(frame)
        except Exception as error:
            raise ProcessingError(address, type(error).__name__, str(error)) from error


class RetriesWhatCanNotBeRead(RightLedger):
    async def judge(self, handler, address, frame):
        try:
            await handler(frame)
        except FrameError as error:
            raise OSError from error


class AcknowledgesOnArrival(RightLedger):
    handling = None

    async def judge(self, handler, address, frame):
        self.handling = asyncio.ensure_future(handler(frame))
        await asyncio.sleep(0)

    async def stop(self):
        await super().stop()
        if self.handling is not None:
            self.handling.cancel()
            await asyncio.wait([self.handling])


class LosesWhatIsInHandAtUnsubscribe(RightLedger):
    async def unsubscribe(self, address):
        await super().unsubscribe(address)
        entries = self.ledger.stream(address).entries
        if entries:
            entries.popleft()


class ForgetsItsLastAcknowledgement(RightLedger):
    last = None

    async def judge(self, handler, address, frame):
        await handler(frame)
        self.last = address, frame

    async def stop(self):
        await super().stop()
        if self.last is not None:
            (address, frame), self.last = self.last, None
            self.ledger.stream(address).append(frame)


class LosesWhatIsForNobody(RightLedger):
    async def publish(self, address, data):
        somebody = address.startswith("_") or address in self.ledger.streams
        await super().publish(address, data)
        if not somebody:
            del self.ledger.streams[address]


class CountsForReadersOnly(RightLedger):
    def served(self, address):
        return address in self.ledger.streams and self.ledger.streams[address].serving.locked()

    async def backlog(self, addresses):
        return await super().backlog([e for e in addresses if self.served(e)])


class CountsWithoutWhatIsInHand(RightLedger):
    async def backlog(self, addresses):
        streams = self.ledger.streams
        counts = (await super().backlog(addresses)).items()
        return {each: count - streams[each].serving.locked() for each, count in counts}


class CountsNamesLoosely(RightLedger):
    async def backlog(self, addresses):
        alike = {each: [n for n in self.ledger.streams if n.startswith(each)] for each in addresses}
        counts = await super().backlog([*self.ledger.streams])
        return {each: sum(counts[n] for n in names) for each, names in alike.items()}


class TakesWhatItCounts(RightLedger):
    async def backlog(self, addresses):
        counts = await super().backlog(addresses)
        self.ledger.streams["cook_2"].entries.popleft()
        return counts


class CountsAfterItsEnd(RightLedger):
    async def backlog(self, addresses):
        return {each: len(self.ledger.kept(each)) for each in addresses}


class KeepsSystemFrames(RightLedger):
    async def publish(self, address, data):
        await super().publish(address, data)
        if address.startswith(RESERVED_PREFIX):
            self.ledger.early = address, data

    async def subscribe(self, address, handler):
        await super().subscribe(address, handler)
        early, data = getattr(self.ledger, "early", (None, None))
        if early == address:
            await handler(data)


adopt_all(globals(), __name__)
