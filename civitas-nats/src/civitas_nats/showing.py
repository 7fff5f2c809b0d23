"""How dead letters are shown: as a table, as JSON, and how far a long work is."""

from __future__ import annotations

import json
import math
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, Self

from civitas_nats.jetstream.contents import Contents
from civitas_nats.jetstream.dead_letters import Buried

_COLUMNS: Final = ("number", "agent", "time", "deliveries", "reason", "from", "type", "payload")
_NARROW: Final = 4
"""Columns whose cells stay in one line."""

_NUMBERS: Final = ("number", "deliveries")
_DEEPEST: Final = 100
_WIDEST_LINE: Final = 100_000
_PREVIEW: Final = 60
_SHOWN_AFTER: Final = 1.0
"""Seconds of work before it is told how far it is."""

_ON_TERMINALS: Final = 0.1
_ELSEWHERE: Final = 10.0
"""Seconds between two such lines."""


def as_json(buried: Buried, contents: Contents, now: float) -> dict[str, Any]:
    """Return all that is known of a dead letter, as JSON-like values.

    Args:
        buried: the letter.
        contents: what is in it.
        now: seconds since the epoch.
    """
    letter, message = buried.letter, contents.message
    shown: dict[str, Any] = {
        "number": buried.number,
        "agent": letter.agent,
        "time": datetime.fromtimestamp(buried.time, UTC).isoformat(timespec="milliseconds"),
        "deliveries": letter.deliveries,
        "reason": letter.reason,
        "stream_sequence": letter.number,
        "bytes": len(letter.frame),
        "expired": contents.expired(now),
        "problem": contents.problem or None,
        "message": None if message is None else jsonable(asdict(message)),
    }
    if message is None:
        shown["frame"] = b64encode(letter.frame).decode()
    return shown


def as_row(buried: Buried, contents: Contents) -> list[str]:
    """Return what a table shows of a dead letter."""
    letter, message = buried.letter, contents.message
    when = datetime.fromtimestamp(buried.time).astimezone()
    if message is None:
        found = ["", "", f"({contents.problem}; {len(letter.frame)} bytes)"]
    else:
        found = [message.sender, message.type, _preview(message.payload)]
    cells = (
        str(buried.number),
        letter.agent,
        f"{when:%Y-%m-%d %H:%M:%S}",
        str(letter.deliveries),
        letter.reason,
        *found,
    )
    return [visible(cell) for cell in cells]


def jsonable(value: Any, depth: int = 0) -> Any:
    """Return a value of a payload as JSON can hold it: bytes as Base64, other keys as text."""
    if depth > _DEEPEST:
        return f"(nested more than {_DEEPEST} levels deep)"
    if isinstance(value, dict):
        return {_key(key): jsonable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item, depth + 1) for item in value]
    if isinstance(value, bytes):
        return {"base64": b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def write_table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows to stdout: one in a line, or wrapped to the width of a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS[:_NARROW]:
        table.add_column(name, no_wrap=True, justify="right" if name in _NUMBERS else "left")
    for name in _COLUMNS[_NARROW:]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    width = None if sys.stdout.isatty() else _WIDEST_LINE
    Console(width=width, highlight=False).print(table)


def visible(text: str) -> str:
    """Return a text without what would make a terminal do something."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _preview(payload: dict[Any, Any]) -> str:
    text = json.dumps(jsonable(payload), ensure_ascii=False)
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}..."


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


class Progress:
    """Tells on stderr how far a work is that takes long, as `with Progress(...) as progress`.

    Args:
        doing: what is done, such as "replayed".
        total: how much there is to do.
        now: a clock, in seconds.
    """

    def __init__(self, doing: str, total: int, now: Callable[[], float] = time.monotonic) -> None:
        self._doing = doing
        self._total = total
        self._now = now
        self._due = now() + _SHOWN_AFTER
        self._shown = 0
        self._is_terminal = sys.stderr.isatty()

    def at(self, done: int) -> None:
        """Take note of how much is done, and tell it now and then."""
        if self._now() < self._due:
            return
        self._due = self._now() + (_ON_TERMINALS if self._is_terminal else _ELSEWHERE)
        line = f"{self._doing} {done} of {self._total}"
        if self._is_terminal:
            sys.stderr.write(f"\r{line.ljust(self._shown)}")
            self._shown = len(line)
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing on a terminal."""
        if self._shown:
            sys.stderr.write(f"\r{' ' * self._shown}\r")
            sys.stderr.flush()
