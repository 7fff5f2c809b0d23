"""Goals: what a test awaits of its agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from civitas.testing.agents.findings import HarnessError


class Goal(NamedTuple):
    """What a test awaits.

    Attributes:
        what: names it in errors, such as `ask('crawler')`.
        told: the future, of the test's loop, that the test awaits.
        began: the time of the world at which it was set.
        limit: the time of the world until which the clock may move for it.
        reached: returns whether it is; asked when nothing is left to do at this instant.
        result: returns what the test gets, or raises.
        is_advance: whether it is the passing of time itself, so that its limit is its end.
    """

    what: str
    told: asyncio.Future[Any]
    began: float
    limit: float
    reached: Callable[[], bool]
    result: Callable[[], Any]
    is_advance: bool = False

    def tell(self) -> None:
        """Let the test go on with the result."""
        if self.told.done():
            return
        try:
            self.told.set_result(self.result())
        except asyncio.CancelledError:
            self.fail(HarnessError(f"{self.what} was cancelled in the loop of the agents"))
        except Exception as error:  # noqa: BLE001 - what a verb raises is the test's to see
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Let the test go on with an error."""
        if not self.told.done():
            self.told.set_exception(error)
