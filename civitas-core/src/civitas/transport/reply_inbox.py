"""ReplyInbox: the requests in flight of one node, and their answers."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from civitas import envelope
from civitas.errors import FrameError, MailboxFullError, NotConnectedError
from civitas.messages import REPLY_PREFIX


def _ignore(reason: str, frame: bytes) -> None:
    """Take the place of accounting where an inbox is used without a node."""


class _Pending(NamedTuple):
    """A request in flight: what its answer resolves, and the clock that ends its wait."""

    answer: asyncio.Future[bytes]
    clock: asyncio.Timeout


def published_at(reply_to: str) -> str:
    """Return the address at which an answer to `reply_to` is published.

    A ReplyInbox makes `_reply.<node>.<n>` for each request and is subscribed to `_reply.<node>`;
    an address of any other form is used as it is.
    """
    node, _, number = reply_to.rpartition(".")
    return node if number.isdecimal() and node.count(".") == 1 else reply_to


class ReplyInbox:
    """Makes reply addresses `_reply.<node>.<n>` and matches answers to requests.

    The transport subscribes `address` once, with `deliver` as its handler. An answer is published
    to `address`; the reply address in its header tells which request it belongs to.

    Args:
        node: the node's id in hex; a random one when left out.
        dropped: called with (reason, frame) for each answer that nobody waits for.
    """

    def __init__(
        self, node: str | None = None, dropped: Callable[[str, bytes], None] = _ignore
    ) -> None:
        self.address = f"{REPLY_PREFIX}{node or os.urandom(8).hex()}"
        self._prefix = self.address + "."
        self._numbers = itertools.count(1)
        self._pending: dict[str, _Pending] = {}
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
        address = f"{self._prefix}{next(self._numbers)}"
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        clock = asyncio.timeout(timeout)
        handed_over = False
        try:
            async with clock:
                self._pending[address] = _Pending(answer, clock)
                await publish(envelope.with_reply_to(frame, address))
                handed_over = True
                return await answer
        except MailboxFullError:
            raise
        except TimeoutError:
            if answer.done() and not answer.cancelled():
                return answer.result()  # closed before it was handed over, or just in time
            if handed_over:
                raise TimeoutError(f"no answer within {timeout:g} s") from None
            raise MailboxFullError(f"no room for the request within {timeout:g} s") from None
        finally:
            self._pending.pop(address, None)

    async def deliver(self, frame: bytes) -> None:
        """Give an answer to the request it belongs to; drop and count what nobody waits for."""
        try:
            address = envelope.reply_to_of(frame)
        except FrameError:
            self._dropped("malformed frame", frame)
            return
        pending = self._pending.get(address)
        if pending is None or pending.answer.done():
            self._dropped("reply without a request", frame)
            return
        pending.answer.set_result(frame)

    def close(self, reason: str = "the transport stopped while the request was in flight") -> None:
        """Fail every request in flight, those that are still being handed over included."""
        now = asyncio.get_running_loop().time()
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(NotConnectedError(reason))
                pending.answer.exception()  # seen, though the request may not look at it
                if not pending.clock.expired():
                    pending.clock.reschedule(now)
