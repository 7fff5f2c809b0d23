"""RemoteAgent: the place in the tree of an agent that another process hosts.

It waits and sends for `remote_state`, which has the theory and the tables. A supervisor drives it
as a slot: `start`, `stop`, `alive`, `finished`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from civitas import _platform as platform
from civitas._agents.settings import checked_seconds, checked_whole
from civitas._agents.states import CRASHED_AGAIN
from civitas._supervision.heartbeat import DEFAULT, HeartbeatPolicy
from civitas._supervision.remote_state import (
    Demand,
    RemoteState,
    RemoteStatus,
    Step,
    Wanted,
)
from civitas.errors import ConfigurationError, RemoteCrashError, SpawnError, logger_of
from civitas.messages import name_problem
from civitas.transport.tasks import Failed, start_task

logger = logger_of("civitas.supervisor")


@dataclass(frozen=True, slots=True)
class RemoteChild:
    """A child of a supervisor that a worker process hosts.

    `process` is its worker's process name where that is known, for messages.
    """

    name: str
    process: str | None = None
    policy: HeartbeatPolicy = DEFAULT

    def __post_init__(self) -> None:
        problem = name_problem(self.name)
        if problem is not None:
            raise ConfigurationError(f"{self.name!r} can't be an agent's name: {problem}")
        of = f"of remote child {self.name!r}"
        checked_seconds(self.policy.interval, f"heartbeat interval {of}")
        checked_seconds(self.policy.timeout, f"heartbeat timeout {of}")
        checked_whole(self.policy.threshold, 1, f"heartbeat threshold {of}")


class AgentReport(NamedTuple):
    """What a node reports of an agent of its own."""

    status: str
    """As in `AgentSlot.state`; empty where a command was refused."""
    incarnation: int
    error: Exception | None = None
    """Why it crashed, or the command was refused, where that is said."""
    redelivered: bool = False
    """Whether it crashed on a message that its transport had given before."""


_DONE: Final = AgentReport(RemoteStatus.DONE.value, 0)

SendCommand: TypeAlias = Callable[[Demand, str], Awaitable[AgentReport | None]]
"""Has a node do what is demanded with an agent of that name; returns None when it has gone."""


class RemoteAgent:
    """One agent of another process under supervision.

    Args:
        child: what the tree says of it.
        command: has its node start, stop or finish it.
        on_exit: called with this object when it has crashed, or is done.
        failed: called when something here that runs on its own has ended unexpectedly.
    """

    def __init__(
        self,
        child: RemoteChild,
        command: SendCommand,
        on_exit: Callable[[RemoteAgent], None],
        failed: Failed,
    ) -> None:
        self.child = child
        self.name = child.name
        self.failure: Exception | None = None
        self.redelivered = False
        """Whether it crashed on a message that its transport had given before."""
        self.restarts = 0
        self.changed_at = platform.monotonic()
        """When `status` has changed last."""
        self._known = RemoteStatus.ABSENT
        self._state = RemoteState()
        self._command = command
        self._on_exit = on_exit
        self._failed = failed
        self._supervised = False
        self._started: asyncio.Future[None] | None = None
        """What a start under way awaits."""
        self._sent: set[Demand] = set()
        """Commands that are not answered: the call repeats those by itself."""
        self._refusal = ""
        """Why its node has refused the last command that it did refuse."""
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def status(self) -> RemoteStatus:
        return self._state.status

    @property
    def node(self) -> str | None:
        """The id of the node that hosts it; None while none does."""
        return self._state.node

    @property
    def alive(self) -> bool:
        return self._state.status is RemoteStatus.RUNNING

    @property
    def finished(self) -> bool:
        return self._state.done

    # --- for the supervisor -----------------------------------------------------------------

    async def start(self, *, fresh: bool = False) -> None:
        """Supervise it; with `fresh`, have its node start a new object, and await that.

        The first start is its node's own. While there is none, it is left to the one that comes:
        a group's restart waits for nobody who may never come.

        Raises:
            SpawnError: the node could not start it.
        """
        if not fresh:
            self._supervise()
            return
        self.restarts += 1
        self.failure = None
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._started.add_done_callback(_look_at)
        started = self._started
        self._want(Wanted.RUNNING)
        await asyncio.shield(started)  # another restart may await it, too

    async def stop(self, *, drain: bool, since: float | None = None, final: bool = False) -> None:
        """Have its node stop it, as a strategy wants, and await that; a `final` stop leaves it."""
        if final:
            return
        self._want(Wanted.DOWN)
        up = {RemoteStatus.STARTING, RemoteStatus.RUNNING, RemoteStatus.STOPPING}
        while self.status in up and not self.finished:
            await self._change()

    async def retire(self) -> None:
        """Do nothing: its own node retires it."""

    # --- what is heard of it --------------------------------------------------------------------

    def reported(self, node: str, report: AgentReport) -> None:
        """Take in what a node reports of it."""
        self._take(self._state.reported(node, report.status, report.incarnation), report)

    def hosted_in(self, node: str) -> None:
        """Take note that a node hosts it which does not leave, though it may have seemed to go."""
        self._state.hosted_in(node)

    def finished_in(self, node: str) -> None:
        """Take in that it is done, of a node that has gone."""
        self._take(self._state.finished_in(node), _DONE)

    def _take(self, step: Step, report: AgentReport) -> None:
        if step is Step.CRASHED:
            self.failure = report.error or RemoteCrashError("it had crashed")
            self.redelivered = report.redelivered or report.status == CRASHED_AGAIN
        elif step is Step.DONE:
            self.failure = None
        if step is Step.CRASHED and self._started is not None and not self.redelivered:
            self._end_start(SpawnError(f"agent {self.name!r} could not start: {self.failure}"))
            step = Step.NONE  # who starts it hears so
        elif self.alive or step is not Step.NONE:
            self._end_start(None)  # it has started, and may have ended since
        self._notify()
        if step is Step.DONE or (step is Step.CRASHED and self._supervised):
            self._on_exit(self)

    def lost(self, node: str, error: Exception | None) -> bool:
        """Take note that a node has gone, with an error when it did not leave in order.

        Return whether that is a crash of the agent, which the caller is to report.
        """
        crashed = self._state.lost(node, died=error is not None) is Step.CRASHED
        if crashed:
            self.failure, self.redelivered = error, False
        if self.status is RemoteStatus.ABSENT:
            self._end_start(None)  # the next node starts it
        self._notify()
        return crashed and self._supervised

    def repeat(self) -> None:
        """Send again what is still to be reached: it was refused, or came too early."""
        self._notify()

    # --- parts ----------------------------------------------------------------------------------

    def _supervise(self) -> None:
        """Begin to decide about it; it may have crashed before, when nobody was there to."""
        self._supervised = True
        if self.status is RemoteStatus.ABSENT:
            self.changed_at = platform.monotonic()
        if self.status is RemoteStatus.CRASHED:
            self._on_exit(self)
        elif self._state.wanted is Wanted.NOTHING:
            self._want(Wanted.RUNNING)

    def _want(self, wanted: Wanted) -> None:
        self._state.wanted = wanted
        if self.alive or self.finished or self.status is RemoteStatus.ABSENT:
            self._end_start(None)
        self._notify()

    def _end_start(self, error: Exception | None) -> None:
        """Let those go on who await a start."""
        started, self._started = self._started, None
        if started is None:
            return
        if error is None:
            started.set_result(None)
        else:
            started.set_exception(error)

    def _notify(self) -> None:
        """Send what is to be sent now, and let those look who wait for a change."""
        if self.status is not self._known:
            self._known, self.changed_at = self.status, platform.monotonic()
        demand = self._state.demand()
        if demand is not None and demand not in self._sent:
            self._sent = {each for each in self._sent if each.node == demand.node} | {demand}
            name = f"civitas {demand.verb} {self.name}"
            start_task(self._send(demand), name=name, failed=self._failed)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def _send(self, demand: Demand) -> None:
        report = await self._command(demand, self.name)
        if report is None:
            return  # its node has gone
        if report.status:
            self.reported(demand.node, report)
        elif str(report.error) != self._refusal:
            self._refusal = str(report.error)
            logger.warning("%s", report.error)
        self._sent.discard(demand)  # it is sent again with the next news, or sign of life

    async def _change(self) -> None:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        await change


def _look_at(started: asyncio.Future[None]) -> None:
    """Take note of an error that nobody awaits any more."""
    if not started.cancelled():
        started.exception()
