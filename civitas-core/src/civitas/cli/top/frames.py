"""Frames: what is shown of one look at a system, with what earlier ones say of it. No I/O.

Counters only grow within one node. So a rate is a difference between two looks at the same node, by
its id; a process that was started again has none until it was seen twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, NamedTuple

from civitas.cli.stats.answers import AgentAnswer, CrashAnswer, NodeAnswer
from civitas.cli.stats.states import AgentRow, ProcessRow, Situation, SystemStates

_AWAY: Final = {"missing", "gone", "silent"}


@dataclass(frozen=True, slots=True)
class Look:
    """What was found of a system at one moment.

    Attributes:
        at: when, in seconds of a clock that only goes forward.
        wall: when, in seconds since the epoch.
        states: how its processes and agents are.
        backlog: what the transport keeps for each agent; None where it keeps nothing.
        problem: why it could not be seen, or not whole; empty where it was.
    """

    at: float
    wall: float
    states: SystemStates
    backlog: Mapping[str, int] | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class InHand:
    """A message that an agent handles.

    Attributes:
        type: its type.
        id: its id.
        seconds: for how long; None where nothing is known of that.
        at_least: whether it may be longer: it has been seen for so long.
        count: messages in hand, of which this one is the oldest.
        most: how many there may be.
    """

    type: str
    id: str
    seconds: float | None = None
    at_least: bool = False
    count: int = 1
    most: int = 1


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """A process, as it is shown; what its node does not tell is None."""

    name: str
    expected: bool
    situation: Situation
    role: str = ""
    node: str = ""
    sent: int | None = None
    delivered: int | None = None
    lost: int | None = None
    dropped: int | None = None
    sent_rate: float | None = None
    delivered_rate: float | None = None


@dataclass(frozen=True, slots=True)
class AgentLine:
    """An agent, as it is shown; what its node does not tell is None.

    Attributes:
        rate: messages handled in a second.
        handling: seconds of handling for each message that was handled since the look before.
        busy: the share of that time in which it had something to do, from 0 to 1; where it may
            have several messages in hand, of the time of all its consumers.
        lost: messages that were lost on their way to it.
        crash: its last crash.
    """

    name: str
    process: str
    expected: bool
    situation: Situation
    rate: float | None = None
    handled: int | None = None
    queued: int | None = None
    backlog: int | None = None
    in_hand: InHand | None = None
    handling: float | None = None
    busy: float | None = None
    errors: int | None = None
    restarts: int | None = None
    lost: int | None = None
    crash: CrashAnswer | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What is shown of a look; `backlogs` tells whether the transport counts what waits."""

    wall: float
    processes: tuple[ProcessLine, ...] = ()
    agents: tuple[AgentLine, ...] = ()
    backlogs: bool = False
    problem: str = ""


class _Sample(NamedTuple):
    """Counters of a process or an agent at an earlier look."""

    node: str
    at: float
    first: int
    """Messages sent, or handled."""
    second: float
    """Messages delivered, or seconds of work."""


class _Seen(NamedTuple):
    """The message that an agent had in hand, and since when that was seen."""

    id: str
    since: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of earlier looks."""

    processes: Mapping[str, _Sample] = field(default_factory=dict)
    agents: Mapping[str, _Sample] = field(default_factory=dict)
    in_hand: Mapping[str, _Seen] = field(default_factory=dict)
    there: Mapping[str, float] = field(default_factory=dict)
    """When a process has told of itself last."""


def frame_of(look: Look, memory: Memory) -> tuple[Frame, Memory]:
    """Return what is to be shown of a look, and what is to be remembered for the next one."""
    return _Reading(look, memory).frame()


class _Reading:
    def __init__(self, look: Look, memory: Memory) -> None:
        self._look = look
        self._memory = memory
        answers = [row.answer for row in look.states.processes if row.answer is not None]
        self._node_of = {each.name: node for node in answers for each in node.agents}
        self._lost: Counter[str] = Counter()
        for node in answers:
            self._lost.update({name: count for name, count in node.lost.items() if count > 0})
        self._crashes = dict(_last_crashes(answers))

    def frame(self) -> tuple[Frame, Memory]:
        look, states = self._look, self._look.states
        there = {**self._memory.there}
        there |= {row.name: look.at for row in states.processes if row.answer is not None}
        memory = Memory(self._process_samples(), self._agent_samples(), self._in_hand(), there)
        frame = Frame(
            look.wall,
            tuple(map(self._process, states.processes)),
            tuple(map(self._agent, states.agents)),
            look.backlog is not None,
            look.problem,
        )
        return frame, memory

    # --- lines ------------------------------------------------------------------------------------

    def _process(self, row: ProcessRow) -> ProcessLine:
        situation = self._dated(row.situation, row.name)
        line = ProcessLine(row.name, row.expected, situation, node=row.node)
        answer = row.answer
        if answer is None:
            return line
        before = self._memory.processes.get(row.name)
        sent = self._rate(before, answer.node, answer.sent)
        delivered = self._second_rate(before, answer.node, answer.delivered)
        return replace(
            line,
            role=answer.role,
            sent=answer.sent,
            delivered=answer.delivered,
            lost=sum(answer.lost.values()),
            dropped=sum(answer.dropped.values()),
            sent_rate=sent,
            delivered_rate=delivered,
        )

    def _agent(self, row: AgentRow) -> AgentLine:
        backlog = self._look.backlog
        line = AgentLine(
            row.name,
            row.process,
            row.expected,
            self._dated(row.situation, row.process),
            backlog=None if backlog is None else backlog.get(row.name, 0),
            crash=self._crashes.get(row.name),
        )
        answer, node = row.answer, self._node_of.get(row.name)
        if answer is None or node is None:
            return line
        before = self._memory.agents.get(row.name)
        rate = self._rate(before, node.node, answer.handled)
        busy = self._second_rate(before, node.node, answer.busy)
        return replace(
            line,
            rate=rate,
            handled=answer.handled,
            queued=answer.mailbox_depth,
            in_hand=self._message_of(answer),
            handling=busy / rate if rate and busy is not None else None,
            busy=None if busy is None else min(busy / answer.concurrency, 1.0),
            errors=answer.errors,
            restarts=answer.restarts,
            lost=self._lost[row.name],
        )

    def _message_of(self, answer: AgentAnswer) -> InHand | None:
        if not answer.in_hand_id:
            return None
        if answer.in_hand_for is not None:
            count, most = max(answer.in_hand_count, 1), answer.concurrency
            seconds = answer.in_hand_for
            return InHand(answer.in_hand, answer.in_hand_id, seconds, count=count, most=most)
        seen = self._memory.in_hand.get(answer.name)
        if seen is None or seen.id != answer.in_hand_id:
            return InHand(answer.in_hand, answer.in_hand_id)
        return InHand(answer.in_hand, seen.id, self._look.at - seen.since, at_least=True)

    def _dated(self, situation: Situation, process: str) -> Situation:
        """Return a situation with its time; who saw a process last knows since when it is away."""
        last = self._memory.there.get(process)
        if situation.state not in _AWAY or situation.since is not None or last is None:
            return situation
        return replace(situation, since=self._look.at - last)

    def _rate(self, before: _Sample | None, node: str, now: int) -> float | None:
        seconds = self._since(before, node)
        return None if seconds is None or before is None else max(now - before.first, 0) / seconds

    def _second_rate(self, before: _Sample | None, node: str, now: float) -> float | None:
        seconds = self._since(before, node)
        return None if seconds is None or before is None else max(now - before.second, 0) / seconds

    def _since(self, before: _Sample | None, node: str) -> float | None:
        if before is None or before.node != node or self._look.at <= before.at:
            return None
        return self._look.at - before.at

    # --- what is remembered -----------------------------------------------------------------------

    def _process_samples(self) -> dict[str, _Sample]:
        rows = self._look.states.processes
        told = [(row.name, row.answer) for row in rows if row.answer is not None]
        return {
            name: _Sample(answer.node, self._look.at, answer.sent, answer.delivered)
            for name, answer in told
        }

    def _agent_samples(self) -> dict[str, _Sample]:
        samples = {}
        for row in self._look.states.agents:
            answer, node = row.answer, self._node_of.get(row.name)
            if answer is not None and node is not None:
                handled, busy = answer.handled, answer.busy
                samples[row.name] = _Sample(node.node, self._look.at, handled, busy)
        return samples

    def _in_hand(self) -> dict[str, _Seen]:
        seen = {}
        for row in self._look.states.agents:
            number = "" if row.answer is None else row.answer.in_hand_id
            before = self._memory.in_hand.get(row.name)
            if number:
                known = before is not None and before.id == number
                seen[row.name] = before if known and before else _Seen(number, self._look.at)
        return seen


def _last_crashes(answers: list[NodeAnswer]) -> Iterator[tuple[str, CrashAnswer]]:
    """Give the crashes that nodes tell of; of one agent the latest comes last.

    An agent's own node and its supervisor's tell of the same crash, the latter a moment later.
    """
    crashes = [crash for node in answers for crash in node.crashes]
    ages = [inf if crash.seconds is None else crash.seconds for crash in crashes]
    for at in sorted(range(len(crashes)), key=lambda at: -ages[at]):
        yield crashes[at].agent, crashes[at]
