"""Queues: which agents have messages waiting of which none was handled for long."""

from __future__ import annotations

from collections.abc import Mapping

from civitas._agents.slot import AgentSlot
from civitas._health.settings import STUCK_AFTER
from civitas.process import ProcessStatus


class QueueWatch:
    """Looks at the queues of a node's agents now and then, for the path of a message is too busy.

    A queue is stuck when its agent runs, messages wait in it, and none was handled for
    `stuck_after` seconds. `now` is the time of `platform.monotonic` in all methods; `look` is
    called in one thread, `stuck` in any.
    """

    def __init__(self, slots: Mapping[str, AgentSlot], stuck_after: float = STUCK_AFTER) -> None:
        self.stuck_after = stuck_after
        self._slots = slots
        self._seen: dict[str, tuple[int, float]] = {}
        """Of each queue that was not empty: how many messages were handled by then, and when."""

    def look(self, now: float) -> None:
        """Take note of the queues as they are."""
        seen = self._seen
        for slot in list(self._slots.values()):
            if not slot.mailbox.pending or slot.status is not ProcessStatus.RUNNING:
                seen.pop(slot.name, None)
            elif slot.name not in seen or seen[slot.name][0] != slot.counts.handled:
                seen[slot.name] = slot.counts.handled, now

    def waits(self, name: str) -> bool:
        """Return whether messages waited for an agent when it was looked at last."""
        return name in self._seen

    def stuck(self, slot: AgentSlot, now: float) -> float:
        """Return for how many seconds nothing has moved; 0 where the queue is not stuck."""
        handled, since = self._seen.get(slot.name, (-1, now))
        if now - since < self.stuck_after or handled != slot.counts.handled:
            return 0.0
        return now - since if slot.mailbox.pending else 0.0
