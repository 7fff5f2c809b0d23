"""Dead letters: the account of what could not be delivered."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

from civitas.messages import Message

logger = logging.getLogger("civitas.dead_letters")

DeadLetterCallback: TypeAlias = Callable[[Message | bytes, str], None]


class DeadLetters:
    """Counts by reason, logs once per reason, and calls those who subscribed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._callbacks: list[DeadLetterCallback] = []

    def subscribe(self, callback: DeadLetterCallback) -> None:
        """Call `callback(message or frame, reason)` for every dead letter from now on."""
        self._callbacks.append(callback)

    def record(self, reason: str, item: Message | bytes, detail: str = "") -> None:
        """Account for one message, or one frame that could not be read.

        Args:
            reason: one of few; what differs from case to case would make counters without end.
            item: the message or the frame.
            detail: what is particular to this case; it is only logged.
        """
        self.counts[reason] += 1
        level = logging.WARNING if self.counts[reason] == 1 else logging.DEBUG
        text = f"{reason}: {detail}" if detail else reason
        logger.log(level, "dropped %s: %s", _describe(item), text)
        for callback in self._callbacks:
            try:
                callback(item, reason)
            except Exception:
                logger.exception("a dead-letter callback raised")


def _describe(item: Message | bytes) -> str:
    if isinstance(item, Message):
        return f"message {item.type!r} from {item.sender!r} to {item.recipient!r}"
    return f"a frame of {len(item)} bytes"
