"""Ending: the steps by which a node ends, of which none is left out when another one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from civitas.errors import crash_unless_cancelled, describe, logger_of

logger = logger_of("civitas.node")


class Ending:
    """The steps of one end, done one after the other."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        """What the first step that failed has raised."""

    async def step(self, what: str, work: Awaitable[object], timeout: float | None = None) -> None:
        """Do one step; log and keep what it raises.

        Args:
            what: what is ended, for the log.
            work: does it.
            timeout: seconds that it may take; then it is cancelled, and left behind.
        """
        try:
            async with asyncio.timeout(timeout):
                await work
        except BaseException as error:
            crash = crash_unless_cancelled(error, what)
            logger.exception("%s did not end cleanly: %s", what, describe(crash))
            if self.error is None:
                self.error = crash
