"""Records: what the lines of a log in JSON say of traces. No I/O.

A line may be anybody's. One that is no JSON object, or has no time, is counted and passed over;
what has another type than it should is taken as if it were not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

_LONGEST_LINE: Final = 2 * 1024 * 1024
_LONGEST: Final = 1e9
"""Seconds that no handler takes."""


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """What the instrument `log` has said of a message; see `civitas.plugins.message_log`."""

    event: str
    id: str
    type: str = ""
    sender: str = ""
    recipient: str = ""
    trace: str = ""
    span: str = ""
    parent: str = ""
    seconds: float | None = None
    outcome: str = ""
    attempt: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A line of a log.

    Attributes:
        at: when, in seconds since the epoch.
        trace: the trace that it belongs to; empty where it says none.
        about: what it says of a message, if it is a line of the instrument `log`.
    """

    at: float
    text: str
    level: str = ""
    logger: str = ""
    process: str = ""
    agent: str = ""
    trace: str = ""
    about: MessageEvent | None = None


def read_lines(lines: Iterable[str]) -> tuple[list[Record], int]:
    """Return the records of some lines, and how many lines are none."""
    records, others = list[Record](), 0
    for line in lines:
        if line.strip():
            record = _record(line)
            if record is None:
                others += 1
            else:
                records.append(record)
    return records, others


def _record(line: str) -> Record | None:
    if len(line) > _LONGEST_LINE:
        return None
    try:
        values = json.loads(line)
        at = datetime.fromisoformat(values["time"]).timestamp()
    except (ValueError, TypeError, KeyError, LookupError, OverflowError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    about = _about(values.get("extra"))
    return Record(
        at,
        _text(values, "message"),
        _text(values, "level"),
        _text(values, "logger"),
        _text(values, "process"),
        _text(values, "agent"),
        about.trace if about is not None else _text(values, "trace"),
        about,
    )


def _about(extra: Any) -> MessageEvent | None:
    values = extra.get("message_log") if isinstance(extra, dict) else None
    if not isinstance(values, dict) or not _text(values, "event"):
        return None
    seconds, attempt = values.get("seconds"), values.get("attempt")
    return MessageEvent(
        _text(values, "event"),
        _text(values, "id"),
        _text(values, "type"),
        _text(values, "sender"),
        _text(values, "recipient"),
        _text(values, "trace"),
        _text(values, "span"),
        _text(values, "parent"),
        float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < _LONGEST else None,
        _text(values, "outcome"),
        attempt if type(attempt) is int else 0,
        _text(values, "reason"),
    )


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""
