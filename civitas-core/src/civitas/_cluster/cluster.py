"""Cluster: the other nodes, as the rest of this node sees them: one object for all of it.

It joins two halves: the control plane, which decides who belongs to the system, and the data
plane, which keeps the routes to their agents. What the control plane reports comes in here as
events; those that are about agents go on to the node.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from civitas import _platform as platform
from civitas._bus.bus import MessageBus
from civitas._cluster.announcements import check_announceable
from civitas._cluster.codec import LARGEST_FRAME
from civitas._cluster.config import ClusterConfig
from civitas._cluster.control_plane import CONTROL_NAME, ControlPlane, MakeMembership, TaskRunner
from civitas._cluster.data_plane import DataPlane, PeerStats
from civitas._cluster.events import (
    ClockSeen,
    Event,
    Evicted,
    Finished,
    Impersonated,
    NodeLost,
    NodeSeen,
    NotAnnounced,
    Objected,
    Received,
    Settled,
)
from civitas._cluster.leaving import ALL
from civitas._cluster.liveness import LoopBeat, OwnNode
from civitas._cluster.membership import Membership
from civitas._cluster.node_log import NodeLog
from civitas._cluster.protocol import (
    AgentStates,
    Command,
    Counters,
    Crashed,
    NodeInfo,
    Pong,
    Query,
    Result,
)
from civitas._cluster.standing import Standing
from civitas._signing.settings import NOT_AUTHENTICATED
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas._supervision.remote import AgentReport
from civitas._supervision.remote_state import Demand
from civitas.errors import (
    CivitasError,
    IdentityError,
    MessageRoutingError,
    RemoteCrashError,
    TransportError,
    describe,
    logger_of,
    printable,
)
from civitas.transport.tasks import guard_callback

logger = logger_of("civitas.node")

_TEXT: Final = 2_000
"""Bytes of an error's text that are reported: they fit in every transport's messages."""

_BEAT: Final = 0.25
"""Seconds between two beats of the event loop."""

_PROBE_AGAIN: Final = 0.1
"""Seconds between two probes of a route that is not proved."""

_LOOK_AGAIN: Final = 0.5
"""Seconds between two looks at windows whose credit does not move."""

_CONFIRM_TIMEOUT: Final = 2.0
"""Seconds that a node which stops gives the others to take what it has sent."""


class Cluster:
    """One node's place in the system; it keeps the routes and the receive accounting of `bus`.

    `role` is primary, worker or client. `agents` returns the states of the node's agents,
    `counters` its counters as JSON-like values: both are called in any thread. `on_event` is called
    with each event that is about agents, or about this node's own eviction. `policies` say how
    closely each supervised agent's node is watched, by agent; `finished` returns, in any thread,
    which agents of another node are done, though that one need not know.
    """

    def __init__(
        self,
        bus: MessageBus,
        config: ClusterConfig,
        role: str,
        agents: Callable[[], AgentStates],
        counters: Callable[[], Mapping[str, Any]],
        on_event: Callable[[Event], None],
        policies: Mapping[str, HeartbeatPolicy],
        finished: Callable[[NodeInfo], tuple[str, ...]],
    ) -> None:
        self._bus = bus
        self._agents = agents
        self._on_agents_event = on_event
        self._largest = config.capabilities.max_message_bytes if config.capabilities else None
        windowed = not config.durable  # then the transport acknowledges instead
        self._data = DataPlane(
            bus, windowed=windowed, on_reached=self._reached, failed=config.failed
        )
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Result | Counters]] = {}
        self._settled = asyncio.Event()
        self.standing = Standing()
        self._failure: CivitasError | None = None
        """Why this node can't be in the system."""
        self._changed: dict[str, tuple[str, int]] = {}
        self._leaving = False
        self._log = NodeLog()
        self._announcing: asyncio.Handle | None = None
        self._announce_later = guard_callback(
            self._announce_now, name="civitas announcement", failed=config.failed
        )
        self._loop_beat = LoopBeat()
        self._look_at = 0.0
        self._beat_timer: asyncio.TimerHandle | None = None
        self._beat_later = guard_callback(self._beat, name="civitas beat", failed=config.failed)
        bus.routes.discovering = True
        config.link_state.on_up = self._data.link_up
        self._info = NodeInfo(bus.origin.node.hex(), bus.origin.generation, config.process, role)
        bus.waiting.elsewhere = self.counters_of
        own = OwnNode(agents, self._loop_beat.stalled, counters, finished, bus.waiting.told)
        self._control = self._control_plane(
            config,
            lambda send, report: Membership(
                self._info,
                own,
                send,
                self.standing.noting(report),
                config.fenced,
                policies,
                authenticated=config.authenticated,
            ),
        )

    def _control_plane(self, config: ClusterConfig, membership: MakeMembership) -> ControlPlane:
        bus, make = self._bus, config.make_control
        hooks = self._control_down, self._control_up, self._control_dropped
        own_thread = make is not None
        return ControlPlane(
            bus.transport if make is None else make(*hooks),
            bus.origin,
            membership,
            self._on_event,
            bus.dead_letters.record,
            config.failed,
            owns_transport=own_thread,
            runner=platform.make_runner(CONTROL_NAME) if own_thread else TaskRunner(config.failed),
            guard=config.guard_control if own_thread else config.guard,
            largest=self._largest or LARGEST_FRAME,
        )

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Listen on the data transport; the node's agents are subscribed after it."""
        await self._data.probes.start()
        self._beat()

    async def join(self) -> None:
        """Find the others, and return when each can reach the agents of this node.

        Raises:
            ConfigurationError: the node has too many agents to be announced, or the transport
                carries too small messages.
            IdentityError: the node's name, or one of an agent, is taken.
            TransportError: the control plane could not start, or its transport refuses messages for
                their size.
        """
        agents = dict(self._agents())
        check_announceable(replace(self._info, agents=agents), self._largest)
        await self._control.start()
        self._control.post(lambda members, _now: members.announce(agents))
        self._control.post(lambda members, now: members.join(now))
        await self._settled.wait()
        if self._failure is not None:
            raise self._failure
        self.standing.joined = True

    def announce(self, agents: AgentStates, *, leaving: bool = False) -> None:
        """Announce agents that have changed, and whether this node stops.

        All that changes in one turn of the event loop is one announcement.
        """
        self._changed.update(agents)
        self._leaving = self._leaving or leaving
        if self._announcing is None:
            self._announcing = asyncio.get_running_loop().call_soon(self._announce_later)

    async def leave(self) -> None:
        """Say that this node takes no more, and return when what is on its way here has come.

        Other nodes that do not answer are not waited for.
        """
        self.announce({}, leaving=True)
        if self._failure is None:  # else nobody hears it
            await self._data.leave(ALL)

    async def leave_with(self, agent: str) -> None:
        """Return when what is on its way to one agent, which has ended for good, has come."""
        if self._failure is None:
            await self._data.leave(agent)

    async def close(self) -> None:
        """Say goodbye, and end. Idempotent, also half-started."""
        if self._beat_timer is not None:
            self._beat_timer.cancel()
            self._beat_timer = None
        self._announce_now()
        if self._bus.accounting is not None:
            self._bus.accounting.settle()
        accountable: list[str] = []
        # The goodbye takes another way: it must not overtake the answers of this node's agents.
        if self._failure is None:  # else nobody hears it
            accountable = await self._data.say_last_numbers(_CONFIRM_TIMEOUT)
        await self._data.probes.stop()
        self._control.post(lambda members, _now: members.leave("it stopped"))
        await self._control.stop()
        self._data.close(accountable)

    # --- calls --------------------------------------------------------------------------------

    async def command(self, demand: Demand, agent: str) -> AgentReport | None:
        """Have a node do what is demanded with an agent; return how that is now.

        It takes as long as it takes: an `on_start` may take minutes there as here. It ends, with
        None, when the node has gone.
        """
        number = next(self._numbers)
        call = Command(number, demand.verb, agent, demand.incarnation)
        answer = await self._call(demand.node, call, None)
        assert isinstance(answer, Result)
        if not answer.status and demand.node not in self._data.nodes:
            return None
        where = self._data.name(demand.node)
        refused = MessageRoutingError(f"{demand.verb} agent {agent!r} in {where}: {answer.error}")
        crash = RemoteCrashError(answer.error)
        error = None if not answer.error else crash if answer.status else refused
        return AgentReport(answer.status, answer.incarnation, error)

    def supervise(self, node: str, agent: str, incarnation: int) -> None:
        """Have a node supervise an agent of its own, that no tree names."""
        call = Command(next(self._numbers), "supervise", agent, incarnation)
        self._control.post(lambda members, now: members.call(node, call, now))

    async def counters_of(
        self, node: str, timeout: float | None = None, agent: str = ""
    ) -> Mapping[str, Any]:
        """Return the counters of another node, or for whom an agent of it waits; see `Query`.

        Raises:
            MessageRoutingError: the node has gone.
            TimeoutError: it did not answer in time.
        """
        answer = await self._call(node, Query(next(self._numbers), agent), timeout)
        if isinstance(answer, Result):
            raise MessageRoutingError(f"{self._data.name(node)}: {answer.error}")
        return answer.counters

    def report_crash(
        self, agent: str, incarnation: int, error: Exception, *, redelivered: bool = False
    ) -> None:
        """Report to the primary that an agent of this node has crashed; see `Crashed`."""
        kind, text = describe(error)
        crash = Crashed(agent, incarnation, kind, printable(text, _TEXT), redelivered)
        self._control.post(lambda members, _now: members.report_crash(crash))

    def answer(self, node: str, result: Result) -> None:
        """Answer a command of the primary, a node, which first hears what else has changed."""
        self._announce_now()
        self._control.post(lambda members, _now: members.answer(node, result))

    def peers(self) -> tuple[PeerStats, ...]:
        """Return what is known of the other nodes; in any thread."""
        return self._data.stats()

    # --- events -------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        match event:
            case NodeSeen():
                self._seen(event.info)
            case NodeLost():
                self._data.node_lost(event)
            case Received(info=info, message=Pong() as pong):
                self._data.stall_heard(info, pong.stalled)
            case ClockSeen():
                self._bus.codec.clock_seen(event.node, event.offset)
            case Settled() | Evicted() | NotAnnounced():
                self._on_own_event(event)
            case Objected():
                self._log.refused(event)
            case Impersonated():
                self._log.impersonated()
            case Result() | Counters() if event.number in self._answers:
                answer = self._answers.pop(event.number)
                if not answer.done():
                    answer.set_result(event)
        if isinstance(event, NodeLost | Received | Finished):
            self._on_agents_event(event)

    def _on_own_event(self, event: Settled | Evicted | NotAnnounced) -> None:
        joined = self._settled.is_set()  # else the join under way fails
        match event:
            case Settled():
                self._bus.routes.discovered()
                self._log.settled(event, self._bus.dead_letters.counts)
            case Evicted():
                self._failure = IdentityError(event.reason)
                if joined:
                    self._on_agents_event(event)
            case NotAnnounced() if joined:
                logger.error("%s", event.reason)
            case NotAnnounced():
                self._failure = TransportError(f"this node can't be announced: {event.reason}")
        self._settled.set()

    def _seen(self, info: NodeInfo) -> None:
        if self._data.node_seen(info):
            self._states_heard(info)
        else:
            self._probe_soon()

    def _reached(self, info: NodeInfo) -> None:
        """Take note that the data route to a node is proved."""
        self._control.post(lambda members, now: members.admit(info.node, now))
        self._log.joined(info)
        self._states_heard(info)

    def _states_heard(self, info: NodeInfo) -> None:
        self._on_agents_event(Received(info.header, Pong(0, info.agents, 0.0)))

    # --- parts --------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Show that the event loop runs, and send again what may have been lost."""
        loop = asyncio.get_running_loop()
        self._loop_beat.beat()
        all_proved = self._data.probe()
        if loop.time() >= self._look_at:
            self._look_at = loop.time() + _LOOK_AGAIN
            self._data.ask_for_credit()
            self.standing.on_look()
        pause = _BEAT if all_proved else _PROBE_AGAIN
        self._beat_timer = loop.call_later(pause, self._beat_later)

    def _probe_soon(self) -> None:
        """Beat when the first probe of a new node is to be repeated, unless this node stops."""
        timer, loop = self._beat_timer, asyncio.get_running_loop()
        due = loop.time() + _PROBE_AGAIN
        if timer is not None and timer.when() > due:
            timer.cancel()
            self._beat_timer = loop.call_at(due, self._beat_later)

    def _announce_now(self) -> None:
        if self._announcing is None:
            return
        self._announcing.cancel()
        self._announcing = None
        agents, self._changed, leaving = self._changed, {}, self._leaving
        self._control.post(lambda members, _now: members.announce(agents, leaving=leaving))

    async def _call(
        self, node: str, message: Command | Query, timeout: float | None
    ) -> Result | Counters:
        answer: asyncio.Future[Result | Counters] = asyncio.get_running_loop().create_future()
        self._answers[message.number] = answer
        self._control.post(lambda members, now: members.call(node, message, now))
        try:
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            self._answers.pop(message.number, None)
            self._control.post(lambda members, _now: members.calls.withdraw(message.number))

    def _control_down(self, reason: str) -> None:
        self.standing.control_link.down(reason)
        self._control.link_down(reason)

    def _control_up(self) -> None:
        self.standing.control_link.up()
        self._control.link_up()

    def _control_dropped(self, reason: str, frame: bytes) -> None:
        self._control.drop(reason, frame)
        if reason == NOT_AUTHENTICATED:
            self._control.post(lambda members, now: members.unbelieved(now))
