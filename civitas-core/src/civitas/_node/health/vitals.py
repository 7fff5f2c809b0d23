"""Vitals: what is read of a node to say how it is; in any thread, and without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from civitas import _platform as platform
from civitas._agents.slot import AgentSlot
from civitas._bus.bus import MessageBus
from civitas._cluster.config import LinkState
from civitas._cluster.standing import Standing
from civitas._health.settings import HealthSettings
from civitas._node.counters import Supervised, state_word
from civitas._node.queues import QueueWatch
from civitas.errors import IdentityError, describe
from civitas.plugins.masking import mask_text
from civitas.process import ProcessStatus

_MOST: Final = 20
"""Agents that are named, at most."""

_WELL: Final = frozenset(("running", "done"))


@dataclass(frozen=True, slots=True)
class Vitals:
    """A node, as those see it who only look.

    Attributes:
        process: its process name.
        role: primary or worker.
        bus: what counts its messages.
        slots: its agents.
        queues: whether their queues move.
        link_state: whether its data transport is connected.
        standing: its place among other nodes; None where there can be none.
        state: returns starting, running or stopping.
        failure: returns why it has failed; None where it has not.
        supervised: returns what else is known of its agents.
    """

    process: str
    role: str
    bus: MessageBus
    slots: Mapping[str, AgentSlot]
    queues: QueueWatch
    link_state: LinkState
    standing: Standing | None
    state: Callable[[], str]
    failure: Callable[[], Exception | None]
    supervised: Callable[[], Supervised]

    def not_live(self, blocked: float, settings: HealthSettings) -> list[str]:
        """Return why the process should be ended, a line for each reason; none where it need not.

        `blocked` is for how many seconds its event loop has not turned. That a broker or another
        node is away is no reason: a new process would not mend it.
        """
        reasons = []
        if blocked > settings.stalled_after:
            reasons.append(f"the event loop has not turned for {blocked:.1f} s")
        if self._evicted:
            reasons.append(f"this process can't stay in the system: {mask_text(self._evicted, ())}")
        return reasons

    def not_ready(self, blocked: float, settings: HealthSettings) -> list[str]:
        """Return why the process can't do its work now, a line for each reason."""
        reasons = self.not_live(blocked, settings)
        if not reasons and blocked > settings.stuck_after:
            reasons.append(f"the event loop has not turned for {blocked:.1f} s")
        state = self.state()
        if state != "running":
            reasons.append(f"this process is {state}")
        reasons += self._links()
        agents = list(self._agents())
        reasons += agents[:_MOST]
        if len(agents) > _MOST:
            reasons.append(f"and so are {len(agents) - _MOST:,} more agents")
        return reasons

    def running(self) -> int:
        """Return how many agents run."""
        slots = list(self.slots.values())
        return sum(slot.status is ProcessStatus.RUNNING for slot in slots)

    def _may_be_unwell(self, slot: AgentSlot) -> bool:
        return slot.status is not ProcessStatus.RUNNING or self.queues.waits(slot.name)

    @property
    def _evicted(self) -> str:
        failure = self.failure()
        if isinstance(failure, IdentityError):
            return str(failure)
        return self.standing.evicted if self.standing is not None else ""

    def _links(self) -> Iterator[str]:
        links = {"the transport": self.link_state}
        if self.standing is not None:
            links["the control plane's transport"] = self.standing.control_link
            if not self.standing.joined:
                yield "it has not joined the system"
        for what, link in links.items():
            reason = link.reason  # which may change at any time
            if reason:
                yield f"{what} is not connected: {mask_text(reason, ())}"

    def _agents(self) -> Iterator[str]:
        """Say of each agent what is the matter with it, without what messages have brought."""
        unwell = [slot for slot in list(self.slots.values()) if self._may_be_unwell(slot)]
        restarts = self.supervised().restarts if unwell else {}
        now = platform.monotonic()
        for slot in unwell:
            word = state_word(slot.state[0])
            due, failure = restarts.get(slot.name), slot.failure
            why = "" if failure is None else f" ({describe(failure).kind})"
            if word not in _WELL and due is not None:
                yield f"agent {slot.name!r} is backing off, {max(due - now, 0.0):.1f} s left{why}"
            elif word not in _WELL:
                yield f"agent {slot.name!r} is {word}{why if word == 'crashed' else ''}"
            elif stuck := self.queues.stuck(slot, now):
                yield (
                    f"agent {slot.name!r} is stuck: it has handled nothing for {stuck:.1f} s, "
                    f"queued: {slot.mailbox.pending:,}"
                )
