"""Defects in what runs on its own: what a test makes fail, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class PanicError(BaseException):
    """What a library raises that wants to end the process."""


DEFECTS = [ValueError, SystemExit, PanicError]


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises, whatever it is called with."""

    def broken(*_: object, **__: object) -> Any:
        raise error

    return broken


def cancel(name: str) -> None:
    """Cancel the one task of that name, as code does that cancels all tasks of its loop."""
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
    task.cancel()
