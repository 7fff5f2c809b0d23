"""States: which processes and agents of a topology run, and what became of the others. No I/O.

Theory. No node knows all. Each tells of itself; the primary tells of the agents that its tree names
and that don't run, and who owes it answers to pings; every node tells whom it sees, and who has
gone. A process, or an agent, is as the first line says that fits:

    process                                        | state       | since
    -----------------------------------------------+-------------+------------------------------
    it answers, and its event loop is blocked      | stalled     | its last turn
    it answers                                     | starting, running or stopping, as it says
    somebody sees it, and it does not answer       | silent      | its last answer to the primary
    it has no other agents than such that are done | done        |
    it went without a goodbye                      | missing     | somebody has noticed
    it left in order                               | gone        | its goodbye
    nobody has seen it                             | missing     | the start of the primary
    nobody could be asked                          | unknown     |

    agent                                          | state       | since
    -----------------------------------------------+-------------+------------------------------
    it has said that it is done                    | done        | then
    its process is stalled                         | stalled     | as its process
    it waits for its restart                       | backing off | it crashed, or was stopped
    it runs, and its queue does not move           | stuck       | a message was handled
    its process has it                             | starting, running, stopping, down or crashed
    its process answers, and has it not            | missing     |
    its process does not answer                    | as its process

*Down* is an agent that its supervisor has stopped, as one of a group that is restarted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from civitas.cli.stats.answers import AgentAnswer, GoneAnswer, NodeAnswer, PeerAnswer

RUNNING: Final = "running"
DONE: Final = "done"
STALLED: Final = "stalled"
SILENT: Final = "silent"
MISSING: Final = "missing"
GONE: Final = "gone"
UNKNOWN: Final = "unknown"
BACKING_OFF: Final = "backing off"
STUCK: Final = "stuck"


@dataclass(frozen=True, slots=True)
class Expected:
    """The processes of a topology, and its agents with the process of each."""

    processes: tuple[str, ...]
    agents: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Situation:
    """How a process or an agent is.

    Attributes:
        state: one of those above.
        since: seconds that it has been so; None where nobody knows.
        until: seconds until it is restarted, if it waits for that.
        reason: why it is so; empty where nothing is to be said.
    """

    state: str
    since: float | None = None
    until: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process, of the topology or not, and what it has told of itself."""

    name: str
    expected: bool
    situation: Situation
    node: str = ""
    answer: NodeAnswer | None = None


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent, of the topology or not, and what its process has told of it."""

    name: str
    process: str
    expected: bool
    situation: Situation
    answer: AgentAnswer | None = None


@dataclass(frozen=True, slots=True)
class SystemStates:
    """What became of a system: the processes and agents of its topology first."""

    processes: tuple[ProcessRow, ...]
    agents: tuple[AgentRow, ...]

    @property
    def failing(self) -> tuple[list[str], list[str]]:
        """The names of the processes, and of the agents, that should run and don't."""
        return _failing(self.processes), _failing(self.agents)


def _failing(rows: Iterable[ProcessRow | AgentRow]) -> list[str]:
    good = {RUNNING, DONE}
    return [each.name for each in rows if each.expected and each.situation.state not in good]


def states_of(
    expected: Expected, told: Iterable[NodeAnswer], *, reached: bool, searched: float = 0.0
) -> SystemStates:
    """Say how the processes and agents of a system are.

    Args:
        expected: what the topology names.
        told: what nodes have told, and those that were asked in vain, each with its error.
        reached: whether anybody could be asked; where nobody could, nothing is known.
        searched: seconds for which nodes were looked for.
    """
    return _Judgement(expected, list(told), reached, searched).states()


class _Judgement:
    def __init__(
        self, expected: Expected, told: list[NodeAnswer], reached: bool, searched: float
    ) -> None:
        self._expected = expected
        self._searched = searched
        self._reached = reached
        self._told = told
        answers = [each for each in told if not each.error]
        primary = next((each for each in answers if each.role == "primary"), NodeAnswer())
        self._nodes = {each.process: each for each in [*reversed(told), *reversed(answers)]}
        self._tree = {each.name: each for each in primary.elsewhere}
        self._silent = primary.silent
        self._known: dict[str, PeerAnswer | GoneAnswer] = {}
        for each in sorted(answers, key=lambda one: one is not primary):  # its word counts first
            # Of one that is stalled, who has gone is news, and whom it sees is not.
            others: tuple[PeerAnswer | GoneAnswer, ...] = (*each.gone, *each.peers)
            for other in others:
                self._known.setdefault(other.process, other)
        answers.sort(key=lambda one: one.state != "stopping")  # who takes over comes later
        self._hosts = {agent.name: (node, agent) for node in answers for agent in node.agents}

    def states(self) -> SystemStates:
        expected = self._expected
        others = [each.process for each in self._told if each.process not in expected.processes]
        names = dict.fromkeys((*expected.processes, *others))
        processes = {name: self._process(name) for name in names}
        situations = {name: row.situation for name, row in processes.items()}
        agents = [
            self._agent(name, process, situations) for name, process in expected.agents.items()
        ]
        agents += [
            self._agent(agent.name, node.process, situations)
            for node in self._told
            for agent in node.agents
            if agent.name not in expected.agents
        ]
        return SystemStates(tuple(processes.values()), tuple(agents))

    # --- processes --------------------------------------------------------------------------------

    def _process(self, name: str) -> ProcessRow:
        node = self._nodes.get(name)
        answered = node is not None and not node.error
        seen = node or self._known.get(name)
        at = "" if seen is None or isinstance(seen, GoneAnswer) else seen.node
        return ProcessRow(
            name,
            name in self._expected.processes,
            self._situation_of(name),
            at,
            node if answered else None,
        )

    def _situation_of(self, name: str) -> Situation:
        node, known = self._nodes.get(name), self._known.get(name)
        gone = known if isinstance(known, GoneAnswer) else None
        if node is not None and not node.error:
            return Situation(STALLED, node.stalled) if node.stalled else Situation(node.state)
        if node is not None and gone is None:
            return Situation(SILENT, self._silent.get(node.node), reason=node.error)
        if isinstance(known, PeerAnswer):
            reason = f"others know it, and it did not answer within {self._searched:.1f} s"
            return Situation(SILENT, self._silent.get(known.node), reason=reason)
        if not self._reached:
            return Situation(UNKNOWN)
        mine = [agent for agent, process in self._expected.agents.items() if process == name]
        absent = [self._tree[agent] for agent in mine if agent in self._tree]
        if mine and len(absent) == len(mine) and all(each.word == DONE for each in absent):
            return Situation(DONE)
        if gone is not None:
            return Situation(MISSING if gone.died else GONE, gone.since, reason=gone.reason)
        waited = min((each.since for each in absent if each.since is not None), default=None)
        unseen = "" if waited is None else "it was not seen since the primary has started"
        return Situation(MISSING, waited, reason=unseen)

    # --- agents -----------------------------------------------------------------------------------

    def _agent(self, name: str, process: str, processes: Mapping[str, Situation]) -> AgentRow:
        node, answer = self._hosts.get(name, (None, None))
        where = process if node is None else node.process
        situation = self._situation_of_agent(name, where, processes)
        return AgentRow(name, where, name in self._expected.agents, situation, answer)

    def _situation_of_agent(
        self, name: str, process: str, processes: Mapping[str, Situation]
    ) -> Situation:
        _, own = self._hosts.get(name, (None, None))
        of_tree = self._tree.get(name)
        host = processes.get(process, Situation(UNKNOWN))
        done = next((each for each in (own, of_tree) if each and each.word == DONE), None)
        if done is not None:
            return Situation(DONE, done.since)
        if own is None:
            if host.state in {RUNNING, "starting", "stopping", STALLED}:
                reason = f"process {process!r} runs without it: has it another topology?"
                return Situation(MISSING, reason=reason)
            return Situation(host.state, host.since)
        if host.state == STALLED:
            return host
        if own.word == RUNNING and own.stuck:
            return Situation(STUCK, own.stuck, reason=f"queued: {own.mailbox_depth:,}")
        restarts = (each.restart_in for each in (own, of_tree) if each is not None)
        until = next((each for each in restarts if each is not None), None)
        failing = own.word not in {RUNNING, "starting"}
        reason = own.failure or (of_tree.failure if of_tree is not None else "")
        if until is not None and failing:
            return Situation(BACKING_OFF, own.since, until, reason)
        return Situation(own.word, own.since, reason=reason if failing else "")
