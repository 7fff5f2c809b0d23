"""DataPlane: which other nodes the agents' messages reach, and the routes to their agents.

Theory and table of states of a node here: `civitas._cluster`. A node's agents can be sent to when
this node's own probe by the data transport was answered; after a lost connection, when it was
answered again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Final

from civitas._bus.accounting import ReceiveAccounting
from civitas._bus.bus import MessageBus
from civitas._bus.routes import LocalRoute, RemoteRoute
from civitas._cluster.agent_routes import AgentRoutes
from civitas._cluster.events import NodeLost
from civitas._cluster.leaving import ALL, LeaveHandshake
from civitas._cluster.probes import Probes
from civitas._cluster.protocol import (
    Credit,
    DataMessage,
    Ended,
    LastNumber,
    Leaving,
    NodeInfo,
    Probe,
    ProbeAnswer,
    Staying,
    Unused,
)
from civitas.errors import logger_of
from civitas.transport.tasks import Failed

logger = logger_of("civitas.node")

_MISSING: Final = 16
"""Nodes that are silent, and whose numbers are remembered lest they come back, at most."""


@dataclass(frozen=True, slots=True)
class PeerStats:
    """What a node knows of another one. `stalled` is in seconds; 0 while its event loop runs."""

    process: str
    node: str
    role: str
    agents: tuple[str, ...]
    reachable: bool
    stalled: float


class DataPlane:
    """Keeps the routing table of `bus` in step with the nodes that are there.

    `windowed` frames are numbered and wait for credit; `on_reached` is called with the info of a
    node whose data route is proved, `failed` when something of this has ended unexpectedly.
    """

    def __init__(
        self,
        bus: MessageBus,
        *,
        windowed: bool,
        on_reached: Callable[[NodeInfo], None],
        failed: Failed,
    ) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        """What is known of the other nodes, but for their agents."""
        self._agents: dict[str, dict[str, tuple[str, int]]] = {}
        """The states of the agents of each, as announced."""
        self.probes = Probes(
            bus.transport,
            bus.outgoing,
            bus.origin,
            self._on_message,
            self._knows,
            bus.dead_letters.record,
            failed,
        )
        self._bus = bus
        self._routes = bus.routes
        self._accounting = bus.accounting = ReceiveAccounting(self._grant, self._log_loss)
        self._routes.on_lost = self._write_off
        self._windowed = windowed
        self._on_reached = on_reached
        self._proved: set[str] = set()
        self._probed_back: set[str] = set()
        """Nodes that were probed since the last beat because their own probe had come."""
        self._stalled: dict[str, float] = {}
        self._missing: list[str] = []
        self._handshake = LeaveHandshake(
            self.probes.send, lambda node, agent: self._accounting.seen(bytes.fromhex(node), agent)
        )
        self._silent: set[str] = set()
        """Nodes that did not answer when this one, or an agent, left: not waited for again."""
        self._left: set[str] = set()
        """Agents of this node that take no more; also `ALL`."""
        self._agent_routes = AgentRoutes(bus.routes, windowed=windowed)

    # --- coming and going -----------------------------------------------------------------------

    def node_seen(self, info: NodeInfo) -> bool:
        """Take note of a node, or of what is new of it; return whether it can be reached.

        The work is that of the agents in `info`: all of a new node, else those that have changed.
        """
        before = self.nodes.get(info.node)
        self.nodes[info.node] = info.header
        self._agents.setdefault(info.node, {}).update(info.agents)
        if before is None:
            logger.debug("met %s", info)
            if info.node in self._missing:
                self._missing.remove(info.node)
            self._probe(info.node)
        elif info.node in self._proved:
            self._agent_routes.update(info)
            if info.leaving and not before.leaving:
                self._agent_routes.retire_all(info)
            return True
        return False

    def node_lost(self, event: NodeLost) -> None:
        """Take note that a node has gone: fail what was asked there, refuse what would be sent."""
        info = self.nodes.pop(event.info.node, event.info)
        self._agents.pop(info.node, None)
        self._proved.discard(info.node)
        self.probes.confirmed(info.node)
        self._stalled.pop(info.node, None)
        if info.role != "client":
            level = logging.ERROR if event.died else logging.INFO
            logger.log(level, "%s has gone: %s", info, event.reason)
        self._handshake.node_lost(info.node)
        why = f"{info}, which has gone: {event.reason}"
        if event.final:
            self._forget(info.node, why)
        else:  # should it come back, all numbers go on where they were
            for route in self._routes.of(info.node):
                self._routes.suspend(route, f"agent {route.name!r} was in {why}")
            self._missing.append(info.node)
            if len(self._missing) > _MISSING:
                self._forget(self._missing[0], "a node that has gone")
        self._bus.codec.clock_seen(info.node, 0.0)

    def _forget(self, node: str, why: str) -> None:
        """Close the routes to a node that will not come back, and forget its numbers."""
        for route in self._routes.of(node):
            self._routes.remove(route, f"agent {route.name!r} was in {why}")
        self._silent.discard(node)
        self._accounting.forget(bytes.fromhex(node))
        self._agent_routes.forget(node)
        if node in self._missing:
            self._missing.remove(node)

    def stall_heard(self, info: NodeInfo, seconds: float) -> None:
        """Take note of for how long a node is stalled; 0 when it is not."""
        before = self._stalled.pop(info.node, 0.0)
        if seconds:
            self._stalled[info.node] = seconds
            if not before:
                text = "%s is stalled since %.1f s: a handler blocks its event loop; it is alive"
                logger.warning(text, info, seconds)
        elif before:
            logger.info("%s is not stalled any more", info)

    def link_up(self) -> None:
        """Prove all routes again, and send nothing on them before: the connection was lost."""
        self._proved.clear()
        for route in self._routes.remote():
            route.pause()
        self.probe()

    async def say_last_numbers(self, timeout: float) -> list[str]:
        """Tell the others what this node has sent; return who has it within so many seconds."""
        for route in (*self._routes.remote(), *self._routes.retired()):
            self._tell_last_number(route)
        asked = [node for node in self.nodes if node not in self._silent]
        return await self.probes.confirm(asked, timeout)

    def close(self, accountable: Container[str]) -> None:
        """Close all routes: this node stops. The `accountable` nodes have its last numbers."""
        self._routes.end("this node has stopped", accountable)

    # --- leaving: theory and tables in `leaving` --------------------------------------------------

    async def leave(self, agent: str) -> None:
        """Have the others send no more to an agent of this node, or to `ALL`.

        Returns when all that they have sent is accounted for, or waits for room in a mailbox; what
        a node has sent that does not answer counts as lost there.
        """
        if not self._windowed or self._left & {agent, ALL}:
            return
        silent, late = await self._handshake.leave(agent, self._senders)
        self._left.add(agent)
        self._silent.update(silent)
        what = "this process" if agent == ALL else f"agent {agent!r}"
        if silent:
            names = ", ".join(map(self.name, silent))
            logger.warning("%s leaves, and %s did not answer to that", what, names)
        if late:
            names = ", ".join(map(self.name, late))
            logger.info("%s leaves, and not all is handled that was sent from %s", what, names)

    def _senders(self) -> list[str]:
        counts = self._accounting.counts
        return [n for n in self.nodes if counts(bytes.fromhex(n)) and n not in self._silent]

    def _let_leave(self, node: str, agent: str) -> None:
        """Send no more to an agent of a node, or to `ALL`, and tell the last numbers."""
        known = self._agents.get(node)
        for route in self._agent_routes.doubt(node, agent, self.name(node), known):
            self._tell_last_number(route)
        self.probes.send(node, Ended(agent))

    def _stays(self, node: str, agent: str) -> None:
        """Open again what was closed since somebody else has said that a node, or agent, leaves."""
        if node not in self.nodes or not self._agent_routes.stays(node, agent):
            return
        logger.info("it was not %s that said that it leaves, or an agent of it", self.name(node))
        if node in self._proved:
            self._agent_routes.reopen(self._whole(node))

    def _object(self, node: str, agent: str) -> None:
        """Tell a node that sends no more that nobody has asked for that, if it is so."""
        leaving = self._handshake.is_leaving
        if node not in self.nodes or self._left & {agent, ALL} or leaving(agent) or leaving(ALL):
            return
        if agent == ALL or isinstance(self._bus.registry.lookup(agent), LocalRoute):
            self.probes.send(node, Staying(agent))

    def _tell_last_number(self, route: RemoteRoute) -> None:
        """Tell it behind the frames, where they are accounted for, and to the node, which waits."""
        window = route.window
        if window is not None and window.outstanding:
            self._tell_unused(route)
            self.probes.send_last_number(route.name, window.sent)
            self.probes.send(route.node, LastNumber(route.name, window.sent))

    def _tell_unused(self, route: RemoteRoute) -> None:
        if route.window is not None:
            for number in route.window.take_unused():
                self.probes.send(route.node, Unused(route.name, number))

    def _last_number_heard(self, node: str, agent: str, number: int) -> bool:
        key = bytes.fromhex(node)
        if agent in self._left:  # what has not come by now never will
            return self._accounting.ended(key, agent, number)
        is_here = isinstance(self._bus.registry.lookup(agent), LocalRoute)
        if node not in self.nodes or not (is_here or self._handshake.is_leaving(agent)):
            return True
        if not self._accounting.said(key, agent, number):
            return False
        self._handshake.last_number(node, agent, number)
        return True

    # --- looking ----------------------------------------------------------------------------------

    def stats(self) -> tuple[PeerStats, ...]:
        """Return what is known of the other nodes; in any thread."""
        return tuple(self._stats_of(info) for info in list(self.nodes.values()))

    def _stats_of(self, info: NodeInfo) -> PeerStats:
        reachable, stalled = info.node in self._proved, self._stalled.get(info.node, 0.0)
        # A copy, which is made at once: a collection of garbage may let another thread go on.
        agents = tuple(self._agents.get(info.node, {}).copy())
        return PeerStats(info.process, info.node, info.role, agents, reachable, stalled)

    def name(self, node: str) -> str:
        """Return how logs and errors name a node."""
        info = self.nodes.get(node)
        return f"node {node[:8]}" if info is None else str(info)

    # --- from time to time ------------------------------------------------------------------------

    def probe(self) -> bool:
        """Probe the routes that are not proved; return whether all are."""
        self._probed_back.clear()
        unproved = [node for node in self.nodes if node not in self._proved]
        for node in unproved:
            self._probe(node)
        return not unproved

    def _probe(self, node: str) -> None:
        self.probes.send(node, Probe(fresh=not self._routes.of(node)))

    def _probe_back(self, node: str) -> None:
        """Probe a node that has just probed this one, unless its route is proved.

        It may not have known this one when the last probe came, and not have answered that. Once is
        enough until the next beat: the probes of two nodes must not keep calling for each other.
        """
        if node in self._proved or node in self._probed_back or node not in self.nodes:
            return
        self._probed_back.add(node)
        self._probe(node)

    def ask_for_credit(self) -> None:
        """Report the last number where credit is owed and has not moved since the last look.

        So it is where half of the window is open: frames may be missing, for which nobody returns
        credit. Before it come the numbers that no frame has, since they were given back too late.
        """
        for route in self._routes.remote():
            window = route.window
            if window is None:
                continue
            if route.credit_seen == window.credited or window.outstanding > window.size // 2:
                self._tell_last_number(route)
            self._tell_unused(route)
            route.credit_seen = window.credited
        for route in self._routes.retired():
            if route.window is not None and route.credit_seen == route.window.credited:
                self._tell_last_number(route)
            route.credit_seen = 0 if route.window is None else route.window.credited
        for node, agent in self._agent_routes.doubted():
            if node in self.nodes and not self.nodes[node].leaving:
                self.probes.send(node, Ended(agent))

    # --- what other nodes say by the data transport -----------------------------------------------

    def _on_message(self, node: str, message: DataMessage) -> bool:
        """Take what a node says; return False for a number that it can't have sent, or received.

        All of these bear repetition: each sets what it is about to what it says, or is old. Of a
        node that is not known nothing is kept.
        """
        self._silent.discard(node)
        match message:
            case Probe() if self._knows(node):
                self._accounting.begin(bytes.fromhex(node), fresh=message.fresh)
                self._probe_back(node)
            case ProbeAnswer():
                self._prove(node)
            case Credit():
                route = self._routes.to(node, message.agent)
                return route is None or route.credit(message.number)  # None: it has moved
            case Unused(agent=agent) if isinstance(self._bus.registry.lookup(agent), LocalRoute):
                if self._accounting.unused(bytes.fromhex(node), agent, message.number):
                    text = "1 message from %s to agent %r was not lost: its sender had given up"
                    logger.info(text, self.name(node), agent)
            case Leaving() if self._windowed:
                self._let_leave(node, message.agent)
            case LastNumber():
                return self._last_number_heard(node, message.agent, message.number)
            case Ended():
                self._handshake.ended(node, message.agent)
                self._object(node, message.agent)
            case Staying():
                self._stays(node, message.agent)
        return True

    def _knows(self, node: str) -> bool:
        return node in self.nodes or node in self._missing

    def _prove(self, node: str) -> None:
        if node not in self.nodes or node in self._proved:
            return
        info = self._whole(node)
        self._proved.add(node)
        for route in self._routes.of(node):
            route.resume()
        self._agent_routes.update(info)
        if info.leaving:
            self._agent_routes.retire_all(info)
        self._on_reached(info)

    def _whole(self, node: str) -> NodeInfo:
        return replace(self.nodes[node], agents=dict(self._agents[node]))

    def _grant(self, node: bytes, agent: str, number: int) -> None:
        self.probes.send(node.hex(), Credit(agent, number))
        self._handshake.accounted(node.hex(), agent, number)

    def _log_loss(self, node: bytes, agent: str, frames: int) -> None:
        text = "lost %d message%s from %s to agent %r on the way"
        logger.warning(text, frames, "s"[: frames != 1], self.name(node.hex()), agent)

    def _write_off(self, route: RemoteRoute, reason: str) -> None:
        """Count as lost what nobody will account for."""
        self._accounting.write_off(route.name, route.outstanding)
        messages = f"{route.outstanding} message{'s'[: route.outstanding != 1]}"
        logger.warning("%s; what became of %s is not known: lost", reason, messages)
