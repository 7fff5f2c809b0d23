"""RequestInFlight: a request that waits for its answer, until that comes or its time is over.

Which answer is its own, and when its time is looked at: `reply_inbox`.
"""

from __future__ import annotations

import asyncio
from math import inf
from types import TracebackType
from typing import TypeAlias

from civitas.errors import MailboxFullError
from civitas.messages import LocalMessage
from civitas.transport.interruption import Interruption

Answer: TypeAlias = bytes | LocalMessage
"""A frame; or, to who asked an agent of its own node, what does not leave the process."""


class RequestInFlight(Interruption):
    """A request in flight.

    What ends it early becomes the exception of its answer. While the request is still being
    published nobody awaits the answer, so that is interrupted as well: also by the answer itself,
    which says more than the confirmation that a transport may wait for.
    """

    __slots__ = (
        "address",
        "answer",
        "asked",
        "due",
        "ended",
        "given",
        "handed_over",
        "is_here",
        "recent",
        "timeout",
        "timer",
    )

    def __init__(
        self,
        answer: asyncio.Future[None],
        asked: bytes,
        address: str,
        timeout: float | None,
        *,
        is_here: bool,
    ) -> None:
        self.interrupted = False  # what the base does; a call of it would cost each request
        self._task = None
        self.answer = answer
        self.given: Answer = b""
        """The answer that was taken. It may be large: the future, which the task that awaits it
        keeps until it waits again, does not have it."""
        self.asked = asked
        self.address = address
        self.timeout = timeout
        self.due = inf
        """When it is over, by the event loop's clock."""
        self.timer: asyncio.TimerHandle | None = None
        self.recent = True
        self.is_here = is_here
        self.handed_over = False
        self.ended = False

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not self.interrupted:
            return False
        if exc is not None and self.answer.done() and not self.answer.cancelled():
            error = self.answer.exception()
            if error is not None:
                error.__cause__ = exc.__cause__  # whether the request may have been sent
        return super().__exit__(exc_type, exc, traceback)

    def take(self, answer: Answer) -> None:
        """Take the answer."""
        self.given = answer
        self.answer.set_result(None)
        if not self.handed_over:
            # Later, since it may be the publish that calls this.
            self.answer.get_loop().call_soon(self.end_publish)

    def end_publish(self) -> None:
        """Go on to the answer, which has come, unless that is done already."""
        if not self.handed_over and not self.ended:
            self.interrupt()

    def expire(self) -> None:
        """End it: its time is over."""
        if self.handed_over:
            self.fail(TimeoutError(f"no answer within {self.timeout:g} s"))
        else:
            self.fail(MailboxFullError(f"no room for the request within {self.timeout:g} s"))

    def fail(self, error: Exception) -> None:
        """End it with an error, unless it has an answer."""
        if self.answer.done():
            return
        self.answer.set_exception(error)
        if not self.handed_over:
            self.answer.exception()  # seen: what follows the interruption looks at it
            self.interrupt()
