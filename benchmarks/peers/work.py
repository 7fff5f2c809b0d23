"""The work that is the same for all: what is sent, how long an answer may take, what is a loss."""

from __future__ import annotations

from typing import Any, Final

PAYLOAD: Final[dict[str, Any]] = {"n": 1, "text": "hello"}

TIMEOUT: Final = 30.0
"""Seconds for an answer."""


def check_none_lost(sent: int, came: int) -> None:
    """Raise unless all that was sent has come.

    Raises:
        RuntimeError: it has not: a time for less than all says nothing.
    """
    if sent != came:
        raise RuntimeError(f"of {sent} messages {came} came")
