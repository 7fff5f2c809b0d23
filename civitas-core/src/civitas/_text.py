"""Texts of others: made printable, in log records too, so that no terminal obeys what is in them.

`errors` has its functions for all others.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from typing import Final

TEXT_LIMIT: Final = 4096
"""Bytes of UTF-8 that the text of an exception has at most where it is logged or sent."""

_MESSAGE_LIMIT: Final = 64 * 1024
"""Bytes of UTF-8 that the message of a log record has at most."""

_TRACEBACK_LINES: Final = 400
_KIND_LIMIT: Final = 200


def printable(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return text in one line of at most `limit` bytes of UTF-8, with nothing a terminal obeys."""
    kept = str.__getitem__(text, slice(limit + 1))
    if not kept.isprintable():
        kept = kept.translate(_CONTROLS)  # fast, for what is met most
    if not kept.isprintable():
        kept = "".join(map(_escaped, kept))
    encoded = kept.encode()
    if len(encoded) <= limit:
        return kept
    return encoded[: limit - len("…".encode())].decode(errors="ignore") + "…"


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


_CONTROLS: Final = {code: _escaped(chr(code)) for code in (*range(0x20), *range(0x7F, 0xA0))}


def logger_of(name: str) -> logging.Logger:
    """Return a logger whose records can be written anywhere, whatever is in their arguments.

    A text that can't be encoded would cost the whole entry, one with control characters the
    terminal, one with a newline the trust in the next entry. They are escaped in the record itself,
    so that each handler gets it so; what else a handler makes of `exc_info` is its own.
    """
    logger = logging.getLogger(printable(name))
    logger.addFilter(escape_record)
    return logger


def escape_record(record: logging.LogRecord) -> bool:
    """Make the message of a record one printable line, and format its traceback; keep it.

    A record with nothing to escape keeps its arguments apart from its message.
    """
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - the handler says so, and where: `Handler.handleError`
        return True
    if not message.isprintable() or len(message) > _MESSAGE_LIMIT:
        record.msg, record.args = printable(message, _MESSAGE_LIMIT), ()
    format_traceback(record)
    return True


def format_traceback(record: logging.LogRecord) -> None:
    """Format the traceback of a record, as a `logging.Formatter` would do later."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and not record.exc_text:
        try:
            lines = list(traceback_lines(error))
        except Exception as failure:  # noqa: BLE001 - of the exception's own class
            lines = [f"{kind_of_error(error)} (without a traceback: {kind_of_error(failure)})"]
        if len(lines) > _TRACEBACK_LINES:
            half = _TRACEBACK_LINES // 2
            lines[half:-half] = [f"... {len(lines) - 2 * half} lines ..."]
        record.exc_text = "\n".join(lines)


def traceback_lines(error: BaseException) -> Iterator[str]:
    """Give the lines of a traceback; those that go on with a text are indented.

    So no text of an exception can have a line that looks like the next entry of the log.
    """
    indent = ""
    for part in traceback.format_exception(error):
        is_text = not part.startswith((" ", "\n", "Traceback (most recent call last):"))
        for line in part.removesuffix("\n").split("\n"):
            yield printable(indent + line)
            indent = "  " if is_text else ""


def kind_of_error(error: BaseException) -> str:
    """Return the name of the class of an exception."""
    return printable(type.__dict__["__name__"].__get__(type(error)), _KIND_LIMIT)
