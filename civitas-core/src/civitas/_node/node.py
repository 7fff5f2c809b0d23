"""Node: what every process of a system is, whatever it hosts: its life, and talking to agents.

Theory and table of states: `civitas._node`.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from civitas._agents.slot import AgentSlot
from civitas._bus.dead_letters import DeadLetterCallback
from civitas._bus.sender import Sender
from civitas._node.counters import NodeStats, Supervised, snapshot, told
from civitas._node.ending import Ending
from civitas._node.verbs import Verbs
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas.components import ComponentSet
from civitas.errors import ConfigurationError, NotConnectedError, SpawnError, describe, logger_of
from civitas.transport.interruption import Interruption
from civitas.transport.tasks import start_task

if TYPE_CHECKING:
    from civitas._cluster.cluster import Cluster
    from civitas._cluster.events import Event
    from civitas._cluster.protocol import AgentStates, NodeInfo

logger = logger_of("civitas.node")

_TRANSPORT_TIMEOUT: Final = 30.0
"""Seconds that a transport has to stop; it drains what it has accepted within its own time."""

_CALLBACKS_TIMEOUT: Final = 5.0
"""Seconds that the callbacks have at the end of a node."""


class Node(Verbs):
    """Base of the three kinds of node; `start` gives it its identity.

    Args:
        components: what it runs on.
        sender: the name that its callers' messages bear.
        policies: how closely the nodes of supervised agents are watched, by agent; None where
            there can be no other nodes.
    """

    role: ClassVar[str]
    """primary, worker or client."""

    def __init__(
        self,
        components: ComponentSet,
        sender: str,
        policies: Mapping[str, HeartbeatPolicy] | None,
    ) -> None:
        self.components = components
        self.failure: Exception | None = None
        """Why the node could not start, or could not stay; None while neither is so."""
        self._bus = components.bus
        self._config = components.config
        self._slots: dict[str, AgentSlot] = {}
        self._callers = Sender(components.bus, sender)
        self._was_started = False
        self._starting: Interruption | None = None
        self._aborting = False
        self._stopping: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._policies = policies
        self._cluster: Cluster | None = None

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the transport, join the others, start the agents; return when they can be reached.

        Raises:
            ConfigurationError: the node was started, or stopped, before, or another one runs with
                its components; or its transport can't be used after a fork.
            IdentityError: another process has the name, or an agent of one of the names.
            SpawnError: an agent could not start, and the others are stopped again; or `stop` was
                called meanwhile.
            TransportError: the transport could not start.
        """
        what = type(self).__name__.lower()
        if self._was_started or self._ended.is_set():
            self._check_loop()
            happened = "started" if self._was_started else "stopped"
            raise ConfigurationError(f"this {what} was {happened} before; make a new one")
        self._was_started = True
        self._report_failures()
        try:
            with Interruption() as self._starting:
                await self._run_start()
                return
        except BaseException as error:
            if isinstance(error, Exception):
                self.failure = error
            raise
        finally:
            self._starting = None
        raise self.failure or SpawnError(f"the {what} was stopped while it started")

    async def stop(self) -> None:
        """Finish what was taken, stop the agents in reverse order, then the transport.

        Returns when all has ended; called by an agent in one of its hooks, or by a callback, which
        can't end while it waits, at once. Stopping twice does no harm; during the start, it ends
        the start; before it, the node has ended and can't be started any more.

        Raises:
            ConfigurationError: this is not the event loop in which the node was started.
        """
        if not self._was_started:
            self._ended.set()
        if self._ended.is_set():
            return
        self._check_loop()
        self._begin_stop()
        task = asyncio.current_task()
        of_an_agent = any(task in slot.mailbox.consumers for slot in self._slots.values())
        if of_an_agent or task is self._bus.dead_letters.callbacks.task:
            return
        if self._stopping is None:
            await self._ended.wait()  # of the start, which cleans up
        else:
            await asyncio.shield(self._stopping)  # an error of the stop is the caller's to see

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.stop()
        except ConfigurationError:
            if exc is None:  # else a forked child leaves, and that says why
                raise

    def on_dead_letter(self, callback: DeadLetterCallback) -> None:
        """Call `callback(message or frame, reason)` for whatever can't be delivered.

        An async one is awaited, in the order of the calls, for 30 s at most. One that raises is
        logged.
        """
        self._bus.dead_letters.subscribe(callback)

    # --- for the kinds of node ----------------------------------------------------------------

    @abstractmethod
    async def _start(self) -> None:
        """Do what a start is; what was done by then is undone by `_abort_start` when it raises."""

    @abstractmethod
    async def _abort_start(self, ending: Ending) -> None:
        """Undo a start that has failed, but for the transport."""

    @abstractmethod
    async def _stop(self, ending: Ending) -> None:
        """Do what a stop in order is, but for the transport."""

    @abstractmethod
    def _on_event(self, event: Event) -> None:
        """Take note of what the cluster reports."""

    async def _start_transport(self) -> None:
        """Start the transport, and listen to other nodes."""
        # An earlier node may have had the same parts.
        self._bus.closing = self._bus.answers.rejecting = False
        with self._config.guard():
            await self._bus.transport.start()
            if self._cluster is not None:
                await self._cluster.open()

    async def _join(self) -> None:
        """Return when messages to the attached agents would arrive, from wherever they are sent."""
        with self._config.guard():
            await self._bus.transport.wait_ready()
        if self._cluster is not None:
            await self._cluster.join()
        with self._config.guard():
            await self._bus.take_over()

    def _begin_stop(self) -> None:
        """Stop, once, in a task of its own; a start under way is ended instead."""
        if self._starting is not None:
            if not self._aborting:
                self._starting.interrupt()
        elif self._stopping is None:
            self._stopping = start_task(
                self._run_stop(), name="civitas stop", failed=self._config.failed
            )

    def _fail(self, error: Exception) -> None:
        """End with failure, and at once."""
        self.failure = error
        self._begin_stop()

    async def _wait_ended(self) -> int:
        """Return when the node has ended: 0 for success, 1 when `failure` says why not."""
        if not self._ended.is_set():
            self._bus.affinity.check()
        await self._ended.wait()
        return 1 if self.failure is not None else 0

    def _check_started(self) -> None:
        if not self._was_started:
            what = type(self).__name__.lower()
            raise NotConnectedError(f"the {what} is not started: use `async with`, or `start`")

    def _check_running(self) -> None:
        self._check_started()
        if self._ended.is_set():
            what = type(self).__name__.lower()
            why = "" if self.failure is None else f": {describe(self.failure)}"
            raise NotConnectedError(f"the {what} has ended{why}")

    def _check_loop(self) -> None:
        """Raise unless the node has ended, or this runs in the event loop that it belongs to."""
        if not self._ended.is_set():
            self._check_started()
            self._bus.affinity.check()

    def _agent_states(self) -> AgentStates:
        """Return status and incarnation of each agent; in any thread."""
        return {slot.name: slot.state for slot in list(self._slots.values())}

    def _finished_of(self, info: NodeInfo) -> tuple[str, ...]:
        """Return the agents of a node that are done, as their supervisor knows."""
        return ()

    def _counters(self) -> Mapping[str, Any]:
        """Return the counters as JSON-like values; in any thread."""
        return {"role": self.role, "state": self._state, **told(self._snapshot())}

    def _snapshot(self) -> NodeStats:
        peers = self._cluster.peers() if self._cluster is not None else ()
        supervised = self._supervised()
        return snapshot(self._config.process, self._bus, self._slots.values(), supervised, peers)

    def _supervised(self) -> Supervised:
        """Return what supervision knows of agents; in any thread."""
        return Supervised()

    @property
    def _state(self) -> str:
        if self._bus.closing or self._stopping is not None:
            return "stopping"
        return "running" if self._starting is None else "starting"

    # --- parts --------------------------------------------------------------------------------

    async def _run_start(self) -> None:
        try:
            self._identify()
        except BaseException:  # nothing has begun
            self._ended.set()
            raise
        try:
            await self._bus.instruments.start(self._config.process, self.role, self._counters)
            await self._start()
        except BaseException as error:
            self._aborting = True
            if self.failure is None and isinstance(error, Exception):
                self.failure = error
            work = self._run_end(self._abort_start)
            ending = start_task(work, name="civitas end", failed=self._config.failed)
            await asyncio.shield(ending)  # also when this start is cancelled once more
            raise

    def _identify(self) -> None:
        """Become a node: in this event loop, of this process, with a node id and a generation."""
        self.components.identify(type(self).__name__.lower())
        if self._policies is None:
            return
        from civitas._cluster.cluster import Cluster  # a sixth of what a start in one process loads

        try:
            self._cluster = Cluster(
                self._bus,
                self._config,
                self.role,
                self._agent_states,
                self._counters,
                self._on_event,
                self._policies,
                self._finished_of,
            )
        except BaseException:
            self._bus.affinity.release()
            raise

    async def _end_watch(self) -> None:
        """Let nobody look at this node any more."""

    def _end(self) -> None:
        self._bus.on_detach = None
        self._bus.closing = False  # it is not stopping any more: it has ended
        self._bus.affinity.release()
        self._ended.set()

    async def _run_stop(self) -> None:
        error = await self._run_end(self._stop)
        if error is not None:
            if self.failure is None:
                self.failure = error
            raise error

    async def _run_end(
        self, end_agents: Callable[[Ending], Coroutine[Any, Any, None]]
    ) -> Exception | None:
        """End the agents, then the transport; return what has failed of the former."""
        agents, rest = Ending(), Ending()
        try:
            await agents.step("the node", end_agents(agents))
            if self._cluster is not None:
                await rest.step("the cluster", self._cluster.close(), _TRANSPORT_TIMEOUT)
            await rest.step("what was sent last", self._bus.outgoing.close(), _TRANSPORT_TIMEOUT)
            await rest.step("the transport", self._bus.transport.stop(), _TRANSPORT_TIMEOUT)
            callbacks = self._bus.dead_letters.callbacks
            await rest.step("a callback", callbacks.finish(_CALLBACKS_TIMEOUT))
            await rest.step("the instruments", self._bus.instruments.stop())
            await rest.step("the health address", self._end_watch())
        finally:
            self._end()
        return agents.error

    def _report_failures(self) -> None:
        """Let whatever this node has going on report, from any thread, that it can't go on."""
        loop = asyncio.get_running_loop()

        def report(error: Exception) -> None:
            try:
                loop.call_soon_threadsafe(self._part_failed, error)
            except RuntimeError:
                logger.debug("the event loop had ended before this node could")

        self._config.on_failure = report

    def _part_failed(self, error: Exception) -> None:
        """End, since a part of this node has; who waits for an answer of another node hears why."""
        if self._ended.is_set():
            return
        self._bus.routes.close(f"this node has failed: {error}")
        if self.failure is None:
            self._fail(error)
