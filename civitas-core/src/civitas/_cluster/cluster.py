"""Cluster: a node among others: what it knows of them, how it reaches them, how it is found."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final, Protocol

from civitas._bus.bus import MessageBus
from civitas._cluster.config import ClusterConfig
from civitas._cluster.control import ControlPlane
from civitas._cluster.events import (
    AgentCrashed,
    Answered,
    ClockSeen,
    Commanded,
    Event,
    Evicted,
    Heard,
    Lost,
    Met,
    Settled,
)
from civitas._cluster.membership import Membership
from civitas._cluster.peers import Peers, PeerStats
from civitas._cluster.protocol import Command, Crashed, NodeInfo, Query, Result
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas._supervision.remote import Outcome
from civitas.errors import CivitasError, IdentityError, MessageRoutingError

logger = logging.getLogger("civitas.node")

_TEXT: Final = 2_000
"""Characters of an error's text that are told: a message fits in every transport's messages."""

_BEAT: Final = 0.1
_LOOK_EVERY: Final = 5
"""Beats between two looks at windows that stand still."""

_SHOWN: Final = 8
"""Agents of a node that a line of the log names at most."""

_LATE_REPLY_GRACE: Final = 2.0
"""Seconds that a node which stops gives the others to take what it has sent."""

STALLED: Final = 1.0
"""Seconds without a turn of the event loop after which it counts as blocked."""


class Owner(Protocol):
    """What a cluster tells, and asks, the node that it is part of."""

    def agents(self) -> Mapping[str, tuple[str, int]]:
        """Return status and incarnation of each agent that can be reached; in any thread."""
        ...

    def counters(self) -> Mapping[str, Any]:
        """Return the node's counters, as JSON-like values; in any thread."""
        ...

    def heard(self, node: str, agents: Mapping[str, tuple[str, int]]) -> None:
        """Take note of the states of another node's agents."""
        ...

    def lost(self, node: str, reason: str, *, died: bool) -> None:
        """Take note that a node has gone; `died` tells that nobody heard it go."""
        ...

    def crashed(self, node: str, crash: Crashed) -> None:
        """Take note that an agent of another node has crashed."""
        ...

    def commanded(self, command: Commanded) -> None:
        """Do what the primary wants done to an agent here, and answer it."""
        ...

    def evicted(self, error: CivitasError) -> None:
        """End: this node can't stay in the system."""
        ...


class Cluster:
    """One node's place in the system.

    Args:
        bus: the node's bus, whose routes and accounting this keeps.
        config: what the node's transport is bound by.
        role: primary, worker or client.
        owner: the node itself.
        policies: how closely each supervised agent's node is watched, by agent.
    """

    def __init__(
        self,
        bus: MessageBus,
        config: ClusterConfig,
        role: str,
        owner: Owner,
        policies: Mapping[str, HeartbeatPolicy],
    ) -> None:
        self._bus = bus
        self._owner = owner
        windowed = not config.durable  # then the transport acknowledges instead
        self._peers = Peers(bus, windowed=windowed, on_reached=self._reached)
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Answered]] = {}
        self._settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._beaten_at = time.monotonic()
        self._beats = 0
        self._was_evicted = False
        self._beat_timer: asyncio.TimerHandle | None = None
        bus.routes.discovering = True
        config.link_state.on_up = self._peers.link_up
        info = NodeInfo(bus.origin.node.hex(), bus.origin.generation, config.process, role)
        make_control = config.make_control
        self._control = ControlPlane(
            bus.transport
            if make_control is None
            else make_control(self._control_down, self._control_up),
            bus.origin,
            lambda send, tell: Membership(info, self, send, tell, config.fenced, policies),
            self._on_event,
            partial(_in_loop, asyncio.get_running_loop(), bus.dead_letters.record),
            shared=make_control is None,
            guard=config.guard if make_control is None else config.guard_control,
        )

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Listen on the data transport; the node's agents are subscribed after it."""
        await self._peers.probes.start()
        self._beat()

    async def join(self) -> None:
        """Find the others, and return when each can reach the agents of this node.

        Raises:
            IdentityError: the node's name, or one of an agent, is taken.
            TransportError: the control plane could not start.
        """
        await self._control.start()
        agents = dict(self._owner.agents())
        self._control.post(lambda members, _now: members.announce(agents=agents))
        self._control.post(lambda members, now: members.join(now))
        await self._settled

    def announce(self, *, leaving: bool = False) -> None:
        """Tell the others which agents this node has now."""
        agents = dict(self._owner.agents())
        self._control.post(lambda m, _now: m.announce(agents=agents, leaving=leaving))

    async def close(self) -> None:
        """Say goodbye, and end. Idempotent, also half-started."""
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        if self._bus.accounting is not None:
            self._bus.accounting.settle()
        # The goodbye takes another way: it must not overtake the answers of this node's agents.
        if not self._was_evicted:  # else nobody hears it
            await self._peers.probes.confirm(self._peers.nodes, _LATE_REPLY_GRACE)
        await self._peers.probes.stop()
        self._control.post(lambda members, _now: members.leave("it stopped"))
        await self._control.stop()
        self._peers.close()
        if not self._settled.done():
            self._settled.cancel()

    # --- what the node wants ------------------------------------------------------------------

    async def command(self, node: str, verb: str, agent: str, timeout: float) -> Outcome:
        """Have a node do something to one of its agents; return what became of it."""
        number = next(self._numbers)
        try:
            answer = await self._ask(node, Command(number, verb, agent), timeout)
        except TimeoutError:
            where = self._peers.name(node)
            return Outcome(0, f"{where} did not {verb} agent {agent!r} within {timeout:g} s")
        if answer.error:
            where = self._peers.name(node)
            return Outcome(answer.incarnation, f"{verb} agent {agent!r} in {where}: {answer.error}")
        return Outcome(answer.incarnation, "")

    async def counters_of(self, node: str, timeout: float) -> Mapping[str, Any]:
        """Return the counters of another node.

        Raises:
            MessageRoutingError: the node has gone.
            TimeoutError: it did not answer in time.
        """
        answer = await self._ask(node, Query(next(self._numbers)), timeout)
        if answer.counters is None:
            raise MessageRoutingError(f"{self._peers.name(node)}: {answer.error}")
        return answer.counters

    def report(
        self, agent: str, incarnation: int, error: Exception, *, redelivered: bool = False
    ) -> None:
        """Tell the primary that an agent of this node has crashed.

        Args:
            agent: its name.
            incarnation: how often it had been started.
            error: what it raised.
            redelivered: whether the transport had given the message before on which it crashed.
        """
        kind, text = type(error).__name__, str(error)[:_TEXT]
        crash = Crashed(agent, incarnation, kind, text, redelivered)
        self._control.post(lambda members, _now: members.report(crash))

    def answer(self, command: Commanded, error: str, incarnation: int) -> None:
        """Tell the primary what became of its command."""
        result = Result(command.number, error, incarnation)
        self._control.post(lambda members, _now: members.answer(command.node, result))

    def peers(self) -> tuple[PeerStats, ...]:
        """Return what is known of the other nodes; in any thread."""
        return self._peers.stats()

    # --- what the membership asks, in its own thread ------------------------------------------

    def agents(self) -> Mapping[str, tuple[str, int]]:
        """Return status and incarnation of each agent of this node."""
        return self._owner.agents()

    def stalled(self) -> float:
        """Return for how many seconds the node's event loop has been blocked; 0 when it is not."""
        silent = time.monotonic() - self._beaten_at
        return silent if silent > STALLED else 0.0

    def counters(self) -> Mapping[str, Any]:
        """Return the node's counters."""
        peers = [asdict(peer) for peer in self.peers()]
        return {**self._owner.counters(), "stalled": self.stalled(), "peers": peers}

    # --- what happens -------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        match event:
            case Met():
                self._met(event.info)
            case Lost():
                self._lost(event)
            case Heard():
                self._heard(event)
            case ClockSeen():
                self._bus.codec.clock_seen(event.node, event.offset)
            case Settled():
                self._bus.routes.discovered()
                if event.alone:
                    logger.info("no primary was found yet: going on without one")
                if not self._settled.done():
                    self._settled.set_result(None)
            case Evicted():
                self._evicted(event)
            case AgentCrashed():
                self._owner.crashed(event.node, event.crash)
            case Commanded():
                self._owner.commanded(event)
            case Answered():
                waiting = self._answers.get(event.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(event)

    def _met(self, info: NodeInfo) -> None:
        if self._peers.met(info):
            self._owner.heard(info.node, info.agents)

    def _reached(self, info: NodeInfo) -> None:
        """The data route to a node is proved."""
        self._control.post(lambda members, now: members.admit(info.node, now))
        if info.role != "client":
            logger.info("%s joined: %s", info, _shown(list(info.agents)))
        self._owner.heard(info.node, info.agents)

    def _lost(self, event: Lost) -> None:
        info = self._peers.lost(event)
        self._owner.lost(info.node, f"{info} has gone: {event.reason}", died=event.died)

    def _heard(self, event: Heard) -> None:
        self._peers.heard(event)
        self._owner.heard(event.info.node, event.agents)

    def _evicted(self, event: Evicted) -> None:
        error = IdentityError(event.reason)
        self._was_evicted = True
        if not self._settled.done():
            self._settled.set_exception(error)
        else:
            self._owner.evicted(error)

    # --- at every beat ------------------------------------------------------------------------

    def _beat(self) -> None:
        """Show that the event loop runs, and say again what may have been lost."""
        self._beaten_at = time.monotonic()
        self._beats += 1
        self._peers.probe()
        if self._beats % _LOOK_EVERY == 0:
            self._peers.tell_of_standing_windows()
        self._beat_timer = asyncio.get_running_loop().call_later(_BEAT, self._beat)

    # --- parts --------------------------------------------------------------------------------

    async def _ask(self, node: str, message: Command | Query, timeout: float) -> Answered:
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._answers[message.number] = answer
        self._control.post(lambda members, now: members.ask(node, message, now))
        try:
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            del self._answers[message.number]
            self._control.post(lambda members, _now: members.withdraw(message.number))

    def _control_down(self, reason: str) -> None:
        self._control.link_down(reason)

    def _control_up(self) -> None:
        self._control.link_up()


def _shown(agents: Sequence[str]) -> str:
    more = f" and {len(agents) - _SHOWN:,} more" if len(agents) > _SHOWN else ""
    return ", ".join(agents[:_SHOWN]) + more or "no agents"


def _in_loop(
    loop: asyncio.AbstractEventLoop, call: Callable[[str, bytes], None], reason: str, frame: bytes
) -> None:
    """Call in the node's own event loop, from the control plane's thread."""
    try:
        loop.call_soon_threadsafe(call, reason, frame)
    except RuntimeError:
        logger.debug("dropped after the end: %s", reason)
