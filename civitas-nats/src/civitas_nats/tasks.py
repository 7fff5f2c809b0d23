"""Ending tasks."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN_AFTER: Final = 0.05


async def end(task: asyncio.Task[Any] | None) -> None:
    """Cancel a task, and return when it has ended.

    `asyncio.wait_for`, in which nats-py waits for answers, takes a cancellation for naught that
    comes together with the answer (Python 3.11, CPython issue 86296). So it is said again.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_AGAIN_AFTER)
