"""StreamServer: what a broker keeps for agents until it is acknowledged, with its dead letters.

It outlives every process, and its own outages: what it has confirmed is on its disk. All methods
run at the server, so whoever calls them comes over the network and may have been late or lost.

    a frame of a stream | event                                       | becomes
    --------------------+---------------------------------------------+--------------------------
    kept                | it is one of the first, due, and there is   | given
                        | an owner                                    |
    given               | acknowledged                                | gone
                        | failed, and it was not the last time        | kept, due after a delay
                        | failed for the last time, or unreadable     | a dead letter
                        | given back, without a failure               | kept, due after a delay
                        | nothing is heard for `ack_wait` seconds     | kept, due at once

Only the first frame of a stream is given, or the first ones, where its owner takes several at once.
None overtakes one that was given back without a failure; one that has failed it may overtake. Each
is given with the number of the one before it, if that is given too: where it did not arrive, the
owner takes none after it, and says which it has. All others are given again, at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import NamedTuple, Protocol

from civitas import _platform as platform
from civitas import envelope
from civitas.testing.simulation.network import SimulatedNetwork
from civitas.testing.simulation.process import SimulatedProcess
from civitas.transport import Kept, KeptMessage


class ConsumerVerdict(Enum):
    """What a consumer says of a frame that it was given."""

    DONE = "done"
    FAILED = "failed"
    """Executed, and failed: it counts as a delivery."""
    UNREADABLE = "unreadable"
    GIVEN_BACK = "given back"
    """Not executed to its end."""


class DurabilitySettings(NamedTuple):
    """How the server gives frames. Times are in seconds.

    Attributes:
        ack_wait: silence after which a frame is given again.
        deliveries: failures after which a frame is a dead letter.
        retry_delay: before a frame is given again that failed, or was given back.
    """

    ack_wait: float = 4.0
    deliveries: int = 3
    retry_delay: float = 0.2


class _StreamConsumer(Protocol):
    """Whoever reads a stream; `offer` and `buried` are called over the network."""

    name: str
    process: SimulatedProcess

    @property
    def reads(self) -> bool: ...
    @property
    def concurrency(self) -> int: ...
    def offer(self, number: int | str, frame: bytes, before: int | str | None) -> None: ...
    def buried(self, frame: bytes, reason: str) -> None: ...


@dataclass
class _Entry:
    number: int | str
    frame: bytes
    place: int
    stored_at: float
    failures: int = 0
    due: float = 0.0
    holder: _StreamConsumer | None = None
    held_until: float = 0.0


@dataclass
class _Stream:
    entries: list[_Entry] = field(default_factory=list)
    owner: _StreamConsumer | None = None
    looks: set[float] = field(default_factory=set)
    """When it is looked at again."""


class StreamServer:
    """The streams of all agents, and what was given up."""

    def __init__(self, network: SimulatedNetwork, settings: DurabilitySettings) -> None:
        self.settings = settings
        self.dead_letters: list[KeptMessage] = []
        self.places = 0
        """Messages, dead letters included, that were ever kept: each has its number among them."""
        self.numbers = itertools.count(1)
        """Each publish takes one, so that one which is repeated is kept once."""
        self._network = network
        self._streams: dict[str, _Stream] = {}
        self._seen: set[int | str] = set()

    def messages(self, kept: Kept) -> list[KeptMessage]:
        """Return what is kept, in the order in which it came."""
        if kept is Kept.DEAD:
            return list(self.dead_letters)
        waiting = [
            KeptMessage(kept, each.place, address, each.frame, each.stored_at)
            for address, stream in self._streams.items()
            for each in stream.entries
        ]
        return sorted(waiting, key=lambda each: each.number)

    def backlog(self, addresses: Collection[str]) -> dict[str, int]:
        """Count what is kept for each of these agents."""
        return {each: len(self._stream(each).entries) for each in addresses}

    def forget(self, message: KeptMessage) -> None:
        """Keep a message no longer, if it is still there."""
        number = message.number
        if message.kept is Kept.DEAD:
            self.dead_letters[:] = [each for each in self.dead_letters if each.number != number]
            return
        entries = self._stream(message.agent).entries
        entries[:] = [each for each in entries if each.place != number]
        self._feed_after(0.0, message.agent)

    def store(self, address: str, number: int | str, frame: bytes) -> None:
        """Keep a frame, once."""
        if number not in self._seen:
            self._seen.add(number)
            entry = _Entry(number, frame, self._place(), platform.wall())
            self._stream(address).entries.append(entry)
            self._feed_after(0.0, address)

    def own(self, address: str, consumer: _StreamConsumer) -> None:
        """Give a stream to a consumer, unless another one has it and reads it."""
        stream, old = self._stream(address), self._stream(address).owner
        held = old is not None and old is not consumer and old.process.alive and old.reads
        if held and old is not None and self._network.passes(old.process, None):
            return
        stream.owner = consumer
        self._feed(address)

    def disown(self, address: str, consumer: _StreamConsumer) -> None:
        """Take a stream from a consumer, and give back what it holds."""
        stream = self._stream(address)
        if stream.owner is consumer:
            stream.owner = None
        for entry in stream.entries:
            if entry.holder is consumer:
                entry.holder = None

    def missed(self, address: str, consumer: _StreamConsumer, known: Collection[int | str]) -> None:
        """Give again what was given to a consumer, but for what it knows: it has found a gap."""
        for entry in self._stream(address).entries:
            if entry.holder is consumer and entry.number not in known:
                entry.holder = None
        self._feed(address)

    def settle(
        self, address: str, number: int | str, outcome: ConsumerVerdict, by: _StreamConsumer
    ) -> None:
        """Take note of what became of a frame."""
        entry = self._entry(address, number)
        if entry is None:
            return
        now, settings = self._network.timeline.global_now(), self.settings
        entry.failures += outcome is ConsumerVerdict.FAILED
        if outcome is ConsumerVerdict.DONE:
            self._remove(address, entry)
        elif outcome is ConsumerVerdict.UNREADABLE:
            self._bury(address, entry, by, "it can't be read")
        elif entry.failures >= settings.deliveries:
            self._bury(address, entry, by, f"failed {entry.failures} times")
        else:
            entry.due = now + settings.retry_delay
            if entry.holder is by:
                entry.holder = None
        self._feed_after(0.0, address)

    def prolong(self, address: str, number: int | str, by: _StreamConsumer) -> None:
        """Take note that a frame is still being handled."""
        entry = self._entry(address, number)
        if entry is not None and entry.holder is by:
            entry.held_until = self._network.timeline.global_now() + self.settings.ack_wait

    # --- parts --------------------------------------------------------------------------------

    def _stream(self, address: str) -> _Stream:
        return self._streams.setdefault(address, _Stream())

    def _place(self) -> int:
        self.places += 1
        return self.places

    def _entry(self, address: str, number: int | str) -> _Entry | None:
        return next((e for e in self._stream(address).entries if e.number == number), None)

    def _remove(self, address: str, entry: _Entry) -> None:
        self._stream(address).entries.remove(entry)

    def _bury(self, address: str, entry: _Entry, by: _StreamConsumer, reason: str) -> None:
        self._remove(address, entry)
        deliveries = max(entry.failures, 1)
        about = (self._place(), address, entry.frame, platform.wall(), reason, deliveries)
        self.dead_letters.append(KeptMessage(Kept.DEAD, *about))
        self._tell(by, partial(by.buried, entry.frame, reason))

    def _feed_after(self, delay: float, address: str) -> None:
        self._feed_at(self._network.timeline.global_now() + delay, address)

    def _feed_at(self, when: float, address: str) -> None:
        looks = self._stream(address).looks
        if when not in looks:
            looks.add(when)
            self._network.timeline.at(when, partial(self._look, when, address))

    def _look(self, when: float, address: str) -> None:
        self._stream(address).looks.discard(when)
        self._feed(address)

    def _feed(self, address: str) -> None:
        """Give the first frames of a stream to its owner, if they are due and nobody has them."""
        stream, now = self._stream(address), self._network.timeline.global_now()
        owner, before = stream.owner, None
        for entry in stream.entries[: 1 if owner is None else owner.concurrency]:
            if entry.holder is not None and now < entry.held_until:
                self._feed_at(entry.held_until + 1e-3, address)
            elif now < entry.due:
                self._feed_at(entry.due + 1e-6, address)
                if not entry.failures:
                    return
            elif owner is None or not owner.process.alive or not owner.reads:
                return
            else:
                self._give(address, entry, owner, now, before)
            before = entry.number if entry.holder is not None else before

    def _give(
        self,
        address: str,
        entry: _Entry,
        owner: _StreamConsumer,
        now: float,
        before: int | str | None,
    ) -> None:
        entry.holder, entry.held_until = owner, now + self.settings.ack_wait
        frame = entry.frame
        if entry.failures:
            frame = envelope.with_attempt(frame, entry.failures)
        self._tell(owner, partial(owner.offer, entry.number, frame, before))
        self._feed_at(entry.held_until + 1e-3, address)

    def _tell(self, consumer: _StreamConsumer, call: Callable[[], object]) -> None:
        self._network.carry(None, consumer.process, ("server", consumer.name), call)
