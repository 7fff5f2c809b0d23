"""Supervisor: starts its children in order, restarts what crashed, escalates what won't stay up."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable, Sequence
from enum import Enum
from typing import Any, Protocol, TypeAlias, TypeVar

from civitas._agents.slot import AgentSlot
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas._supervision.remote import RemoteAgent, RemoteChild
from civitas._supervision.restart import BackoffKind, CrashWindow, Strategy, backoff_delay
from civitas.errors import ConfigurationError, SpawnError
from civitas.messages import name_problem
from civitas.process import AgentProcess

logger = logging.getLogger("civitas.supervisor")

E = TypeVar("E", bound=Enum)


class Host(Protocol):
    """What a supervision tree needs from the node that it lives in."""

    def make_slot(self, agent: AgentProcess, parent: Supervisor) -> AgentSlot:
        """Return the slot for an agent of this node; it reports to `parent.child_exited`."""
        ...

    def make_remote_agent(self, child: RemoteChild, parent: Supervisor) -> RemoteAgent:
        """Return the slot for an agent of another process; it reports to the same."""
        ...

    def agent_crashed(self, name: str, error: Exception) -> None:
        """Take note of a crash."""
        ...

    def agent_ended(self, slot: AgentSlot | RemoteAgent) -> None:
        """Take note that an agent has ended for good."""
        ...

    def tree_failed(self, error: Exception) -> None:
        """Take note that the root has given up."""
        ...


class Supervisor:
    """A node of the supervision tree.

    Args:
        name: the supervisor's name.
        children: agents and supervisors, in the order in which they start.
        strategy: ONE_FOR_ONE, ONE_FOR_ALL or REST_FOR_ONE; upper or lower case.
        max_restarts: more crashes than this within `restart_window` escalate to the parent.
        restart_window: seconds.
        backoff: CONSTANT, LINEAR or EXPONENTIAL (with jitter); upper or lower case.
        backoff_base: first delay before a restart, in seconds.
        backoff_max: longest delay, in seconds.

    Raises:
        ConfigurationError: a value is none of these.
    """

    def __init__(
        self,
        name: str,
        children: Iterable[AgentProcess | Supervisor | RemoteChild] = (),
        strategy: str | Strategy = "ONE_FOR_ONE",
        max_restarts: int = 3,
        restart_window: float = 60.0,
        backoff: str | BackoffKind = "CONSTANT",
        backoff_base: float = 1.0,
        backoff_max: float = 60.0,
    ) -> None:
        problem = name_problem(name)
        if problem is not None:
            raise ConfigurationError(f"{name!r} can't be a supervisor's name: {problem}")
        self.name = name
        self.children = list(children)
        self.strategy = _choice(Strategy, strategy, f"strategy of supervisor {name!r}")
        self.max_restarts = _at_least(max_restarts, 0, f"max_restarts of supervisor {name!r}")
        self.restart_window = _above_zero(restart_window, f"restart_window of {name!r}")
        self.backoff = _choice(BackoffKind, backoff, f"backoff of supervisor {name!r}")
        self.backoff_base = _at_least(backoff_base, 0, f"backoff_base of supervisor {name!r}")
        self.backoff_max = _at_least(backoff_max, 0, f"backoff_max of supervisor {name!r}")
        self.members: list[Member] = []
        """The children as they run: a slot for each agent. Empty until the tree is attached."""
        self._host: Host | None = None
        self._parent: Supervisor | None = None
        self._crashes = CrashWindow(self.restart_window)
        self._child_crashes: dict[str, CrashWindow] = {}
        self._recoveries: set[asyncio.Task[None]] = set()
        self._retirements: set[asyncio.Task[None]] = set()
        self._group_lock = asyncio.Lock()
        self._started = asyncio.Event()
        self._alive = False

    @property
    def alive(self) -> bool:
        """Whether this supervisor is started and has not given up."""
        return self._alive

    @property
    def finished(self) -> bool:
        """Whether all agents below have ended for good."""
        return all(member.finished for member in self.members)

    def add_remote_child(
        self,
        name: str,
        heartbeat_interval: float = 5.0,
        heartbeat_timeout: float = 2.0,
        missed_heartbeats_threshold: int = 3,
        *,
        process: str | None = None,
    ) -> None:
        """Supervise an agent that a worker process hosts, as the last child.

        Args:
            name: the agent's name.
            heartbeat_interval: seconds between two pings of its process.
            heartbeat_timeout: seconds for the answer to one.
            missed_heartbeats_threshold: missed answers in a row after which it counts as crashed.
            process: its worker's process name, for messages.

        Raises:
            ConfigurationError: a value can't be one of these.
        """
        policy = HeartbeatPolicy(heartbeat_interval, heartbeat_timeout, missed_heartbeats_threshold)
        self.children.append(RemoteChild(name, process, policy))

    def remote_children(self) -> list[RemoteChild]:
        """Return the agents of other processes, of this supervisor and of all below."""
        found: list[RemoteChild] = []
        for child in self.children:
            if isinstance(child, Supervisor):
                found.extend(child.remote_children())
            elif isinstance(child, RemoteChild):
                found.append(child)
        return found

    # --- config -------------------------------------------------------------------------------

    async def attach(self, host: Host, parent: Supervisor | None = None) -> None:
        """Make the slots of all agents below and register their names."""
        self._host = host
        self._parent = parent
        self.members = []
        for child in self.children:
            if isinstance(child, Supervisor):
                await child.attach(host, self)
                self.members.append(child)
            elif isinstance(child, RemoteChild):
                self.members.append(host.make_remote_agent(child, self))
            else:
                slot = host.make_slot(child, self)
                self.members.append(slot)
                await slot.attach()

    # --- start and stop -----------------------------------------------------------------------

    async def start(self, *, fresh: bool = False) -> None:
        """Start the children in order; when one can't, stop the others again.

        Raises:
            SpawnError: a child could not start.
        """
        self._crashes = CrashWindow(self.restart_window)
        self._child_crashes.clear()
        self._started.clear()
        self._alive = True
        try:
            for member in self.members:
                if not (fresh and member.finished):
                    await member.start(fresh=fresh)
        except BaseException:
            await self.stop(drain=False)
            raise
        self._started.set()

    async def stop(self, *, drain: bool, since: float | None = None) -> None:
        """Stop the children in reverse order; see `AgentSlot.stop`."""
        self._alive = False
        await self._settle()
        for member in reversed(self.members):
            await member.stop(drain=drain, since=since)
        await self._settle()  # the retirements of those who said meanwhile that they are done

    # --- what happens below -------------------------------------------------------------------

    def child_exited(self, slot: AgentSlot | RemoteAgent) -> None:
        """Take note that an agent has ended without being told to: it crashed, or it is done."""
        if slot.failure is not None:
            self._failed((slot,), slot.failure, counts=not slot.redelivered)
        else:
            self._spawn(self._retire(slot), self._retirements)

    def child_failed(self, child: Member, error: Exception) -> None:
        """Take note that a child has crashed, could not restart, or (a supervisor) gave up."""
        self.children_failed((child,), error)

    def children_failed(self, children: Sequence[Member], error: Exception) -> None:
        """Take note that children have failed by one cause, such as the end of their process.

        It counts once towards the restart intensity, however many they are.
        """
        self._failed(children, error)

    def _failed(self, children: Sequence[Member], error: Exception, *, counts: bool = True) -> None:
        """Take note that children have failed.

        A crash on a message that its transport had given before does not count towards the restart
        intensity: it is the transport's own limit of deliveries that ends it.
        """
        assert self._host is not None
        for child in children:
            if not isinstance(child, Supervisor):
                self._host.agent_crashed(child.name, error)
        if self._alive:
            self._spawn(self._recover(children, error, counts=counts), self._recoveries)

    async def _retire(self, slot: AgentSlot | RemoteAgent) -> None:
        assert self._host is not None
        await slot.retire()
        self._host.agent_ended(slot)

    async def _recover(self, children: Sequence[Member], error: Exception, *, counts: bool) -> None:
        now = asyncio.get_running_loop().time()
        share = "on a message that was given again: not counted"
        if counts:
            crashes = self._crashes.record(now)
            share = f"{crashes} of {self.max_restarts}"
            if crashes > self.max_restarts:
                await self._started.wait()  # nobody is stopped whose start is still to come
                await self._give_up(children, error)
                return
        delay = self._delay(children[0], now)
        _log_crash(children, error, f"restarting in {delay:.2g} s ({share})")
        if self.strategy is Strategy.ONE_FOR_ONE:
            await asyncio.gather(*(self._restart((child,), delay) for child in children))
            return
        await self._started.wait()  # nor started twice
        async with self._group_lock:
            down = [child for child in children if not child.alive]
            if down:  # otherwise they came back with a group that crashed before them
                await self._restart(self._affected(down), delay)

    async def _restart(self, members: Sequence[Member], delay: float) -> None:
        for member in reversed(members):
            await member.stop(drain=False)
        await asyncio.sleep(delay)
        for member in members:
            if member.finished:
                continue  # an agent that said it is done stays so
            try:
                await member.start(fresh=True)
            except SpawnError as error:
                self.child_failed(member, error)
                return
            logger.info("%s restarted", _describe(member))

    async def _give_up(self, children: Sequence[Member], error: Exception) -> None:
        assert self._host is not None
        _log_crash(
            children,
            error,
            f"more than {self.max_restarts} restarts within {self.restart_window:g} s: "
            f"supervisor {self.name!r} gives up",
        )
        await self.stop(drain=False)
        if self._parent is not None:
            self._parent.child_failed(self, error)
        else:
            self._host.tree_failed(error)

    # --- parts --------------------------------------------------------------------------------

    def _affected(self, children: Sequence[Member]) -> Sequence[Member]:
        if self.strategy is Strategy.ONE_FOR_ALL:
            return self.members
        return self.members[min(map(self.members.index, children)) :]

    def _delay(self, child: Member, now: float) -> float:
        window = self._child_crashes.get(child.name)
        if window is None:
            window = self._child_crashes[child.name] = CrashWindow(self.restart_window)
        return backoff_delay(
            self.backoff,
            self.backoff_base,
            self.backoff_max,
            window.record(now),
            random.random(),
        )

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"supervisor {self.name}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(self._report)

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.error("supervisor %r failed", self.name, exc_info=task.exception())

    async def _settle(self) -> None:
        """Cancel the restarts under way and await the retirements."""
        current = asyncio.current_task()
        for task in self._recoveries - {current}:
            task.cancel()
        others = (self._recoveries | self._retirements) - {current}
        if others:
            await asyncio.wait(others)


Member: TypeAlias = AgentSlot | RemoteAgent | Supervisor


def _log_crash(children: Sequence[Member], error: Exception, consequence: str) -> None:
    logger.error(
        "%s crashed: %s: %s; %s",
        ", ".join(map(_describe, children)),
        type(error).__name__,
        error,
        consequence,
        exc_info=error,
    )


def _describe(child: Member) -> str:
    return f"{'supervisor' if isinstance(child, Supervisor) else 'agent'} {child.name!r}"


def _choice(kind: type[E], value: str | E, what: str) -> E:
    if isinstance(value, kind):
        return value
    try:
        return kind(str(value).upper())
    except ValueError:
        allowed = ", ".join(str(member.value) for member in kind)
        raise ConfigurationError(f"{what} is {value!r}; it is one of {allowed}") from None


N = TypeVar("N", int, float)


def _at_least(value: N, least: int, what: str) -> N:
    if value < least:
        raise ConfigurationError(f"{what} is at least {least}, not {value}")
    return value


def _above_zero(value: float, what: str) -> float:
    if value <= 0:
        raise ConfigurationError(f"{what} is more than 0 s, not {value}")
    return value
