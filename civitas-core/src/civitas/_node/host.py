"""AgentHost: a node that has agents: their slots, their counters, and the commands for them."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from civitas import _platform as platform
from civitas._agents.slot import AgentSlot
from civitas._node.commands import Commands
from civitas._node.counters import NodeStats
from civitas._node.crashes import Crashes
from civitas._node.drain import Drain
from civitas._node.ending import Ending
from civitas._node.node import Node
from civitas._node.queues import QueueWatch
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas.components import ComponentSet
from civitas.errors import IdentityError, logger_of
from civitas.process import AgentProcess, ProcessStatus

if TYPE_CHECKING:
    from civitas._cluster.events import Event
    from civitas._cluster.protocol import Result
    from civitas._health.notify import Notifier
    from civitas._node.health.watch import NodeWatch

logger = logger_of("civitas.node")

CrashCallback: TypeAlias = Callable[[str, Exception], Awaitable[None] | None]


class AgentHost(Node):
    """Base of the two kinds of node that host agents; see `Node` for the arguments."""

    def __init__(
        self,
        components: ComponentSet,
        sender: str,
        policies: Mapping[str, HeartbeatPolicy] | None,
    ) -> None:
        super().__init__(components, sender, policies)
        self._has_left = False
        self._crash_callbacks: list[CrashCallback] = []
        self._crashes = Crashes()
        self._drain = Drain(
            self._bus, self._slots, self._restart_times, restarts=self.role == "primary"
        )
        self._rested = self._drain.rested  # one object for all slots
        self._commands = Commands(self._slots, self._answer, self._supervise, self._config.failed)
        self._queues = QueueWatch(self._slots, components.health.stuck_after)
        self.notifier: Notifier | None = None
        """Tells a service manager how the node is; set before the start, for this node alone."""
        self._watch: NodeWatch | None = None

    # --- looking at it ------------------------------------------------------------------------

    def get_agent(self, name: str) -> AgentProcess | None:
        """Return the agent's current object, or None when there is no such agent."""
        slot = self._slots.get(name)
        return None if slot is None else slot.agent

    def all_agents(self) -> list[AgentProcess]:
        """Return the current objects of all agents, in the order in which they start."""
        return [slot.agent for slot in self._slots.values()]

    def stats(self) -> NodeStats:
        """Return a snapshot of this node's counters."""
        self._check_started()
        return self._snapshot()

    @property
    def health_url(self) -> str:
        """Where this node answers probes; empty while it does not."""
        return "" if self._watch is None else self._watch.url

    def on_crash(self, callback: CrashCallback) -> None:
        """Call `callback(name, error)` whenever an agent crashes.

        An async one is awaited, in the order of the crashes, for 30 s at most. It may stop the
        node. One that raises is logged.
        """
        self._crash_callbacks.append(callback)

    # --- for the kinds of node ----------------------------------------------------------------

    @abstractmethod
    async def _start_agents(self) -> None:
        """Start the agents in order."""

    @abstractmethod
    async def _stop_agents(self, since: float) -> None:
        """Stop the agents in reverse order, `since` when the stop began (event loop's time)."""

    def _make_slot(self, agent: AgentProcess, on_exit: Callable[[AgentSlot], None]) -> AgentSlot:
        """Make the place of an agent."""
        slot = AgentSlot(agent, self._bus, on_exit, self._rested)
        self._slots[agent.name] = slot
        return slot

    def _agent_crashed(self, name: str, error: Exception) -> None:
        self._crashes.add(name, error)
        self._bus.dead_letters.callbacks.call("on_crash", self._crash_callbacks, name, error)

    def _agent_ended(self) -> None:
        """Take note that an agent has ended for good; the node ends with the last."""
        if self._all_ended and self._starting is None:
            self._begin_stop()

    @property
    @abstractmethod
    def _all_ended(self) -> bool:
        """Whether the node had agents, and all have ended: one that has none is not done."""

    def _restart_times(self) -> Mapping[str, float]:
        """Return when agents are restarted that wait for it, by `platform.monotonic`."""
        return {}

    @abstractmethod
    def _supervise(self, slot: AgentSlot) -> None:
        """Supervise an agent of this node that no tree names."""

    def _fail(self, error: Exception) -> None:
        """End with failure, and at once: nobody is left to do the work."""
        self._drain.abandon()
        super()._fail(error)

    def _announce(self, *names: str) -> None:
        """Announce how agents of this node are now, and whether it stops."""
        if self._cluster is not None:
            states = {name: self._slots[name].state for name in names if name in self._slots}
            self._cluster.announce(states, leaving=self._bus.closing)

    def _on_event(self, event: Event) -> None:
        from civitas._cluster.events import Evicted, Received  # loaded by the cluster alone
        from civitas._cluster.protocol import Admitted, Command

        match event:
            case Received(info=info, message=Command() as command):
                self._commands.receive(info.node, command)
            case Received(message=Admitted(done=done)):
                for name in done:
                    self._commands.finish(name)
            case Evicted():
                logger.error("this process can't stay: %s", event.reason)
                self._fail(IdentityError(event.reason))

    # --- life ---------------------------------------------------------------------------------

    async def _start(self) -> None:
        await self._start_watch()
        await self._start_transport()
        if self._cluster is not None:
            self._bus.on_detach = self._leave_with
        for slot in self._slots.values():
            with self._config.guard():
                await slot.attach()
        await self._join()
        await self._start_agents()
        self._announce(*self._slots)
        if self._all_ended:
            asyncio.get_running_loop().call_soon(self._begin_stop)

    async def _start_watch(self) -> None:
        """Let those look at this node who are to, from before anything that may take long."""
        settings, queues = self.components.health, self._queues
        if self._cluster is not None:
            self._cluster.standing.on_look = lambda: queues.look(platform.monotonic())
        if settings.listen is None and self.notifier is None:
            return
        from civitas._node.health.vitals import Vitals  # which few have a use for
        from civitas._node.health.watch import NodeWatch

        vitals = Vitals(
            process=self._config.process,
            role=self.role,
            bus=self._bus,
            slots=self._slots,
            queues=queues,
            link_state=self._config.link_state,
            standing=None if self._cluster is None else self._cluster.standing,
            state=lambda: self._state,
            failure=lambda: self.failure,
            supervised=self._supervised,
        )
        on_look = _nothing if self._cluster is not None else queues.look
        self._watch = NodeWatch(vitals, settings, self.notifier, self._config.failed, on_look)
        await self._watch.start()

    async def _end_watch(self) -> None:
        if self._watch is not None:
            await self._watch.stop()

    async def _abort_start(self, ending: Ending) -> None:
        await self._leave(ending)
        await self._retire_all(ending)

    async def _stop(self, ending: Ending) -> None:
        began = asyncio.get_running_loop().time()
        self._bus.closing = True
        for slot in self._slots.values():
            if slot.status is ProcessStatus.CRASHED and self.role == "worker":
                await slot.close()  # nobody restarts it
        await self._leave(ending)
        await ending.step("the drain", self._drain.run(began))
        await ending.step("a command", self._commands.end())
        await ending.step("the agents", self._stop_agents(began))
        await self._retire_all(ending)

    async def _leave(self, ending: Ending) -> None:
        """Let the others send no more, and take what they have sent."""
        self._has_left = True
        if self._cluster is not None:
            await ending.step("what is on its way here", self._cluster.leave())

    async def _leave_with(self, agent: str) -> None:
        """Do the same for one agent, which has ended for good."""
        if self._cluster is not None and not self._has_left:
            self._announce(agent)
            await self._cluster.leave_with(agent)

    async def _retire_all(self, ending: Ending) -> None:
        """Take all agents off the system and account for what they leave behind."""
        for slot in self._slots.values():
            if not slot.finished or slot.mailbox.pending:
                await ending.step(f"agent {slot.name!r}", slot.retire())

    def _answer(self, node: str, agent: str, result: Result) -> None:
        assert self._cluster is not None
        self._announce(agent)  # first: who gets the answer knows then how the agent is
        self._cluster.answer(node, result)


def _nothing(_now: float) -> None: ...
