"""RemoteAgent: the place in the tree of an agent that another process hosts.

Theory and table of states: `civitas._supervision`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from civitas._agents.settings import checked_seconds, checked_whole
from civitas._agents.slot import CRASHED_AGAIN
from civitas._supervision.heartbeat import DEFAULT, HeartbeatPolicy
from civitas.errors import ConfigurationError, RemoteCrashError, SpawnError, logger_of
from civitas.messages import name_problem
from civitas.process import ProcessStatus

logger = logger_of("civitas.supervisor")

_COMMAND_TIMEOUT: Final = 60.0
"""Seconds that a worker may take to restart or stop an agent."""

_NEVER: Final = -1


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


class RemoteCrash(NamedTuple):
    """A crash of an agent of another process, with what is known of its error.

    `redelivered` is whether the transport had given the message before on which it crashed.
    """

    incarnation: int
    error: Exception
    redelivered: bool = False


class Outcome(NamedTuple):
    """What became of a command. `error` says why it was not carried out; else it is empty."""

    incarnation: int
    error: str


SendCommand: TypeAlias = Callable[[str, str, str, float], Awaitable[Outcome]]
"""Has a node restart or stop an agent: (node id, `restart` or `stop`, agent, timeout in s)."""


class RemoteAgent:
    """One agent of another process under supervision.

    `on_exit` is called with it when it has crashed, or is done.
    """

    def __init__(
        self, child: RemoteChild, command: SendCommand, on_exit: Callable[[RemoteAgent], None]
    ) -> None:
        self.child = child
        self.name = child.name
        self.status = ProcessStatus.INITIALIZING
        self.failure: Exception | None = None
        self.redelivered = False
        """Whether it crashed on a message that its transport had given before."""
        self.restarts = 0
        self.node: str | None = None
        """The id of the node that hosts it; None while none does."""
        self._command = command
        self._on_exit = on_exit
        self._incarnation = 0
        self._crashed = _NEVER
        """The last incarnation that is known to have crashed: each crashes once."""
        self._held = False
        self._restarting = False
        self._crash: RemoteCrash | None = None
        """A crash heard of before the outcome of the restart: of this incarnation, or the next."""
        self._awaited = asyncio.Event()

    # --- for the supervisor -----------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self.status is ProcessStatus.RUNNING

    @property
    def finished(self) -> bool:
        return self.status is ProcessStatus.STOPPED

    async def start(self, *, fresh: bool = False) -> None:
        """Leave the first start to its node; with `fresh`, have the node start a new object.

        When the node has gone, this waits for the one that comes in its stead, which starts the
        agent by itself.

        Raises:
            SpawnError: the node could not start it.
        """
        if not fresh or self.alive:
            return
        self.restarts += 1
        while not self.alive:
            if self.node is None:
                await self._awaited.wait()
            elif await self._restart(self.node):
                return

    async def stop(self, *, drain: bool, since: float | None = None) -> None:
        """Have its node stop it, as a strategy wants; the end of this runtime leaves it alone.

        One that starts is stopped too: it may have started, and its node not have said so yet.
        """
        runs = self.status in {ProcessStatus.INITIALIZING, ProcessStatus.RUNNING}
        if drain or self.node is None or not runs:
            return
        self._held = True
        self.status = ProcessStatus.STOPPING
        outcome = await self._command(self.node, "stop", self.name, _COMMAND_TIMEOUT)
        if outcome.error:
            logger.warning("%s", outcome.error)

    async def _restart(self, node: str) -> bool:
        """Have the node restart it; return False when the node went meanwhile."""
        self._restarting = True
        try:
            outcome = await self._command(node, "restart", self.name, _COMMAND_TIMEOUT)
        finally:
            self._restarting = False
            crash, self._crash = self._crash, None
        if self.node != node:
            return False
        self._held = False
        self._incarnation = max(self._incarnation, outcome.incarnation)
        if self.finished:
            return True  # it said that it is done before it could be restarted
        if outcome.error:
            self._crashed = self._incarnation
            self.failure = SpawnError(outcome.error)
            self.status = ProcessStatus.CRASHED
            raise self.failure
        self.failure = None
        self.status = ProcessStatus.RUNNING
        if crash is not None and crash.incarnation == self._incarnation:
            self.crashed(node, crash)  # as soon as it was started
        return True

    async def retire(self) -> None:
        """Do nothing: its own node retires it."""

    # --- what is heard of it --------------------------------------------------------------------

    def heard(self, node: str, status: str, incarnation: int) -> None:
        if node != self.node:
            self.node = node
            self._held, self._crashed = False, _NEVER
        elif incarnation < self._incarnation:
            return  # said before the last command was carried out
        stale = self._held and incarnation == self._incarnation
        self._incarnation = incarnation
        if status == ProcessStatus.STOPPED.value:
            if not self.finished:
                self.status = ProcessStatus.STOPPED
                self.failure = None
                self._on_exit(self)
        elif status in {ProcessStatus.CRASHED.value, CRASHED_AGAIN}:
            if not stale:
                error = RemoteCrashError("it had crashed")
                again = status == CRASHED_AGAIN
                self.crashed(node, RemoteCrash(incarnation, error, redelivered=again))
        elif status == ProcessStatus.RUNNING.value and not stale and incarnation > self._crashed:
            self.status = ProcessStatus.RUNNING
            self.failure = None
            self._awaited.set()

    def crashed(self, node: str, crash: RemoteCrash) -> None:
        """Take note that it has crashed; of each incarnation only once."""
        incarnation = crash.incarnation
        if node != self.node or incarnation < self._incarnation or incarnation <= self._crashed:
            return
        if self._restarting:
            if self._crash is None or self._crash.incarnation < incarnation:
                self._crash = crash
            return
        self._incarnation = self._crashed = incarnation
        self.failure = crash.error
        self.redelivered = crash.redelivered
        self.status = ProcessStatus.CRASHED
        self._awaited.set()
        self._on_exit(self)

    def lost(self, error: Exception | None) -> None:
        """Take note that its node has gone: with an error when nobody heard it go."""
        self.node = None
        self._held = False
        self._incarnation, self._crashed = 0, _NEVER
        self._awaited.clear()
        if not self.finished:
            self.failure = error
            self.status = ProcessStatus.INITIALIZING if error is None else ProcessStatus.CRASHED
