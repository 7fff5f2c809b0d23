"""WaitQueue: tasks that wait in line, first come, first served, each with a time limit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from civitas.errors import OutcomeUnknownError

T = TypeVar("T")


class Waiter(Generic[T]):
    """One who waits, with what it brought along."""

    __slots__ = ("item", "turn")

    def __init__(self, item: T) -> None:
        self.item = item
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class WaitQueue(Generic[T]):
    """A line of waiting tasks. Who has room to give decides how the first one gets it.

    `pop` hands the turn over at once, and the waiter's item with it: nobody who comes meanwhile can
    overtake. `wake` lets the first one look for itself; it keeps its place until it has run.
    """

    __slots__ = ("_line",)

    def __init__(self) -> None:
        self._line: deque[Waiter[T]] = deque()

    def __len__(self) -> int:
        return len(self._line)

    async def wait(self, item: T, timeout: float | None) -> None:
        """Wait in line until it is this one's turn, at most `timeout` seconds; None for no limit.

        Cancelled when `pop` has just handed over the item, its CancelledError has an
        OutcomeUnknownError as its cause.

        Raises:
            TimeoutError: the turn did not come in time.
            Exception: the one that `fail` was given.
        """
        waiter = Waiter(item)
        self._line.append(waiter)
        timer = None
        if timeout is not None:
            timer = asyncio.get_running_loop().call_later(timeout, _expire, waiter.turn)
        try:
            await waiter.turn
        except asyncio.CancelledError as error:
            if waiter not in self._line and _has_come(waiter.turn):
                raise error from OutcomeUnknownError("its turn had just come")
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._line:
                self._line.remove(waiter)

    def pop(self) -> Waiter[T] | None:
        """Give the first one that still waits its turn, and take it off the line."""
        while self._line:
            waiter = self._line.popleft()
            if not waiter.turn.done():
                waiter.turn.set_result(None)
                return waiter
        return None

    def wake(self) -> None:
        """Give the first one its turn; it leaves the line by itself."""
        if self._line and not self._line[0].turn.done():
            self._line[0].turn.set_result(None)

    def fail(self, error: Callable[[], Exception]) -> None:
        """End all waits with an error."""
        for waiter in self._line:
            if not waiter.turn.done():
                waiter.turn.set_exception(error())
        self._line.clear()


def _has_come(turn: asyncio.Future[None]) -> bool:
    return turn.done() and not turn.cancelled() and turn.exception() is None


def _expire(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(TimeoutError())
