"""in_thread: a blocking call beside the event loop, in a thread that is gone afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


async def in_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own; the loop's executor would keep its thread.

    A cancellation waits for the work, which must be bounded.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            work()
        finally:
            loop.call_soon_threadsafe(done.set)

    thread = threading.Thread(target=run, name=f"civitas {getattr(work, '__name__', 'work')}")
    thread.start()
    try:
        await done.wait()
    finally:
        thread.join()
