"""Dead-letter stores that lose, hide or repeat what is kept, each in one way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from right import adopt

from civitas.errors import NotConnectedError
from civitas.transport import Kept
from support.ledger import Entry, Ledger, LedgerStore, LedgerTransport


class RightStore(LedgerStore):
    """The ledger's store, of which each mutant changes one thing."""

    def __init__(self, ledger):
        super().__init__(ledger)
        self.ledger = ledger


class GivesUpWithoutKeeping(RightStore):
    async def start(self):
        await super().start()
        self.ledger.dead_letters.clear()


class KeepsTheFrameAlone(RightStore):
    async def read(self, selection):
        async for each in super().read(selection):
            yield replace(each, reason="", deliveries=0)


class ForgetsWhen(RightStore):
    async def read(self, selection):
        async for each in super().read(selection):
            yield replace(each, time=0.0)


class TakesWhatItReads(RightStore):
    async def read(self, selection):
        async for each in super().read(selection):
            yield each
            await self.remove(each)


class BeginsWithTheNewest(RightStore):
    async def read(self, selection):
        for each in reversed([each async for each in super().read(selection)]):
            yield each


class MatchesNamesLoosely(RightStore):
    async def read(self, selection):
        agent = selection.agent
        async for each in super().read(replace(selection, agent=None)):
            if agent is None or each.agent.casefold().startswith(agent.casefold()):
                yield each


class HasNoEnd(RightStore):
    async def read(self, selection):
        async for each in super().read(replace(selection, last=None)):
            yield each


class CountsAllTogether(RightStore):
    async def survey(self, kept):
        found = await super().survey(kept)
        return replace(found, counts={"all": sum(found.counts.values())})


class CountsWhatHasAReader(RightStore):
    async def survey(self, kept):
        found = await super().survey(kept)
        if kept is Kept.DEAD:
            return found
        served = {name for name, s in self.ledger.streams.items() if s.serving.locked()}
        return replace(found, counts={n: c for n, c in found.counts.items() if n in served})


class ComplainsOfWhatIsGone(RightStore):
    async def remove(self, message):
        if message.number not in {each.number for each in self._messages(message.kept)}:
            raise LookupError(message.number)
        await super().remove(message)


class RemovesTheFirst(RightStore):
    async def remove(self, message):
        for each in self._messages(message.kept)[:1]:
            await super().remove(each)


class MarksOnly(RightStore):
    async def remove(self, message):
        if message.kept is Kept.DEAD:
            await super().remove(message)


class CountsOn(RightStore):
    async def add(self, agent, frame, key):
        entry = Entry(frame, self.ledger.number(), 0.0, failures=1)
        self.ledger.stream(agent).entries.append(entry)
        self.ledger.stream(agent).news.set()


class PublishesToWhoListens(RightStore):
    async def add(self, agent, frame, key):
        if self.ledger.stream(agent).serving.locked():
            await super().add(agent, frame, key)


class PutsItInFront(RightStore):
    async def add(self, agent, frame, key):
        await super().add(agent, frame, key)
        self.ledger.stream(agent).entries.rotate(1)


class KeepsTheFormerName(RightStore):
    async def add(self, agent, frame, key):
        await super().add("cook_2" if agent == "cook" else agent, frame, key)


class NeedsAStartToStop(RightStore):
    async def stop(self):
        if not self._started:
            raise RuntimeError("not started")
        await super().stop()


class WorksAfterItsEnd(RightStore):
    def _check(self):
        pass


class Breakable(Ledger):
    """A ledger that can be away."""

    away = False

    def kill(self):
        self.away = True

    def start(self):
        self.away = False


class RightInAnOutage(RightStore):
    network = Breakable

    def _check(self):
        super()._check()
        if self.ledger.away:
            raise NotConnectedError("the ledger is away")


class ConfirmsInAnOutage(RightInAnOutage):
    async def add(self, agent, frame, key):
        if not self.ledger.away:
            await super().add(agent, frame, key)


class RemovesLater(RightInAnOutage):
    """What it is told to remove in an outage it removes when the broker is back."""

    async def remove(self, message):
        if self.ledger.away:
            self.ledger.dead_letters[:] = self.ledger.dead_letters[1:]
        else:
            await super().remove(message)


def adopted(store):
    network = getattr(store, "network", Ledger)
    transport = type(store.__name__, (LedgerTransport,), {"network": network})

    @pytest.fixture
    def make_dead_letters(self, shared):
        return lambda: store(shared)

    test = adopt(transport)
    return type(test.__name__, (test,), {"make_dead_letters": make_dead_letters})


for _each in [each for each in globals().values() if isinstance(each, type)]:
    if issubclass(_each, RightStore):
        globals()[f"Test{_each.__name__}"] = adopted(_each)
