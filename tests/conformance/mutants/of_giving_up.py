"""At-least-once transports that give up, give again or refuse wrongly, each in one way."""

from __future__ import annotations

from dataclasses import replace

from of_durability import RightLedger
from right import adopt_all

from civitas.envelope import ORIGIN_AT
from support.ledger import Ledger


class TellsNoDeadLetter(RightLedger):
    def __init__(self, ledger, context=None):
        def dropped(reason, frame):
            if not reason.startswith("given up"):
                context.dropped(reason, frame)

        super().__init__(ledger, replace(context, dropped=dropped))


class TellsDeadLettersTwice(RightLedger):
    def __init__(self, ledger, context=None):
        def dropped(reason, frame):
            context.dropped(reason, frame)
            if reason.startswith("given up"):
                context.dropped("now a dead letter", frame)

        super().__init__(ledger, replace(context, dropped=dropped))


class DeletesDeadLetters(RightLedger):
    def network():
        ledger = Ledger(retry_delay=0.03)
        ledger.dead_letters = _Nothing()
        return ledger


class _Nothing(list):
    def append(self, item):
        pass


class KeepsDeadLettersTwice(DeletesDeadLetters):
    def network():
        ledger = Ledger(retry_delay=0.03)
        ledger.dead_letters = _Double()
        return ledger


class _Double(list):
    def append(self, item):
        super().append(item)
        super().append(item)


class GivesAgainAtOnce(RightLedger):
    def network():
        return Ledger(retry_delay=0.0)


class CountsAnOrderlyStop(RightLedger):
    """The broker counts deliveries, and nothing takes back what a stop has cut short."""

    async def unsubscribe(self, address):
        in_hand = address in getattr(self, "in_hand", ())
        await super().unsubscribe(address)
        entries = self.ledger.stream(address).entries
        if in_hand and entries:
            entries[0].failures += 1

    async def judge(self, handler, address, frame):
        self.in_hand = {address}
        await handler(frame)
        self.in_hand = set()


class RefusesWhatWasKept(RightLedger):
    async def judge(self, handler, address, frame):
        if frame[ORIGIN_AT] not in self.context.fenced:
            await handler(frame)

    def __init__(self, ledger, context=None):
        super().__init__(ledger, context)
        self.context = context


adopt_all(globals(), __name__)
