"""Engine: runs one supervisor: starts its children in order, restarts what crashed, gives up.

Whether a crashed child is restarted, and when, is decided in `restart`; here it is done, for agents
of this process and of others alike. Theory and table of states: `civitas._supervision`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from civitas import _platform as platform
from civitas._agents.slot import AgentSlot
from civitas._supervision.completion import Completion
from civitas._supervision.remote import RemoteAgent
from civitas._supervision.restart import RestartIntensity, RestartPolicy, Strategy
from civitas.errors import (
    CivitasError,
    MessageRoutingError,
    SpawnError,
    crash_unless_cancelled,
    describe,
    logger_of,
)
from civitas.transport.tasks import Failed, cancel_task, start_task

logger = logger_of("civitas.supervisor")


@dataclass(frozen=True, slots=True)
class TreeObserver:
    """Who is called about a supervision tree."""

    crashed: Callable[[str, Exception], None]
    """An agent of that name has crashed."""
    ended: Callable[[AgentSlot | RemoteAgent], None]
    """That agent has ended for good."""
    failed: Callable[[Exception], None]
    """The root has given up."""
    task_failed: Failed
    """A restart, or a retirement, has ended unexpectedly."""
    backs_off: Callable[[], None]
    """Members wait for their restart; `Engine.backing_off` says for how long."""


class Engine:
    """Runs one supervisor of a tree; `parent` is the engine of the one above, if any."""

    def __init__(
        self, name: str, policy: RestartPolicy, observer: TreeObserver, parent: Engine | None = None
    ) -> None:
        self.name = name
        self.policy = policy
        self.members: list[Member] = []
        """The children, in the order in which they start."""
        self.backing_off: dict[str, float] = {}
        """Members that wait for their restart, and when it is due by `platform.monotonic`."""
        self._observer = observer
        self._parent = parent
        self._intensity = RestartIntensity(policy)
        self._hurries: dict[str, asyncio.Event] = {}
        """What ends the waiting of those members at once."""
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Of the restarts of one member, one after the other has its turn."""
        self._recoveries: set[asyncio.Task[None]] = set()
        self._retirements: set[asyncio.Task[None]] = set()
        self._group_lock = asyncio.Lock()
        self._started = asyncio.Event()
        self._completion = Completion()
        self.alive = False
        """Whether this supervisor is started and has not given up."""

    @property
    def finished(self) -> bool:
        """Whether there are agents below, and all have ended for good."""
        return self._completion.reached(self.members)

    # --- start and stop -----------------------------------------------------------------------

    async def start(self, *, fresh: bool = False) -> None:
        """Start the children in order; in a restart, when one can't, stop the others again.

        A first start that fails is undone by who has begun it: it is a start of the whole tree.

        Raises:
            SpawnError: a child could not start.
        """
        self._intensity = RestartIntensity(self.policy)
        self._started.clear()
        self.alive = True
        try:
            for member in self.members:
                if not (fresh and member.finished):
                    await member.start(fresh=fresh)
        except BaseException:
            if fresh:
                await self.stop(drain=False)
            raise
        self._started.set()

    async def stop(self, *, drain: bool, since: float | None = None, final: bool = False) -> None:
        """Stop the children in reverse order; see `AgentSlot.stop`.

        A `final` stop is the end of this tree: it leaves the agents of other processes alone.
        """
        self.alive = False
        self._started.clear()
        await self._settle()
        for member in reversed(self.members):
            await member.stop(drain=drain, since=since, final=final)
        await self._settle()  # the retirements of those who said meanwhile that they are done

    # --- what happens below -------------------------------------------------------------------

    def child_exited(self, agent: AgentSlot | RemoteAgent) -> None:
        """Take note that an agent has ended by itself: it crashed, or it is done."""
        if agent.failure is not None:
            self.children_failed((agent,), agent.failure, counts=not agent.redelivered)
        else:
            self._spawn(self._retire(agent), self._retirements)

    def children_failed(
        self, children: Sequence[Member], error: Exception, *, counts: bool = True
    ) -> None:
        """Take note that children have failed by one cause, such as the end of their process.

        With `counts`, it counts once towards the restart intensity, however many they are.
        """
        for child in children:
            if not isinstance(child, Engine):
                self._observer.crashed(child.name, error)
        if self.alive:
            self._spawn(self._recover(children, error, counts=counts), self._recoveries)

    async def restart(self, agent: AgentSlot | RemoteAgent) -> None:
        """Restart a member that somebody wants restarted; return when the fresh object has started.

        It is no crash: neither does it count towards the restart intensity, nor does the strategy
        concern the others. One that waits for its restart, alone or with a group, gets that at
        once; one that is being started is restarted after it.

        Raises:
            MessageRoutingError: it is done; or its process is away, which makes a fresh object when
                it comes.
            SpawnError: it could not start, and is restarted as after a crash; or its supervisor
                does not run, or was stopped meanwhile.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._spawn(self._restart_wanted(agent, done), self._recoveries)
        await done

    def hurry(self, member: str) -> bool:
        """End the waiting of a member for its restart; return whether it was waiting."""
        waiting = self._hurries.get(member)
        if waiting is not None:
            waiting.set()
        return waiting is not None

    async def _restart_wanted(
        self, agent: AgentSlot | RemoteAgent, done: asyncio.Future[None]
    ) -> None:
        try:
            await self._restart_at_once(agent)
        except asyncio.CancelledError:
            text = f"agent {agent.name!r}: its supervisor {self.name!r} was stopped meanwhile"
            _resolve(done, SpawnError(text))
            raise
        except BaseException as error:
            _resolve(done, crash_unless_cancelled(error))
            if not isinstance(error, CivitasError):
                raise
        _resolve(done, None)

    async def _restart_at_once(self, agent: AgentSlot | RemoteAgent) -> None:
        _check_there(agent)
        if not self.alive and not (self._parent is not None and self._parent.hurry(self.name)):
            raise SpawnError(f"agent {agent.name!r}: its supervisor {self.name!r} does not run")
        comes_back = not self.alive or self.hurry(agent.name)
        await self._started.wait()
        async with self._turns[agent.name]:
            if not comes_back:
                await agent.stop(drain=False)
                if not agent.finished:  # also when its process has gone: the next one is to run it
                    await self._start_again(agent)
            _check_there(agent)
            if comes_back and not agent.alive:
                raise SpawnError(f"agent {agent.name!r} could not start: {agent.failure}")

    async def _retire(self, agent: AgentSlot | RemoteAgent) -> None:
        await agent.retire()
        self._observer.ended(agent)

    async def _recover(self, children: Sequence[Member], error: Exception, *, counts: bool) -> None:
        now = asyncio.get_running_loop().time()
        delay, share = self._intensity.decide(children[0].name, now, counts=counts)
        if delay is None:
            await self._started.wait()  # nobody is stopped whose start is still to come
            await self._give_up(children, error)
            return
        _log_crash(children, error, f"restarting in {delay:.2g} s ({share})")
        if self.policy.strategy is Strategy.ONE_FOR_ONE:
            for child in children:
                self._spawn(self._restart((child,), delay), self._recoveries)
            return
        await self._started.wait()  # nor started twice
        async with self._group_lock:
            down = [child for child in children if not child.alive]
            if down:  # otherwise they came back with a group that crashed before them
                await self._restart(self._affected(down), delay)

    async def _restart(self, members: Sequence[Member], delay: float) -> None:
        async with AsyncExitStack() as turns:
            waited = any(self._turns[member.name].locked() for member in members)
            for member in members:
                await turns.enter_async_context(self._turns[member.name])
            if waited and len(members) == 1 and members[0].alive:
                return  # it was restarted meanwhile
            for member in reversed(members):
                await member.stop(drain=False)
            await self._back_off([each.name for each in members if not each.finished], delay)
            for member in members:
                if member.finished:
                    continue  # an agent that said it is done stays so
                try:
                    await self._start_again(member)
                except SpawnError:
                    return

    async def _start_again(self, member: Member) -> None:
        """Start a fresh object; when it can't, that is a crash like any other.

        Raises:
            SpawnError: it could not start.
        """
        try:
            await member.start(fresh=True)
        except SpawnError as error:
            self.children_failed((member,), error)
            raise
        if not _is_away(member):  # else the next process starts it
            logger.info("%s restarted", _named(member))

    async def _back_off(self, names: Sequence[str], delay: float) -> None:
        """Wait before a restart, unless somebody is in a hurry; let others see for how long."""
        self.backing_off |= dict.fromkeys(names, platform.monotonic() + delay)
        hurry = asyncio.Event()
        self._hurries |= dict.fromkeys(names, hurry)
        self._observer.backs_off()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await hurry.wait()
        finally:
            for name in names:
                self.backing_off.pop(name, None)
                self._hurries.pop(name, None)

    async def _give_up(self, children: Sequence[Member], error: Exception) -> None:
        most, window = self.policy.max_restarts, self.policy.restart_window
        excess = f"more than {most} restarts within {window:g} s"
        _log_crash(children, error, f"{excess}: supervisor {self.name!r} gives up")
        await self.stop(drain=False, final=self._parent is None)
        if self._parent is not None:
            self._parent.children_failed((self,), error)
        else:
            self._observer.failed(error)

    # --- parts --------------------------------------------------------------------------------

    def _affected(self, children: Sequence[Member]) -> Sequence[Member]:
        if self.policy.strategy is Strategy.ONE_FOR_ALL:
            return self.members
        return self.members[min(map(self.members.index, children)) :]

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        name = f"supervisor {self.name}"
        task = start_task(work, name=name, failed=self._observer.task_failed)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _settle(self) -> None:
        """Cancel the restarts under way and await the retirements."""
        current = asyncio.current_task()
        for task in self._recoveries - {current}:
            cancel_task(task)
        others = (self._recoveries | self._retirements) - {current}
        if others:
            await asyncio.wait(others)


Member: TypeAlias = AgentSlot | RemoteAgent | Engine


def _log_crash(children: Sequence[Member], error: Exception, consequence: str) -> None:
    names, text = ", ".join(map(_named, children)), describe(error)
    logger.error("%s crashed: %s; %s", names, text, consequence, exc_info=error)


def _check_there(agent: AgentSlot | RemoteAgent) -> None:
    if agent.finished:
        raise MessageRoutingError(f"agent {agent.name!r} is done, and stays so")
    if isinstance(agent, RemoteAgent) and _is_away(agent):
        where = "its process" if agent.child.process is None else f"process {agent.child.process!r}"
        raise MessageRoutingError(
            f"agent {agent.name!r}: {where} is not there; when it comes, it starts a fresh object"
        )


def _is_away(member: Member) -> bool:
    """Return whether it is an agent whose process is not there."""
    return isinstance(member, RemoteAgent) and member.node is None


def _resolve(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():  # who wanted it does not wait any more
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _named(child: Member) -> str:
    return f"{'supervisor' if isinstance(child, Engine) else 'agent'} {child.name!r}"
