"""The instrument `log`: a line of the log for each message that is sent, handled or dropped.

The lines are those of the logger `civitas.message_log`, at level INFO. Each has what happened as an
extra of the record, `message_log`; `civitas trace` reads it from logs in JSON. No payload is in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final

from civitas import _platform as platform
from civitas.errors import describe, logger_of, printable
from civitas.messages import Message
from civitas.plugins.hookspecs import hookimpl
from civitas.plugins.specs import InstrumentContext, InstrumentSpec

logger = logger_of("civitas.message_log")

_LONGEST: Final = 200
"""Bytes of a text of a message at most."""


class MessageLog:
    """Logs what becomes of each message of a node."""

    def sending(self, message: Message) -> None:
        """Log that a message is sent."""
        _log("sent %s to %s", message, "sent")

    def handling(self, role: str, message: Message) -> _Execution:
        """Log, at its end, that a message was handled."""
        return _Execution(message)

    def dead_letter(self, item: Message | bytes, reason: str) -> None:
        """Log that a message was dropped; bytes that were no message have no trace."""
        if isinstance(item, Message):
            _log("dropped %s to %s", item, "dropped", reason=printable(reason, _LONGEST))


class _Execution:
    __slots__ = ("_began", "_message")

    def __init__(self, message: Message) -> None:
        self._message = message
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = platform.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = platform.monotonic() - self._began
        outcome = "done" if error is None else printable(describe(error).kind, _LONGEST)
        message = self._message
        about = {"seconds": round(seconds, 6), "outcome": outcome, "attempt": message.attempt}
        _log("handled %s by %s", message, "handled", **about)


def _log(text: str, message: Message, event: str, **more: Any) -> None:
    about = {
        "event": event,
        "id": _text(message.id),
        "type": _text(message.type),
        "sender": _text(message.sender),
        "recipient": _text(message.recipient),
        "trace": _text(message.trace_id),
        "span": _text(message.span_id),
        "parent": _text(message.parent_span_id),
        **more,
    }
    extra = {"message_log": about}
    logger.info(text, about["type"], about["recipient"], extra=extra)


def _text(value: object) -> str:
    """Return a field of a message as text; it may be anything that its sender has put there."""
    return "" if value is None else printable(str(value), _LONGEST)


def _make(_options: None, _context: InstrumentContext) -> MessageLog:
    return MessageLog()


@hookimpl
def civitas_instruments() -> Iterable[InstrumentSpec]:
    """Offer `log`."""
    summary = "A line of the log for each message, for `civitas trace`"
    return (InstrumentSpec("log", summary, _make),)
