"""SimulatedNetwork: who hears whom, when, and what is lost on the way.

Everything is carried in lanes. Within a lane nothing overtakes; what a lane is decides what may be
reordered: all between two transports, or only what is for one address. Where a server stands in
the middle, its link to a process may be down, and it may itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol

from civitas.testing.simulation.process import SimulatedProcess


class _Timeline(Protocol):
    """What a network needs of its world."""

    def global_now(self) -> float: ...
    def at(self, when: float, call: Callable[[], object]) -> None: ...
    def random(self, purpose: str) -> random.Random: ...


class _Endpoint(Protocol):
    """A transport on the network; each process may have several."""

    name: str
    process: SimulatedProcess
    control: bool

    def listens(self, address: str) -> bool: ...
    def receive(self, address: str, frame: bytes) -> None: ...
    def link_changed(self, reason: str) -> None: ...


@dataclass
class Conditions:
    """How the network behaves while nothing is broken. Times are in seconds, the rest are odds.

    Attributes:
        delay: the least and the most that a frame takes.
        spike: how often one takes longer.
        longest_spike: how much longer at most.
        loss: how often a frame is lost.
        repetition: how often a frame of a control plane arrives twice.
        reordering: whether frames for different addresses overtake each other.
        crowding: how often a sender finds no room, and has to wait for some time.
    """

    delay: tuple[float, float] = (0.0002, 0.004)
    spike: float = 0.002
    longest_spike: float = 0.8
    loss: float = 0.0
    repetition: float = 0.0
    reordering: bool = False
    crowding: float = 0.01


class SimulatedNetwork:
    """Carries frames between the transports of a simulated system."""

    def __init__(self, timeline: _Timeline, conditions: Conditions | None = None) -> None:
        self.conditions = conditions or Conditions()
        self.timeline = timeline
        self.endpoints: list[_Endpoint] = []
        self.frames = 0
        """Frames that were published."""
        self.lost = 0
        """Frames that did not arrive, for whatever reason, counted for each receiver."""
        self._random = timeline.random("network")
        self._partitions: list[tuple[frozenset[str], frozenset[str]]] = []
        self._down: dict[SimulatedProcess, str] = {}
        self._server_down = ""
        self._last_arrival: dict[Hashable, float] = {}

    # --- faults -------------------------------------------------------------------------------

    def part(self, left: Iterable[str], right: Iterable[str]) -> object:
        """Let no frame pass between two groups of processes (labels); return the cut."""
        cut = frozenset(left), frozenset(right)
        self._partitions.append(cut)
        return cut

    def heal(self, cut: object) -> None:
        """Let frames pass again that a cut kept apart."""
        self._partitions = [each for each in self._partitions if each is not cut]

    def link_down(self, process: SimulatedProcess, reason: str) -> None:
        """Cut a process off; its transports hear of it."""
        if process.alive and process not in self._down:
            self._down[process] = reason
            self._report_link(process)

    def link_up(self, process: SimulatedProcess) -> None:
        """Connect a process again."""
        if self._down.pop(process, None) is not None:
            self._report_link(process)

    def server_down(self, reason: str) -> None:
        """Let the server in the middle go: nothing passes."""
        self._server_down = reason
        self._report_link(None)

    def server_up(self) -> None:
        """Let the server come back."""
        self._server_down = ""
        self._report_link(None)

    def calm(self) -> None:
        """End all that is broken, and lose nothing any more."""
        self.conditions.loss = self.conditions.repetition = self.conditions.spike = 0.0
        self._partitions.clear()
        if self._server_down:
            self.server_up()
        for process in tuple(self._down):
            self.link_up(process)

    def trouble(self, process: SimulatedProcess) -> str:
        """Return why a process is cut off; empty while it is not."""
        return self._server_down or self._down.get(process, "")

    # --- carrying -----------------------------------------------------------------------------

    def passes(self, source: SimulatedProcess | None, target: SimulatedProcess | None) -> bool:
        """Return whether anything passes between two processes; None is the server itself."""
        if self._server_down:
            return False
        if self._down and (source in self._down or target in self._down):
            return False
        if not self._partitions:
            return True
        left = "server" if source is None else source.label
        right = "server" if target is None else target.label
        return not any(
            (left in one and right in other) or (left in other and right in one)
            for one, other in self._partitions
        )

    def is_crowded(self) -> bool:
        """Return whether there is no room for a frame now."""
        return self._random.random() < self.conditions.crowding

    def latency(self) -> float:
        """Return the seconds that something takes now."""
        now = self.conditions
        if now.spike and self._random.random() < now.spike:
            return self._random.uniform(0.0, now.longest_spike)
        return self._random.uniform(*now.delay)

    def carry(
        self,
        source: SimulatedProcess | None,
        target: SimulatedProcess | None,
        lane: Hashable,
        arrive: Callable[[], object],
    ) -> bool:
        """Have something arrive at a process (None: at the server), in order within its lane.

        Return whether it set out: that it was lost on the way can't be known.
        """
        if not self.passes(source, target):
            self.lost += 1
            return False
        loss = self.conditions.loss
        if loss and self._random.random() < loss:
            self.lost += 1
            return True
        now = self.timeline.global_now()
        when = max(now + self.latency(), self._last_arrival.get(lane, 0.0))
        self._last_arrival[lane] = when

        def at_the_end() -> None:
            if self.passes(source, target) and (target is None or target.alive):
                arrive()
            else:
                self.lost += 1

        self.timeline.at(when, at_the_end)
        return True

    def publish(self, sender: _Endpoint, address: str, frame: bytes) -> None:
        """Carry a frame to all who listen at an address, the sender among them."""
        self.frames += 1
        for each in self.endpoints:
            if not each.listens(address):
                continue
            if each is sender:
                each.receive(address, frame)
                continue
            self._send(sender, each, address, frame)

    def _send(self, sender: _Endpoint, receiver: _Endpoint, address: str, frame: bytes) -> None:
        names = (sender.name, receiver.name)
        lane = (*names, address) if self.conditions.reordering else names

        def arrive() -> None:
            receiver.receive(address, frame)

        sent = self.carry(sender.process, receiver.process, lane, arrive)
        again = self.conditions.repetition
        if sent and again and sender.control and self._random.random() < again:
            self.carry(sender.process, receiver.process, (*names, "again"), arrive)

    def _report_link(self, only: SimulatedProcess | None) -> None:
        for each in tuple(self.endpoints):
            if only is None or each.process is only:
                each.link_changed(self.trouble(each.process))
