"""Dead letters: the account of what could not be delivered."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from civitas._bus.arguments import kind_of
from civitas._bus.callbacks import Callbacks
from civitas.envelope import NODE_AT, is_sound
from civitas.errors import logger_of, printable
from civitas.messages import Message
from civitas.plugins.specs import log_failure
from civitas.transport.tasks import Failed

logger = logger_of("civitas.dead_letters")

DeadLetterCallback: TypeAlias = Callable[[Message | bytes, str], Awaitable[None] | None]

_SHOWN = 200
"""Bytes of a name or type that a line of the log shows at most: they come from others."""


class DeadLetters:
    """Counts by reason, logs once per reason, and calls those who subscribed.

    `failed` is called when they can't be called any more.
    """

    def __init__(self, failed: Failed = log_failure) -> None:
        self.counts: Counter[str] = Counter()
        self.callbacks = Callbacks(failed)
        """The calls of these callbacks, and of all others of the node: they keep their order."""
        self._subscribed: list[DeadLetterCallback] = []

    def subscribe(self, callback: DeadLetterCallback) -> None:
        """Call `callback(message or frame, reason)` for every dead letter from now on.

        It may be async; see `callbacks`.
        """
        self._subscribed.append(callback)

    def record(self, reason: str, item: Message | bytes, detail: str = "") -> None:
        """Account for one message, or one frame that could not be read.

        Args:
            reason: one of few; what differs from case to case would make counters without end.
            item: the message or the frame.
            detail: what is particular to this case; it is only logged.
        """
        self.counts[reason] += 1
        level = logging.WARNING if self.counts[reason] == 1 else logging.DEBUG
        if logger.isEnabledFor(level):
            text = f"{reason}: {printable(detail)}" if detail else reason
            logger.log(level, "dropped %s: %s", _shown(item), text)
        self.callbacks.call("on_dead_letter", self._subscribed, item, reason)


def _shown(item: Message | bytes) -> str:
    if not isinstance(item, Message):
        sender = f" from node {item[NODE_AT].hex()}" if is_sound(item) else ""
        return f"a frame of {len(item)} bytes{sender}"
    parts: tuple[object, ...] = (item.type, item.sender, item.recipient)
    kind, sender, recipient = (  # of which a handler may have made anything
        repr(printable(each, _SHOWN)) if isinstance(each, str) else kind_of(each) for each in parts
    )
    return f"message {kind} from {sender} to {recipient}"
