"""Peers: the other nodes as this one's event loop knows them, and the ways to their agents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from civitas._bus.accounting import Inflow
from civitas._bus.bus import MessageBus
from civitas._bus.routes import LAST_ANSWERS, Link
from civitas._cluster.events import Heard, Lost
from civitas._cluster.probes import Courier
from civitas._cluster.protocol import Card
from civitas.process import ProcessStatus

logger = logging.getLogger("civitas.node")

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


class Peers:
    """Keeps the bus's links in step with the nodes that are there.

    A node's agents can be sent to when this node's own probe over the data transport was
    answered; after a lost connection, when it was answered again.

    Args:
        bus: the node's bus; its inflow is made here.
        windowed: whether frames are numbered and wait for credit.
        on_reached: called with the card of a node whose data route is proved.
    """

    def __init__(
        self, bus: MessageBus, *, windowed: bool, on_reached: Callable[[Card], None]
    ) -> None:
        self.cards: dict[str, Card] = {}
        self.courier = Courier(
            bus.transport,
            bus.origin,
            self._probed,
            self._answered,
            self._credited,
            bus.dead_letters.record,
        )
        self._bus = bus
        self._inflow = bus.inflow = Inflow(self.courier.grant, self._tell_of_loss)
        self._windowed = windowed
        self._on_reached = on_reached
        self._proved: set[str] = set()
        self._stalled: dict[str, float] = {}
        self._missing: list[str] = []

    # --- coming and going -----------------------------------------------------------------------

    def met(self, card: Card) -> bool:
        """Take note of a node, or of what is new of it; return whether it can be reached."""
        before = self.cards.get(card.node)
        self.cards[card.node] = card
        if before is None:
            logger.debug("met %s", card)
            if card.node in self._missing:
                self._missing.remove(card.node)
            self.courier.probe(card.node, fresh=True)
        elif card.node in self._proved:
            self._open_links(card)
            return True
        return False

    def lost(self, event: Lost) -> Card:
        """Take note that a node has gone: fail what was asked there, refuse what would be sent."""
        card = self.cards.pop(event.card.node, event.card)
        self._proved.discard(card.node)
        self.courier.confirmed(card.node)
        self._stalled.pop(card.node, None)
        if card.role != "client":
            level = logging.ERROR if event.died else logging.INFO
            logger.log(level, "%s has gone: %s", card, event.reason)
        for link in self._bus.links.of(card.node):
            why = f"agent {link.name!r} was in {card}, which has gone: {event.reason}"
            self._close_link(link, why, expected=not event.died)
        if event.final:
            self._inflow.forget(bytes.fromhex(card.node))
        else:  # should it come back, its numbers go on where they were
            self._missing.append(card.node)
            if len(self._missing) > _MISSING:
                self._inflow.forget(bytes.fromhex(self._missing.pop(0)))
        self._bus.clock_offsets.pop(bytes.fromhex(card.node), None)
        return card

    def heard(self, event: Heard) -> None:
        """Take note of whether a node is stalled."""
        before = self._stalled.pop(event.card.node, 0.0)
        if event.stalled:
            self._stalled[event.card.node] = event.stalled
            if not before:
                logger.warning(
                    "%s is stalled since %.1f s: a handler blocks its event loop; it is alive",
                    event.card,
                    event.stalled,
                )
        elif before:
            logger.info("%s is not stalled any more", event.card)

    def link_up(self) -> None:
        """Prove all routes again, and send nothing on them before: the connection was lost."""
        self._proved.clear()
        for link in self._bus.links:
            link.pause()
        self.probe()

    def close(self) -> None:
        """Close all ways: this node stops."""
        for node in list(self.cards):
            for link in self._bus.links.of(node):
                self._close_link(link, "this node has stopped", expected=True)
        self._bus.links.end("this node has stopped")

    # --- looking ----------------------------------------------------------------------------------

    def stats(self) -> tuple[PeerStats, ...]:
        """Return what is known of the other nodes; in any thread."""
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

    def name(self, node: str) -> str:
        """Return how messages call a node."""
        card = self.cards.get(node)
        return f"node {node[:8]}" if card is None else str(card)

    # --- from time to time ------------------------------------------------------------------------

    def probe(self) -> None:
        """Probe the routes that are not proved."""
        for node in self.cards:
            if node not in self._proved:
                self.courier.probe(node, fresh=not self._bus.links.of(node))

    def tell_of_standing_windows(self) -> None:
        """Tell the last number where credit is owed and has not moved since the last look."""
        for link in self._bus.links:
            window = link.window
            if window is None:
                continue
            if window.outstanding and link.told_at == window.credited:
                self.courier.tell_last(link.name, window.sent)
            link.told_at = window.credited

    # --- what the courier hears -------------------------------------------------------------------

    def _probed(self, node: bytes, fresh: bool) -> None:
        self._inflow.begin(node, fresh=fresh)

    def _answered(self, node: str) -> None:
        """The data route to a node is proved."""
        card = self.cards.get(node)
        if card is None or node in self._proved:
            return
        self._proved.add(node)
        for link in self._bus.links.of(node):
            link.resume()
        self._open_links(card)
        self._on_reached(card)

    def _credited(self, node: str, agent: str, number: int) -> None:
        link = self._bus.links.get(agent)
        if link is not None and link.node == node:  # else the agent has moved meanwhile
            link.credit(number)

    def _tell_of_loss(self, node: bytes, agent: str, frames: int) -> None:
        logger.warning(
            "lost %d message%s from %s to agent %r on the way",
            frames,
            "s"[: frames != 1],
            self.name(node.hex()),
            agent,
        )

    # --- ways to agents ---------------------------------------------------------------------------

    def _open_links(self, card: Card) -> None:
        """Open ways to the agents that a node tells of, and close those it tells of no more."""
        links, registry = self._bus.links, self._bus.registry
        done = {name for name, (state, _) in card.agents.items() if state == _DONE}
        told = [] if card.leaving else [name for name in card.agents if name not in done]
        for link in links:
            if link.node == card.node and link.name not in told:
                registry.deregister(link.name)
                reason = _takes_no_more(link.name, card)
                links.retire(link.name, reason, done=link.name in done or not card.leaving)
                if link.asked and not card.leaving:  # whose node says goodbye after its answers
                    self._close_later(link, reason)
        for name in done:
            links.done(name, _takes_no_more(name, card))
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

    def _close_later(self, link: Link, reason: str) -> None:
        """Fail what was asked of an agent that is done, once its last answers must have come."""
        loop = asyncio.get_running_loop()
        loop.call_later(LAST_ANSWERS, partial(self._close_link, link, reason, expected=True))

    def _close_link(self, link: Link, reason: str, *, expected: bool = False) -> None:
        if self._bus.links.get(link.name) is link:
            self._bus.registry.deregister(link.name)
        open_frames = self._bus.links.remove(link, reason)
        if open_frames and not expected:
            messages = f"{open_frames} message{'s'[: open_frames != 1]}"
            logger.warning("%s; what became of %s is not known", reason, messages)


def _takes_no_more(agent: str, card: Card) -> str:
    return f"agent {agent!r} of {card} takes no more messages"
