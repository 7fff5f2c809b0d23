"""Liveness: what a node knows of another one, and whether that one still lives. No I/O.

The primary judges by pings (`civitas._supervision.heartbeat`). All others judge by silence: a
primary says in its pings how long it stays silent at most; a worker is only suspected when a
primary does not know it, and has gone if it does not answer a probe. Silence counts for nothing
while this node itself could not hear: its connection was lost, or its process stood still.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from civitas import _platform as platform
from civitas._cluster.protocol import AgentStates, NodeInfo, control_address
from civitas._supervision.heartbeat import HeartbeatPolicy, Monitor

ASK_EVERY: Final = 0.5
"""Seconds between two questions for what was missed of a node's announcements, at least."""

TELL_EVERY: Final = 0.15
"""Seconds between two answers with all that a node announces, at least."""

STALLED: Final = 1.0
"""Seconds without a turn of the event loop after which it counts as blocked."""


class Peer:
    """Another node. `now` is the time of the caller's clock, in seconds, in all methods."""

    def __init__(self, info: NodeInfo, policy: HeartbeatPolicy, now: float) -> None:
        self.info = info.header
        self.agents: dict[str, tuple[str, int]] = dict(info.agents)
        """The states of its agents as it has announced them."""
        self.monitor = Monitor(policy, now)
        self.reached = False
        """Whether this node's data route to it is proved."""
        self.admits = False
        """Whether it has said the same of its route to this node."""
        self._patience = max(policy.bound, 1.0)
        self._silent_after = now + self._patience
        self._suspected_until: float | None = None
        self._next_question = now
        self._next_answer = now
        self.met_at = now

    @property
    def whole(self) -> NodeInfo:
        """All that it has announced. It changes with what is announced later."""
        return replace(self.info, agents=self.agents)

    def take(self, info: NodeInfo) -> None:
        """Take in what it announces: all its agents, or those that have changed."""
        self.agents.update(info.agents)
        self.info = info.header

    def may_ask(self, now: float) -> bool:
        """Return whether to ask now for what was missed; the last answer may be on its way."""
        if now < self._next_question:
            return False
        self._next_question = now + ASK_EVERY
        return True

    def may_be_told(self, now: float) -> bool:
        """Return whether to tell it all now, which may be much: it may ask again and again."""
        if now < self._next_answer:
            return False
        self._next_answer = now + TELL_EVERY
        return True

    @property
    def address(self) -> str:
        """Where its control plane listens."""
        return control_address(self.info.node)

    @property
    def proved(self) -> bool:
        """Whether there is nothing to wait for before the two nodes talk."""
        idle = self.info.role == "client" or self.info.leaving
        return idle or (self.reached and self.admits)

    def heard(self, now: float, patience: float = 0.0) -> None:
        """Take note that it lives; a primary says how long it stays silent at most."""
        if patience > 0:
            self._patience = max(patience, 1.0)
        self._silent_after = now + self._patience
        self._suspected_until = None

    def suspect(self, until: float) -> None:
        """Take note that it may be gone: it is, when nothing is heard of it until then."""
        if self._suspected_until is None:
            self._suspected_until = until

    def vanished(self, now: float) -> bool:
        """Return whether it was suspected to be gone and has not been heard since."""
        return self._suspected_until is not None and now >= self._suspected_until

    def silent(self, now: float) -> bool:
        """Return whether it has said nothing for longer than it said it would."""
        return now >= self._silent_after

    @property
    def silent_at(self) -> float:
        """When it counts as silent, if nothing is heard of it until then."""
        return self._silent_after

    def next_due(self) -> float:
        """Return when it counts as silent or vanished if nothing is heard of it until then."""
        silent = self._silent_after if self.info.role == "primary" else inf
        return min(silent, inf if self._suspected_until is None else self._suspected_until)

    def forgive(self, now: float, grace: float) -> None:
        """Count silence from now on: what was before was this node's own fault."""
        self.monitor.forgive(now, grace)
        self._silent_after = max(self._silent_after, now + self._patience + grace)
        if self._suspected_until is not None:
            self._suspected_until = now + grace


class LoopBeat:
    """Whether the node's event loop runs: the loop beats, the control plane's thread looks."""

    def __init__(self) -> None:
        self._beaten_at = platform.monotonic()

    def beat(self) -> None:
        """Show that the loop has a turn."""
        self._beaten_at = platform.monotonic()

    def stalled(self) -> float:
        """Return for how many seconds the loop has been blocked; 0 when it is not."""
        silent = platform.monotonic() - self._beaten_at
        return silent if silent > STALLED else 0.0


@dataclass(frozen=True, slots=True)
class OwnNode:
    """What the membership reads of its own node, in any thread and without waiting.

    `finished` returns which agents of another node are done, though that one need not know.
    `stalled` returns for how many seconds its event loop has been blocked; the counters are
    JSON-like values. `wait_of` returns for whose answer an agent waits, as `asked` and `seconds`;
    nothing for one that waits for none.
    """

    agents: Callable[[], AgentStates]
    stalled: Callable[[], float]
    counters: Callable[[], Mapping[str, Any]]
    finished: Callable[[NodeInfo], tuple[str, ...]] = lambda _: ()
    wait_of: Callable[[str], Mapping[str, Any]] = lambda _: {}
