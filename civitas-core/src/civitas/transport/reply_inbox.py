"""ReplyInbox: the requests in flight of one node, each matched with its answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final

from civitas import _platform as platform
from civitas import envelope
from civitas.errors import FrameError, MailboxFullError, NotConnectedError, OutcomeUnknownError
from civitas.messages import REPLY_PREFIX
from civitas.transport.interruption import Interruption

_REPLY: Final = REPLY_PREFIX.removesuffix(".")


def _ignore(reason: str, frame: bytes) -> None:
    """Take the place of accounting where an inbox is used without a node."""


class _RequestInFlight(Interruption):
    """A request in flight.

    What ends it early becomes the exception of its answer. While the request is still being
    published nobody awaits the answer, so that is interrupted as well: also by the answer itself,
    which says more than the confirmation that a transport may wait for.
    """

    __slots__ = ("answer", "ended", "handed_over")

    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self.interrupted = False  # what the base does; a call of it would cost each request
        self.answer = answer
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

    def end_publish(self) -> None:
        """Go on to the answer, which has come, unless that is done already."""
        if not self.handed_over and not self.ended:
            self.interrupt()

    def expire(self, timeout: float) -> None:
        if self.handed_over:
            self.fail(TimeoutError(f"no answer within {timeout:g} s"))
        else:
            self.fail(MailboxFullError(f"no room for the request within {timeout:g} s"))

    def fail(self, error: Exception) -> None:
        if self.answer.done():
            return
        self.answer.set_exception(error)
        if not self.handed_over:
            self.answer.exception()  # seen: what follows the interruption looks at it
            self.interrupt()


def published_at(reply_to: str) -> str:
    """Return the address at which an answer to `reply_to` is published.

    A ReplyInbox makes `_reply.<node>.<n>` for each request and is subscribed to `_reply.<node>`;
    an address of any other form is used as it is.
    """
    parts = reply_to.split(".")  # an agent's name may have three parts, too
    if len(parts) == 3 and parts[0] == _REPLY and parts[2].isdecimal():
        return REPLY_PREFIX + parts[1]
    return reply_to


class ReplyInbox:
    """Makes reply addresses `_reply.<node>.<n>` and matches answers to requests.

    The transport subscribes `address` once, with the inbox as its handler. An answer is published
    to `address`; the reply address in its header says which request it belongs to.

    Args:
        node: the node's id in hex; a random one when left out.
        dropped: called with (reason, frame) for each answer that nobody waits for.
    """

    def __init__(
        self, node: str | None = None, dropped: Callable[[str, bytes], None] = _ignore
    ) -> None:
        self.address = f"{REPLY_PREFIX}{node or platform.random_bytes(8).hex()}"
        self._prefix = self.address + "."
        self._numbers = itertools.count(1)
        self._pending: dict[str, _RequestInFlight] = {}
        self._dropped = dropped

    def __len__(self) -> int:
        return len(self._pending)

    def has(self, address: str) -> bool:
        """Return whether a request with this reply address is in flight."""
        return address in self._pending

    async def request(
        self, frame: bytes, timeout: float | None, publish: Callable[[bytes], Awaitable[None]]
    ) -> bytes:
        """Stamp the frame with a fresh reply address, publish it and return its answer.

        Args:
            frame: the request.
            timeout: seconds for publishing and for the answer together; None for no limit.
            publish: sends the stamped frame.

        Raises:
            MailboxFullError: the time went by before the request could be handed over.
            TimeoutError: it went by before the answer came.
        """
        loop = asyncio.get_running_loop()
        address = f"{self._prefix}{next(self._numbers)}"
        request = self._pending[address] = _RequestInFlight(loop.create_future())
        timer = None if timeout is None else loop.call_later(timeout, request.expire, timeout)
        try:
            with request:
                await publish(envelope.with_reply_to(frame, address))
                request.handed_over = True
            return await request.answer
        except asyncio.CancelledError as error:
            if request.handed_over:
                raise error from OutcomeUnknownError("the request was under way")
            raise
        except Exception:
            if not request.answer.done():
                raise
            return request.answer.result()  # whatever became of the publish after it
        finally:
            request.ended = True
            if timer is not None:
                timer.cancel()
            del self._pending[address]

    async def deliver(self, frame: bytes) -> None:
        """Give an answer to the request it belongs to; drop and count what nobody waits for."""
        self.take(frame)

    __call__ = deliver

    def take(self, frame: bytes) -> bool:
        """Do what `deliver` does, without a coroutine; return True, since it never has to wait."""
        try:
            address = envelope.reply_to_of(frame)
        except FrameError:
            self._dropped("malformed frame", frame)
            return True
        request = self._pending.get(address)
        if request is None or request.answer.done():
            self._dropped("reply without a request", frame)
            return True
        request.answer.set_result(frame)
        if not request.handed_over:
            # Later, since it may be the publish that calls this.
            request.answer.get_loop().call_soon(request.end_publish)
        return True

    def close(self, reason: str = "the transport stopped while the request was in flight") -> None:
        """Fail every request in flight, those that are still being handed over included."""
        for request in self._pending.values():
            request.fail(NotConnectedError(reason))
