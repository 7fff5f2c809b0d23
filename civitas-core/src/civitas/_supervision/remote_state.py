"""RemoteState: one agent of another process as its supervisor knows it. No I/O.

Theory. What a node reports of an agent of its own comes by several ways (announcements, answers to
pings, crashes, results of commands), repeated, late, and in any order. So a report is a *version*:
the incarnation (how often the node has started the agent), and how far that incarnation has come.
Within one node a version only ever grows; a report that is no greater says nothing new. Nothing
else has to be remembered: neither which command is under way, nor what a report may be stale for.

How far an incarnation has come, and what its node reports:

    rank | status   | reported as           | it
    -----+----------+-----------------------+---------------------------------------------------
      0  | STARTING | INITIALIZING          | has not come to its `on_start`, or is in it
      1  | RUNNING  | RUNNING               | handles messages
      2  | STOPPING | STOPPING              | was told to stop, and has not yet
      3  | DOWN     | DOWN                  | was stopped, for its supervisor
      3  | CRASHED  | CRASHED, CRASHED_AGAIN| has crashed; also in its constructor or `on_start`
      4  | DONE     | STOPPED               | has said that it is done; also when it was down

There is one more status, ABSENT: no node hosts it, or that node leaves. The first report of a
node, whatever it says, ends it.

The supervisor *wants* one of three things, and what is to be said to the node follows from the two:

    wanted   | set by                    | status            | command
    ---------+---------------------------+-------------------+--------------------------------------
    RUNNING  | `start`                   | CRASHED, DOWN     | start: an incarnation after this one
    DOWN     | `stop`                    | STARTING, RUNNING | stop: this incarnation
    nothing  | before the first `start`; | any               | none: the supervisor decides
             | a crash; an absence       |                   |
    any      |                           | any but DONE, and | finish: an agent that is done stays
             |                           | it was DONE once  | so, also in a node that comes later

A command says what is to be reached, and for which incarnation, so it does no harm when it comes
twice or late. What follows from a report, for the supervisor:

    report                                  | follows
    ----------------------------------------+----------------------------------------------------
    CRASHED, and DOWN was not wanted        | it has crashed: once for each incarnation
    DONE                                    | it is done: once
    its node has died                       | it has crashed, unless it was down or done
    its node leaves in order                | nothing: it is absent until a node comes
    DONE, of a node that has left, or died  | it is done: once; also when another node has come

A node that has gone is late in all that it says. But nobody takes back that he is done, and only
that node may know: it was cut off, say, and was declared dead. So its word of that counts. One that
is in again had not gone: somebody has said the goodbye in its name, and nothing of it is late.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from civitas._agents.states import CRASHED_AGAIN, DOWN


class Rank(IntEnum):
    """How far an incarnation has come."""

    STARTING = 0
    RUNNING = 1
    STOPPING = 2
    ENDED = 3
    DONE = 4


class RemoteStatus(Enum):
    """Where an agent of another process is in its life."""

    ABSENT = "ABSENT"
    STARTING = "INITIALIZING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    DOWN = DOWN
    CRASHED = "CRASHED"
    DONE = "STOPPED"


class Wanted(Enum):
    """What the supervisor wants of it."""

    NOTHING = "nothing"
    RUNNING = "running"
    DOWN = "down"


class Step(Enum):
    """What a report comes to for the supervisor."""

    NONE = "nothing"
    CRASHED = "crashed"
    DONE = "done"


class Demand(NamedTuple):
    """What is to be said to the agent's node."""

    node: str
    verb: str
    """start, stop or finish."""
    incarnation: int
    """The last one that is known: what the verb is about."""


_RANKS: Final = {
    RemoteStatus.STARTING: Rank.STARTING,
    RemoteStatus.RUNNING: Rank.RUNNING,
    RemoteStatus.STOPPING: Rank.STOPPING,
    RemoteStatus.DONE: Rank.DONE,
}

_REPORTED: Final = {each.value: each for each in RemoteStatus} | {
    CRASHED_AGAIN: RemoteStatus.CRASHED
}

_FORMER: Final = 16
"""Nodes that are remembered of those which have hosted one agent."""

_UP: Final = {RemoteStatus.STARTING, RemoteStatus.RUNNING}
_ENDED: Final = {RemoteStatus.CRASHED, RemoteStatus.DOWN}


class RemoteState:
    """The state of one agent; the tables stand above."""

    def __init__(self) -> None:
        self.status = RemoteStatus.ABSENT
        self.wanted = Wanted.NOTHING
        self.node: str | None = None
        """The id of the node that hosts it."""
        self.incarnation = 0
        self.done = False
        """Whether it has said that it is done, in whichever node."""
        self._former: deque[str] = deque(maxlen=_FORMER)
        """Nodes that hosted it and have gone: what still comes of them is late."""

    @property
    def version(self) -> tuple[int, int]:
        """The last report of its node, as one that can be compared."""
        return self.incarnation, _RANKS.get(self.status, Rank.ENDED)

    def reported(self, node: str, status: str, incarnation: int) -> Step:
        """Take in what its node reports; a status that is not known says nothing."""
        new = _REPORTED.get(status)
        if node in self._former:  # late, but what is done stays so
            return self.finished_in(node) if new is RemoteStatus.DONE else Step.NONE
        if new is None:
            return Step.NONE
        version = (incarnation, _RANKS.get(new, Rank.ENDED))
        if node == self.node and version <= self.version:
            return Step.NONE
        self.node, self.incarnation, self.status = node, incarnation, new
        if new is RemoteStatus.DONE and not self.done:
            return self._finish()
        if new is RemoteStatus.CRASHED and self.wanted is not Wanted.DOWN and not self.done:
            self.wanted = Wanted.NOTHING
            return Step.CRASHED
        return Step.NONE

    def hosted_in(self, node: str) -> None:
        """Take note that a node is in: what it reports is not late, though it had gone."""
        if node in self._former:
            self._former.remove(node)

    def finished_in(self, node: str) -> Step:
        """Take in that it is done, of a node that has gone; one that never had it says nothing."""
        return self._finish() if node in self._former else Step.NONE

    def lost(self, node: str, *, died: bool) -> Step:
        """Take note that a node has died, or leaves."""
        if node != self.node:
            return Step.NONE
        was_up = self.status in _UP or self.status is RemoteStatus.STOPPING
        crashed = died and not self.done and was_up and self.wanted is not Wanted.DOWN
        self.node, self.incarnation, self.status = None, 0, RemoteStatus.ABSENT
        self._former.append(node)
        if not crashed:
            return Step.NONE
        self.wanted = Wanted.NOTHING
        return Step.CRASHED

    def _finish(self) -> Step:
        before, self.done = self.done, True
        return Step.NONE if before else Step.DONE

    def demand(self) -> Demand | None:
        """Return what is to be said to its node now, if anything."""
        if self.node is None:
            return None
        verb = ""
        if self.done:
            verb = "" if self.status is RemoteStatus.DONE else "finish"
        elif self.wanted is Wanted.RUNNING and self.status in _ENDED:
            verb = "start"
        elif self.wanted is Wanted.DOWN and self.status in _UP:
            verb = "stop"
        return Demand(self.node, verb, self.incarnation) if verb else None
