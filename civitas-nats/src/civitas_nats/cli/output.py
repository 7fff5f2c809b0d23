"""Output of the commands: dead letters as a table or as JSON, and progress."""

from __future__ import annotations

import json
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, Self

from civitas.cli.output import jsonable
from civitas.cli.tables import Column
from civitas_nats.jetstream.dead_letter_contents import DeadLetterContents
from civitas_nats.jetstream.dead_letters import StoredDeadLetter

COLUMNS: Final = (
    Column("number", is_number=True),
    Column("agent"),
    Column("time"),
    Column("deliveries", is_number=True),
    *(Column(each, wraps=True) for each in ("reason", "from", "type", "payload")),
)
"""What `as_row` gives."""

_PREVIEW: Final = 60
_SHOWN_AFTER: Final = 1.0
"""Seconds of work before its progress is shown."""

_TERMINAL_INTERVAL: Final = 0.1
_LINE_INTERVAL: Final = 10.0
"""Seconds between two reports of progress, on a terminal and elsewhere."""


def as_json(stored: StoredDeadLetter, contents: DeadLetterContents, now: float) -> dict[str, Any]:
    """Return all that is known of a dead letter, as values for JSON.

    Args:
        stored: the letter.
        contents: what can be read of it.
        now: seconds since the epoch.
    """
    letter, message = stored.letter, contents.message
    values: dict[str, Any] = {
        "number": stored.number,
        "agent": letter.agent,
        "time": datetime.fromtimestamp(stored.time, UTC).isoformat(timespec="milliseconds"),
        "deliveries": letter.deliveries,
        "reason": letter.reason,
        "stream_sequence": letter.number,
        "bytes": len(letter.frame),
        "expired": contents.expired(now),
        "problem": contents.problem or None,
        "message": None if message is None else jsonable(asdict(message)),
    }
    if message is None:
        values["frame"] = b64encode(letter.frame).decode()
    return values


def as_row(stored: StoredDeadLetter, contents: DeadLetterContents) -> list[str]:
    """Return the cells of a dead letter for a table."""
    letter, message = stored.letter, contents.message
    when = datetime.fromtimestamp(stored.time).astimezone()
    if message is None:
        cells_of_message = ["", "", f"({contents.problem}; {len(letter.frame)} bytes)"]
    else:
        cells_of_message = [message.sender, message.type, _preview(message.payload)]
    return [
        str(stored.number),
        letter.agent,
        f"{when:%Y-%m-%d %H:%M:%S}",
        str(letter.deliveries),
        letter.reason,
        *cells_of_message,
    ]


def _preview(payload: dict[Any, Any]) -> str:
    text = json.dumps(jsonable(payload), ensure_ascii=False)
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}..."


class Progress:
    """Shows the progress of a long command on stderr, as `with Progress(...) as progress`.

    Args:
        verb: what is done to each letter, such as "replayed".
        total: how many letters there are.
        now: a clock, in seconds.
    """

    def __init__(self, verb: str, total: int, now: Callable[[], float] = time.monotonic) -> None:
        self._verb = verb
        self._total = total
        self._now = now
        self._due = now() + _SHOWN_AFTER
        self._shown = 0
        self._is_terminal = sys.stderr.isatty()

    def at(self, done: int) -> None:
        """Note how many letters are done, and show it now and then."""
        if self._now() < self._due:
            return
        self._due = self._now() + (_TERMINAL_INTERVAL if self._is_terminal else _LINE_INTERVAL)
        line = f"{self._verb} {done} of {self._total}"
        if self._is_terminal:
            sys.stderr.write(f"\r{line.ljust(self._shown)}")
            self._shown = len(line)
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the progress from a terminal."""
        if self._shown:
            sys.stderr.write(f"\r{' ' * self._shown}\r")
            sys.stderr.flush()
