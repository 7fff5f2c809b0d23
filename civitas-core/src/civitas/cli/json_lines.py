"""What a command says as JSON, one object a line: log records, and its own messages.

Nothing that a record carries may cost the record: what can't be formatted, or has no form in JSON,
is described instead.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from civitas._agents.running import running_agent
from civitas._text import format_traceback
from civitas.cli.output import without_secrets
from civitas.errors import describe, printable

OWN_LOGGER: Final = "civitas.cli"
"""What stands for a logger in the messages of a command itself."""

_LONGEST: Final = 64 * 1024
_DEEPEST: Final = 10
_MOST: Final = 1000
"""Values of a list or a mapping that are kept."""

_LEVELS: Final = (("error: ", "error"), ("warning: ", "warning"), ("note: ", "info"))
_TRACEBACK: Final = "Traceback (most recent call last):"
_KNOWN: Final = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))
"""Attributes that every record has, or gets from a formatter."""


class JsonLines:
    """Makes the lines of one process.

    Args:
        process: its process name in the system.
    """

    def __init__(self, process: str) -> None:
        self._process = process

    def of_record(self, record: logging.LogRecord) -> str:
        """Return a log record as a line."""
        message = _message_of(record)
        values = self._head(record.created, record.levelname.lower(), record.name, message)
        agent = running_agent()
        if agent is not None and (agent.in_its_task or not _is_ours(record.name)):
            values["agent"] = agent.name
            if agent.trace_id is not None:
                values["trace"] = agent.trace_id
        if record.exc_info and record.exc_info[1] is not None:
            format_traceback(record)
            values["exception"] = _exception(record.exc_info[1], record.exc_text or "")
        if record.stack_info:
            values["stack"] = _text(record.stack_info)
        extra = {key: each for key, each in vars(record).items() if key not in _KNOWN}
        if extra:
            values["extra"] = jsonable_extra(extra)
        return _line(values)

    def of_lines(self, lines: Iterable[str]) -> str:
        """Return messages of the command as lines; those of one call have one level."""
        first, *others = lines
        if first == _TRACEBACK:
            values = self._head(time.time(), "error", OWN_LOGGER, (others or [first])[-1])
            return _line(values | {"exception": {"traceback": "\n".join((first, *others))}})
        prefix, level = next((each for each in _LEVELS if first.startswith(each[0])), ("", "info"))
        return "".join(
            self.of_message(text, level) for text in (first.removeprefix(prefix), *others)
        )

    def of_message(self, text: str, level: str = "info", logger: str = OWN_LOGGER) -> str:
        """Return a message as a line."""
        return _line(self._head(time.time(), level, logger, text))

    def of_output(self, line: bytes, stream: str) -> str:
        """Return what the process has written to a stream as a line.

        Its own lines are left as they are; anything else becomes the message of one, with the name
        of the stream as its logger.
        """
        text = line.removesuffix(b"\r").decode(errors="backslashreplace")
        if text.startswith('{"time": ') and self._is_own(text):
            return f"{text}\n"
        moment = _moment(time.time())
        head = {"time": moment, "level": "info", "logger": stream, "message": text}
        return _line(head | {"process": self._process})

    def _is_own(self, text: str) -> bool:
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return text.isascii() and text.isprintable() and values.get("process") == self._process

    def _head(self, seconds: float, level: str, logger: str, message: str) -> dict[str, Any]:
        return {
            "time": _moment(seconds),
            "level": level,
            "logger": logger,
            "message": _text(message),
            "process": self._process,
        }


def jsonable_extra(value: Any, depth: int = 0) -> Any:
    """Return any value as one that JSON has: what it lacks is its `repr`."""
    if value is None or type(value) in (bool, int):
        return value if abs(value or 0) < 1 << 1000 else f"({type(value).__name__}, very large)"
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is str:
        return _text(value)
    if type(value) is dict and depth < _DEEPEST:
        items = list(value.items())[:_MOST]
        return {_key(key): jsonable_extra(item, depth + 1) for key, item in items}
    if type(value) in (list, tuple, set, frozenset) and depth < _DEEPEST:
        return [jsonable_extra(item, depth + 1) for item in list(value)[:_MOST]]
    try:
        return _text(repr(value))
    except BaseException as error:  # noqa: BLE001 - code of others, which a log line must survive
        return f"({type(value).__name__}: its repr failed: {describe(error)})"


def _key(key: Any) -> str:
    return key if type(key) is str else str(jsonable_extra(key, _DEEPEST))


def _moment(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _is_ours(logger: str) -> bool:
    return logger == "civitas" or logger.startswith("civitas.")


def _message_of(record: logging.LogRecord) -> str:
    try:
        return str(record.getMessage())
    except Exception as error:  # noqa: BLE001 - arguments that don't fit their message
        message, arguments = jsonable_extra(record.msg), jsonable_extra(record.args)
        return f"{message!r} does not fit its arguments {arguments!r}: {describe(error)}"


def _exception(error: BaseException, traceback: str) -> dict[str, str]:
    described = describe(error)
    return {
        "type": described.kind,
        "text": _text(described.text),
        "traceback": _text(traceback),
    }


def _text(text: str) -> str:
    kept = text if len(text) <= _LONGEST else printable(text, _LONGEST)
    return without_secrets(kept)


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, allow_nan=False) + "\n"  # ASCII, and no terminal obeys it
