"""DataPlane: which other nodes the agents' messages reach, and the routes to their agents.

Theory and table of states of a node here: `civitas._cluster`. A node's agents can be sent to when
this node's own probe by the data transport was answered; after a lost connection, when it was
answered again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from civitas._bus.accounting import ReceiveAccounting
from civitas._bus.bus import MessageBus
from civitas._bus.routes import LATE_REPLY_GRACE, LocalRoute, RemoteRoute
from civitas._cluster.events import NodeLost
from civitas._cluster.probes import Probes
from civitas._cluster.protocol import (
    Credit,
    DataMessage,
    NodeInfo,
    Probe,
    ProbeAnswer,
    Unused,
)
from civitas.errors import logger_of
from civitas.process import ProcessStatus
from civitas.transport.tasks import Failed, guard_callback

logger = logger_of("civitas.node")

_DONE: Final = ProcessStatus.STOPPED.value

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
        self.probes = Probes(
            bus.transport, bus.origin, self._on_message, bus.dead_letters.record, failed
        )
        self._close_later = guard_callback(self._close, name="civitas late replies", failed=failed)
        self._bus = bus
        self._routes = bus.routes
        self._accounting = bus.accounting = ReceiveAccounting(self._grant, self._log_loss)
        self._windowed = windowed
        self._on_reached = on_reached
        self._proved: set[str] = set()
        self._stalled: dict[str, float] = {}
        self._missing: list[str] = []

    # --- coming and going -----------------------------------------------------------------------

    def node_seen(self, info: NodeInfo) -> bool:
        """Take note of a node, or of what is new of it; return whether it can be reached."""
        before = self.nodes.get(info.node)
        self.nodes[info.node] = info
        if before is None:
            logger.debug("met %s", info)
            if info.node in self._missing:
                self._missing.remove(info.node)
            self.probes.send(info.node, Probe(fresh=True))
        elif info.node in self._proved:
            self._update_routes(info)
            return True
        return False

    def node_lost(self, event: NodeLost) -> None:
        """Take note that a node has gone: fail what was asked there, refuse what would be sent."""
        info = self.nodes.pop(event.info.node, event.info)
        self._proved.discard(info.node)
        self.probes.confirmed(info.node)
        self._stalled.pop(info.node, None)
        if info.role != "client":
            level = logging.ERROR if event.died else logging.INFO
            logger.log(level, "%s has gone: %s", info, event.reason)
        for route in self._routes.of(info.node):
            why = f"agent {route.name!r} was in {info}, which has gone: {event.reason}"
            self._close(route, why, expected=not event.died)
        if event.final:
            self._accounting.forget(bytes.fromhex(info.node))
        else:  # should it come back, its numbers go on where they were
            self._missing.append(info.node)
            if len(self._missing) > _MISSING:
                self._accounting.forget(bytes.fromhex(self._missing.pop(0)))
        self._bus.codec.clock_seen(info.node, 0.0)

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

    def close(self) -> None:
        """Close all routes: this node stops."""
        self._routes.end("this node has stopped")

    # --- looking ----------------------------------------------------------------------------------

    def stats(self) -> tuple[PeerStats, ...]:
        """Return what is known of the other nodes; in any thread."""
        return tuple(self._stats_of(info) for info in list(self.nodes.values()))

    def _stats_of(self, info: NodeInfo) -> PeerStats:
        reachable, stalled = info.node in self._proved, self._stalled.get(info.node, 0.0)
        agents = tuple(info.agents)
        return PeerStats(info.process, info.node, info.role, agents, reachable, stalled)

    def name(self, node: str) -> str:
        """Return how logs and errors name a node."""
        info = self.nodes.get(node)
        return f"node {node[:8]}" if info is None else str(info)

    # --- from time to time ------------------------------------------------------------------------

    def probe(self) -> None:
        """Probe the routes that are not proved."""
        for node in self.nodes:
            if node not in self._proved:
                self.probes.send(node, Probe(fresh=not self._routes.of(node)))

    def ask_for_credit(self) -> None:
        """Report the last number where credit is owed and has not moved since the last look.

        Before it the numbers that no frame has, since they were given back too late.
        """
        for route in self._routes.remote():
            window = route.window
            if window is None:
                continue
            for number in window.take_unused():
                self.probes.send(route.node, Unused(route.name, number))
            if window.outstanding and route.credit_seen == window.credited:
                self.probes.send_last_number(route.name, window.sent)
            route.credit_seen = window.credited

    # --- what other nodes say by the data transport -----------------------------------------------

    def _on_message(self, node: str, message: DataMessage) -> None:
        match message:
            case Probe():
                self._accounting.begin(bytes.fromhex(node), fresh=message.fresh)
            case ProbeAnswer():
                self._prove(node)
            case Credit():
                route = self._routes.get(message.agent)
                if route is not None and route.node == node:  # else the agent has moved meanwhile
                    route.credit(message.number)
            case Unused(agent=agent) if isinstance(self._bus.registry.lookup(agent), LocalRoute):
                if self._accounting.unused(bytes.fromhex(node), agent, message.number):
                    text = "1 message from %s to agent %r was not lost: its sender had given up"
                    logger.info(text, self.name(node), agent)

    def _prove(self, node: str) -> None:
        info = self.nodes.get(node)
        if info is None or node in self._proved:
            return
        self._proved.add(node)
        for route in self._routes.of(node):
            route.resume()
        self._update_routes(info)
        self._on_reached(info)

    def _grant(self, node: bytes, agent: str, number: int) -> None:
        self.probes.send(node.hex(), Credit(agent, number))

    def _log_loss(self, node: bytes, agent: str, frames: int) -> None:
        text = "lost %d message%s from %s to agent %r on the way"
        logger.warning(text, frames, "s"[: frames != 1], self.name(node.hex()), agent)

    # --- routes to agents -------------------------------------------------------------------------

    def _update_routes(self, info: NodeInfo) -> None:
        """Open routes to the agents that a node announces, and retire those to all others of it."""
        routes = self._routes
        done = dict.fromkeys(  # in order, unlike a set
            name for name, (state, _) in info.agents.items() if state == _DONE
        )
        here = [] if info.leaving else [name for name in info.agents if name not in done]
        for route in routes.remote():
            if route.node == info.node and route.name not in here:
                reason = _takes_no_more(route.name, info)
                routes.retire(route, reason, done=route.name in done or not info.leaving)
                if route.has_requests and not info.leaving:  # else its goodbye closes it
                    # What was asked of it fails once its last answers must have come.
                    loop = asyncio.get_running_loop()
                    loop.call_later(LATE_REPLY_GRACE, self._close_later, route, reason, True)
        for name in done:
            routes.done(name, _takes_no_more(name, info))
        for name in here:
            present = routes.get(name)
            if present is None:
                if routes.registry.has(name):
                    continue  # this node has one of that name: the membership settles who keeps it
            elif present.node == info.node:
                continue
            else:
                self._close(present, f"agent {name!r} has moved to {info}")
            routes.add(RemoteRoute(name, info.node, info.process, windowed=self._windowed))

    def _close(self, route: RemoteRoute, reason: str, expected: bool = False) -> None:
        self._routes.remove(route, reason)
        if route.outstanding and not expected:
            messages = f"{route.outstanding} message{'s'[: route.outstanding != 1]}"
            logger.warning("%s; what became of %s is not known", reason, messages)


def _takes_no_more(agent: str, info: NodeInfo) -> str:
    return f"agent {agent!r} of {info} takes no more messages"
