"""Presence: a node among others: what it knows of them, how it reaches them, how it is found."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from civitas.bus import MessageBus
from civitas.control.events import (
    AgentCrashed,
    Answered,
    ClockSeen,
    Commanded,
    Condemned,
    Event,
    Heard,
    Lost,
    Met,
    Settled,
)
from civitas.control.membership import Membership
from civitas.control.plane import ControlPlane
from civitas.control.signals import Card, Command, Crashed, Query, Result
from civitas.courier import Courier
from civitas.errors import CivitasError, IdentityError, MessageRoutingError, SpawnError
from civitas.heartbeat import HeartbeatPolicy
from civitas.inflow import Inflow
from civitas.links import Link
from civitas.plugins import Capabilities
from civitas.process import ProcessStatus
from civitas.transport import Transport

logger = logging.getLogger("civitas.node")

PRIMARY: Final = "supervisor"
"""Process name of the node that has the supervision tree."""

MakeControl: TypeAlias = Callable[[Callable[[str], None], Callable[[], None]], Transport]
"""Makes the control plane's own transport, given its `link_down` and `link_up`."""

_BEAT: Final = 0.1
_LOOK_EVERY: Final = 5
"""Beats between two looks at windows that stand still."""

_DONE: Final = ProcessStatus.STOPPED.value

STALLED: Final = 1.0
"""Seconds without a turn of the event loop after which it counts as blocked."""


@dataclass(frozen=True, slots=True)
class PeerStats:
    """What a node knows of another one. `stalled` is in seconds; 0 while its event loop runs."""

    process: str
    node: str
    role: str
    agents: tuple[str, ...]
    reachable: bool
    stalled: float


class DataLink:
    """Where a node's data transport tells of its connection, before and after it is known whom."""

    def __init__(self) -> None:
        self.presence: Presence | None = None

    def down(self, reason: str) -> None:
        """Take note that the connection is lost."""
        logger.debug("the data link is down: %s", reason)  # the transport has said it

    def up(self) -> None:
        """Take note that the connection is back."""
        logger.debug("the data link is up")
        if self.presence is not None:
            self.presence.link_up()


@dataclass
class NodeWiring:
    """What binds a node's transport to its place among other nodes.

    Attributes:
        process: the node's process name.
        capabilities: what the transport claims; None for one made by hand that claims nothing.
        make_control: makes a second transport for the control plane; None where there is no
            plugin to make it, or no use for it.
        fenced: nodes whose frames the transport refuses.
        data_link: where the transport tells of its connection.
    """

    process: str = PRIMARY
    capabilities: Capabilities | None = None
    make_control: MakeControl | None = None
    fenced: set[bytes] = field(default_factory=set)
    data_link: DataLink = field(default_factory=DataLink)


class Owner(Protocol):
    """What a presence tells, and asks, the node that it is part of."""

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

    def crashed(self, crash: AgentCrashed) -> None:
        """Take note that an agent of another node has crashed."""
        ...

    def commanded(self, command: Commanded) -> None:
        """Do what the primary wants done to an agent here, and answer it."""
        ...

    def condemned(self, error: CivitasError) -> None:
        """End: this node can't stay in the system."""
        ...


class Presence:
    """One node's place in the system.

    Args:
        bus: the node's bus, whose links and inflow this keeps.
        wiring: what the node's transport is bound by.
        role: primary, worker or client.
        owner: the node itself.
        policies: how closely each supervised agent's node is watched, by agent.
    """

    def __init__(
        self,
        bus: MessageBus,
        wiring: NodeWiring,
        role: str,
        owner: Owner,
        policies: Mapping[str, HeartbeatPolicy],
    ) -> None:
        self.cards: dict[str, Card] = {}
        self._bus = bus
        self._role = role
        self._owner = owner
        claims = wiring.capabilities
        self._windowed = claims is None or not claims.at_least_once  # which acknowledges instead
        self._proved: set[str] = set()
        self._stalled: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Answered]] = {}
        self._settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._beaten_at = time.monotonic()
        self._beats = 0
        self._beat_timer: asyncio.TimerHandle | None = None
        dropped = bus.dead_letters.record
        self._courier = Courier(
            bus.transport, bus.origin, self._probed, self._reached, self._credited, dropped
        )
        bus.inflow = Inflow(self._courier.grant, self._tell_of_loss)
        bus.links.discovering = True
        wiring.data_link.presence = self
        card = Card(bus.origin.node.hex(), bus.origin.generation, wiring.process, role)
        make_control = wiring.make_control
        self._control = ControlPlane(
            bus.transport
            if make_control is None
            else make_control(self._control_down, self._control_up),
            bus.origin,
            lambda send, tell: Membership(card, self, send, tell, wiring.fenced, policies),
            self._on_event,
            partial(_in_loop, asyncio.get_running_loop(), dropped),
            shared=make_control is None,
        )

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Listen on the data transport; the node's agents are subscribed after it."""
        await self._courier.start()
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
        if self._bus.inflow is not None:
            self._bus.inflow.settle()
        await self._courier.stop()
        self._control.post(lambda members, _now: members.leave("it stopped"))
        await self._control.stop()
        for card in list(self.cards.values()):
            for link in self._bus.links.of(card.node):
                self._bus.registry.deregister(link.name)
                self._bus.links.remove(link, "this node has stopped")
        if not self._settled.done():
            self._settled.cancel()

    # --- what the node wants ------------------------------------------------------------------

    def node_of(self, agent: str) -> str | None:
        """Return the id of the node that hosts an agent of another process; None if none does."""
        link = self._bus.links.get(agent)
        return None if link is None else link.node

    async def command(self, node: str, verb: str, agent: str, timeout: float) -> int:
        """Have a node do something to one of its agents; return the agent's incarnation.

        Raises:
            SpawnError: it could not, or did not answer in time.
        """
        number = next(self._numbers)
        try:
            answer = await self._ask(node, Command(number, verb, agent), timeout)
        except TimeoutError:
            raise SpawnError(
                f"{self._name(node)} did not {verb} agent {agent!r} within {timeout:g} s"
            ) from None
        if answer.error:
            raise SpawnError(f"{verb} agent {agent!r} in {self._name(node)}: {answer.error}")
        return answer.incarnation

    async def counters_of(self, node: str, timeout: float) -> Mapping[str, Any]:
        """Return the counters of another node.

        Raises:
            MessageRoutingError: the node has gone.
            TimeoutError: it did not answer in time.
        """
        answer = await self._ask(node, Query(next(self._numbers)), timeout)
        if answer.counters is None:
            raise MessageRoutingError(f"{self._name(node)}: {answer.error}")
        return answer.counters

    def report(self, agent: str, incarnation: int, error: Exception) -> None:
        """Tell the primary that an agent of this node has crashed."""
        crash = Crashed(agent, incarnation, type(error).__name__, str(error))
        self._control.post(lambda members, _now: members.report(crash))

    def answer(self, command: Commanded, error: str, incarnation: int) -> None:
        """Tell the primary what became of its command."""
        result = Result(command.number, error, incarnation)
        self._control.post(lambda members, _now: members.answer(command.node, result))

    def link_up(self) -> None:
        """Prove all routes again: the data transport had lost its link."""
        self._proved.clear()

    def peers(self) -> tuple[PeerStats, ...]:
        """Return what is known of the other nodes."""
        return tuple(
            PeerStats(
                card.process,
                node,
                card.role,
                tuple(card.agents),
                node in self._proved,
                self._stalled.get(node, 0.0),
            )
            for node, card in list(self.cards.items())
        )

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
                self._met(event.card)
            case Lost():
                self._lost(event)
            case Heard():
                self._heard(event)
            case ClockSeen():
                self._bus.clock_seen(event.node, event.offset)
            case Settled():
                self._bus.links.discovered()
                if event.alone:
                    logger.info("no primary was found yet: going on without one")
                if not self._settled.done():
                    self._settled.set_result(None)
            case Condemned():
                self._condemned(event)
            case AgentCrashed():
                self._owner.crashed(event)
            case Commanded():
                self._owner.commanded(event)
            case Answered():
                waiting = self._answers.get(event.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(event)

    def _met(self, card: Card) -> None:
        before = self.cards.get(card.node)
        self.cards[card.node] = card
        if before is None:
            logger.debug("met %s", card)
            self._courier.probe(card.node, fresh=True)
        elif card.node in self._proved:
            self._open_links(card)
            self._owner.heard(card.node, card.agents)

    def _probed(self, node: bytes, fresh: bool) -> None:
        assert self._bus.inflow is not None
        self._bus.inflow.begin(node, fresh=fresh)

    def _reached(self, node: str) -> None:
        """The data route to a node is proved."""
        card = self.cards.get(node)
        if card is None or node in self._proved:
            return
        self._proved.add(node)
        self._open_links(card)
        self._control.post(lambda members, now: members.admit(node, now))
        if card.role != "client":
            logger.info("%s joined: %s", card, ", ".join(card.agents) or "no agents")
        self._owner.heard(node, card.agents)

    def _open_links(self, card: Card) -> None:
        """Open ways to the agents that a node tells of, and close those it tells of no more."""
        links, registry = self._bus.links, self._bus.registry
        told = [n for n, (state, _) in card.agents.items() if state != _DONE and not card.leaving]
        for link in links:
            if link.node == card.node and link.name not in told:
                registry.deregister(link.name)
                links.retire(link.name, f"agent {link.name!r} of {card} takes no more messages")
        for name in told:
            present = links.get(name)
            if present is not None and present.node == card.node:
                continue
            if registry.has(name) and present is None:
                continue  # this node has one of that name: the membership settles who keeps it
            if present is not None:
                self._close_link(present, f"agent {name!r} has moved to {card}")
            registry.register(name, is_local=False)
            links.add(Link(name, card.node, card.process, windowed=self._windowed))

    def _close_link(self, link: Link, reason: str, *, expected: bool = False) -> None:
        self._bus.registry.deregister(link.name)
        open_frames = self._bus.links.remove(link, reason)
        if open_frames and not expected:
            logger.warning("%s; what became of %d messages is not known", reason, open_frames)

    def _lost(self, event: Lost) -> None:
        card = self.cards.pop(event.card.node, event.card)
        self._proved.discard(card.node)
        self._stalled.pop(card.node, None)
        if card.role != "client":
            level = logging.ERROR if event.died else logging.INFO
            logger.log(level, "%s has gone: %s", card, event.reason)
        for link in self._bus.links.of(card.node):
            why = f"agent {link.name!r} was in {card}, which has gone: {event.reason}"
            self._close_link(link, why, expected=not event.died)
        assert self._bus.inflow is not None
        self._bus.inflow.forget(bytes.fromhex(card.node))
        self._bus.clock_offsets.pop(bytes.fromhex(card.node), None)
        self._owner.lost(card.node, f"{card} has gone: {event.reason}", died=event.died)

    def _heard(self, event: Heard) -> None:
        node = event.card.node
        before = self._stalled.pop(node, 0.0)
        if event.stalled:
            self._stalled[node] = event.stalled
            if not before:
                logger.warning(
                    "%s is stalled since %.1f s: a handler blocks its event loop; it is alive",
                    event.card,
                    event.stalled,
                )
        elif before:
            logger.info("%s is not stalled any more", event.card)
        self._owner.heard(node, event.agents)

    def _condemned(self, event: Condemned) -> None:
        error = IdentityError(event.reason)
        if not self._settled.done():
            self._settled.set_exception(error)
        else:
            self._owner.condemned(error)

    def _credited(self, agent: str, number: int) -> None:
        link = self._bus.links.get(agent)
        if link is not None:
            link.credit(number)

    def _tell_of_loss(self, node: bytes, agent: str, frames: int) -> None:
        logger.warning(
            "lost %d message%s from %s to agent %r on the way",
            frames,
            "s"[: frames != 1],
            self._name(node.hex()),
            agent,
        )

    # --- at every beat ------------------------------------------------------------------------

    def _beat(self) -> None:
        """Show that the event loop runs, and say again what may have been lost."""
        self._beaten_at = time.monotonic()
        self._beats += 1
        for node in self.cards:
            if node not in self._proved:
                self._courier.probe(node, fresh=not self._bus.links.of(node))
        if self._beats % _LOOK_EVERY == 0:
            for link in self._bus.links:
                window = link.window
                if window is not None and window.outstanding and link.told_at == window.credited:
                    self._courier.tell_last(link.name, window.sent)
                if window is not None:
                    link.told_at = window.credited
        self._beat_timer = asyncio.get_running_loop().call_later(_BEAT, self._beat)

    # --- parts --------------------------------------------------------------------------------

    async def _ask(self, node: str, signal: Command | Query, timeout: float) -> Answered:
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._answers[signal.number] = answer
        self._control.post(lambda members, now: members.ask(node, signal, now))
        try:
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            del self._answers[signal.number]
            self._control.post(lambda members, _now: members.withdraw(signal.number))

    def _name(self, node: str) -> str:
        card = self.cards.get(node)
        return f"node {node[:8]}" if card is None else str(card)

    def _control_down(self, reason: str) -> None:
        self._control.link_down(reason)

    def _control_up(self) -> None:
        self._control.link_up()


def _in_loop(
    loop: asyncio.AbstractEventLoop, call: Callable[[str, bytes], None], reason: str, frame: bytes
) -> None:
    """Call in the node's own event loop, from the control plane's thread."""
    try:
        loop.call_soon_threadsafe(call, reason, frame)
    except RuntimeError:
        logger.debug("dropped after the end: %s", reason)
