"""Output of `civitas dead-letters`: messages as a table or as JSON, and progress."""

from __future__ import annotations

import json
import os
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, Self

from civitas.cli import streams
from civitas.cli.output import jsonable
from civitas.cli.tables import Column
from civitas.transport import Kept, KeptMessage
from civitas.transport.dead_letters.reader import MessageContents

_PREVIEW: Final = 60
_SHOWN_AFTER: Final = 1.0
"""Seconds of work before its progress is shown."""

_TERMINAL_INTERVAL: Final = 0.1
_LINE_INTERVAL: Final = 10.0
"""Seconds between two reports of progress, on a terminal and elsewhere."""

_ABOUT_DELIVERY: Final = ("deliveries", "reason")


def columns_of(kept: Kept) -> list[Column]:
    """Return the columns of a table of messages; what waits has no reason yet."""
    columns = [Column("number", is_number=True), Column("agent"), Column("time")]
    if kept is Kept.DEAD:
        columns += [Column("deliveries", is_number=True), Column("reason", wraps=True)]
    return [*columns, *(Column(each, wraps=True) for each in ("from", "type", "payload"))]


def as_json(message: KeptMessage, contents: MessageContents, now: float) -> dict[str, Any]:
    """Return all that is known of a message, as values for JSON.

    Args:
        message: the message.
        contents: what can be read of it.
        now: seconds since the epoch.
    """
    sent = contents.message
    values: dict[str, Any] = {
        "number": message.number,
        "agent": message.agent,
        "time": datetime.fromtimestamp(message.time, UTC).isoformat(timespec="milliseconds"),
        "deliveries": message.deliveries,
        "reason": message.reason,
        **jsonable(dict(message.details)),
        "bytes": len(message.frame),
        "expired": contents.expired(now),
        "problem": contents.problem or None,
        "message": None if sent is None else jsonable(asdict(sent)),
    }
    if sent is None:
        values["frame"] = b64encode(message.frame).decode()
    return values


def as_row(message: KeptMessage, contents: MessageContents) -> list[str]:
    """Return the cells of a message for a table with `columns_of` its kind."""
    sent = contents.message
    if sent is None:
        cells = ["", "", f"({contents.problem}; {len(message.frame)} bytes)"]
    else:
        cells = [sent.sender, sent.type, _preview(sent.payload)]
    if message.kept is Kept.DEAD:
        cells = [str(message.deliveries), message.reason, *cells]
    return [str(message.number), message.agent, _local(message.time), *cells]


def as_lines(message: KeptMessage, contents: MessageContents, now: float) -> list[str]:
    """Return a whole message as lines: what is known of it, and its payload as JSON."""
    values = as_json(message, contents, now)
    sent = values.pop("message") or {}
    payload = sent.pop("payload", None)
    values["time"] = _local(message.time)
    if message.kept is Kept.WAITING:
        values = {key: value for key, value in values.items() if key not in _ABOUT_DELIVERY}
    facts = {**values, **{f"message.{key}": value for key, value in sent.items()}}
    shown = {key: value for key, value in facts.items() if value not in (None, "")}
    width = max(map(len, shown))
    lines = [f"{key:<{width}}  {_fact(value)}" for key, value in shown.items()]
    if contents.message is not None:
        lines += json.dumps(payload, indent=2, ensure_ascii=False).split("\n")
    return lines


def _fact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _local(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"


def _preview(payload: dict[Any, Any]) -> str:
    text = json.dumps(jsonable(payload), ensure_ascii=False)
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}..."


class Progress:
    """Shows the progress of a long command on stderr, as `with Progress(...) as progress`.

    Args:
        verb: what is done to each message, such as "replayed".
        total: how many messages there are.
        now: a clock, in seconds.
    """

    def __init__(self, verb: str, total: int, now: Callable[[], float] = time.monotonic) -> None:
        self._verb = verb
        self._total = total
        self._now = now
        self._due = now() + _SHOWN_AFTER
        self._shown = 0
        self._is_terminal = streams.err().isatty() and os.environ.get("TERM") != "dumb"

    def at(self, done: int) -> None:
        """Note how many messages are done, and show it now and then."""
        if self._now() < self._due:
            return
        self._due = self._now() + (_TERMINAL_INTERVAL if self._is_terminal else _LINE_INTERVAL)
        line = f"{self._verb} {done} of {self._total}"
        if self._is_terminal:
            streams.err().write(f"\r{line.ljust(self._shown)}")
            self._shown = len(line)
        else:
            streams.err().write(f"{line}\n")
        streams.err().flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the progress from a terminal."""
        if self._shown:
            streams.err().write(f"\r{' ' * self._shown}\r")
            streams.err().flush()
