"""ReplyInbox: the requests in flight of one node, and their answers."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable

from civitas import envelope
from civitas.errors import CivitasError, FrameError, MailboxFullError, NotConnectedError
from civitas.messages import REPLY_PREFIX


def _ignore(reason: str, frame: bytes) -> None:
    """Take the place of accounting where an inbox is used without a node."""


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
        self._pending: dict[str, asyncio.Future[bytes]] = {}
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
        self._pending[address] = answer
        handed_over = False
        try:
            async with asyncio.timeout(timeout):
                await publish(envelope.with_reply_to(frame, address))
                handed_over = True
                return await answer
        except MailboxFullError:
            raise
        except TimeoutError:
            if handed_over:
                raise TimeoutError(f"no answer within {timeout:g} s") from None
            raise MailboxFullError(f"no room for the request within {timeout:g} s") from None
        finally:
            del self._pending[address]

    async def deliver(self, frame: bytes) -> None:
        """Give an answer to the request it belongs to; drop and count what nobody waits for."""
        try:
            address = envelope.reply_to_of(frame)
        except FrameError:
            self._dropped("malformed frame", frame)
            return
        answer = self._pending.get(address)
        if answer is None or answer.done():
            self._dropped("reply without a request", frame)
            return
        answer.set_result(frame)

    def close(self, error: CivitasError | None = None) -> None:
        """Fail every request in flight."""
        reason = error or NotConnectedError("the transport stopped while the request was in flight")
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(reason)
                answer.exception()  # seen: a request not yet handed over may never look at it
