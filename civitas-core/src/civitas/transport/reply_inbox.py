"""ReplyInbox: the requests in flight of one node, each matched with its answer.

Theory. An answer is taken for what it says only if it bears the address of a request in flight, and
comes from the node that was asked. Addresses can't be guessed: the number in each has 64 random
bits. Which node is asked only the node's core knows; it says so in the request itself, in the place
of the reply address, which the inbox writes there instead. So a transport hands a request on as it
is, and needs to know of none of this.

    what comes                                          | what becomes of it
    ----------------------------------------------------+-----------------------------------
    a reply to a request in flight, of the asked node   | the request has its answer
    ... of another node                                 | dropped; the request goes on waiting
    a reply to no request, to one that is over, or a    | dropped
    second one                                          |
    a frame of another kind, or none                    | dropped
    what has not left the process, to a request that    | the request has its answer
    has not, either                                     |

What is dropped is counted, each by a reason of its own. A request that names no node (one that a
transport makes for itself, or a test) takes its answer from any.

Most requests are answered within milliseconds, and a timer of the event loop for each takes a sixth
of an ask within a process. So all that have just begun, the *recent* ones, share a timer:

    event                                     | what becomes of it
    ------------------------------------------+-------------------------------------------
    a request begins, without a limit         | it has no timer
    ... with a limit of less than `_RECENT`   | it has a timer of its own
    ... with another limit                    | it is recent; the shared timer runs, or is started
    the shared timer, after `_RECENT` seconds | each recent request has a timer of its own now
    a request ends                            | its own timer, if it has one, is cancelled

None ends late by that: the shared timer was started before a recent request began, so it comes
before the request's time is over. In a loop that was stalled so long, it ends the request itself.
"""

from __future__ import annotations

import asyncio
import re
from binascii import unhexlify
from collections.abc import Awaitable, Callable, Coroutine
from itertools import takewhile
from operator import attrgetter
from struct import Struct
from typing import Any, Final, TypeVar, cast

from civitas import _platform as platform
from civitas import envelope
from civitas.envelope import KIND_REPLY, NODE_AT, UnsealedRequest
from civitas.errors import FrameError, NotConnectedError, OutcomeUnknownError
from civitas.messages import REPLY_PREFIX, LocalMessage, Message
from civitas.transport.request_in_flight import Answer, RequestInFlight

_reply_address: Final = re.compile(
    f"({re.escape(REPLY_PREFIX)}[0-9a-f]{{16}})\\.[0-9]{{1,20}}"
).fullmatch

T = TypeVar("T")

_NODE_AT: Final = NODE_AT.start
_BATCH: Final = 128
"""Requests whose numbers are made of one block of random bytes."""

_NUMBERS: Final = Struct(f">{_BATCH}Q")

_RECENT: Final = 0.01
"""Seconds that a request may be in flight before it has a timer of its own."""


def _ignore(reason: str, frame: bytes) -> None:
    """Take the place of accounting where an inbox is used without a node."""


def is_reply_address(address: str) -> bool:
    """Return whether an address is one that a ReplyInbox makes: `_reply.<node>.<n>`.

    The node id has 16 hex digits, the number up to 20 decimal ones.
    """
    return _reply_address(address) is not None


def published_at(reply_to: str) -> str:
    """Return the address at which an answer to `reply_to` is published.

    A ReplyInbox makes `_reply.<node>.<n>` for each request and is subscribed to `_reply.<node>`;
    an address of any other form is used as it is.
    """
    known = _reply_address(reply_to)
    return reply_to if known is None else known[1]


class ReplyInbox:
    """Makes reply addresses `_reply.<node>.<n>` and matches answers to requests.

    The transport subscribes `address` once, with the inbox as its handler. An answer is published
    to `address`; the reply address in its header says which request it belongs to.

    Args:
        node: the node's id, 16 hex digits; a random one when left out.
        dropped: called with (reason, frame) for each frame that answers no request.

    Raises:
        ValueError: the node's id is none.
    """

    def __init__(
        self, node: str | None = None, dropped: Callable[[str, bytes], None] = _ignore
    ) -> None:
        self.address = f"{REPLY_PREFIX}{node or platform.random_bytes(8).hex()}"
        self._prefix = self.address + "."
        if not is_reply_address(f"{self._prefix}0"):
            raise ValueError(f"a node id has 16 hex digits, unlike {node!r}")
        self._numbers: list[int] = []
        self._pending: dict[str, RequestInFlight] = {}  # the recent ones are the last
        self._shared_timer: asyncio.TimerHandle | None = None
        self._timed_in: asyncio.AbstractEventLoop | None = None  # the loop of that timer
        self._dropped = dropped
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop of a transport that has started: to ask which one runs takes its time."""

    def __len__(self) -> int:
        return len(self._pending)

    def has(self, address: str) -> bool:
        """Return whether a request with this reply address is in flight."""
        return address in self._pending

    def request(
        self,
        frame: bytes | UnsealedRequest,
        timeout: float | None,
        publish: Callable[[bytes], Awaitable[None] | None],
        address: str = "",
    ) -> Coroutine[Any, Any, bytes]:
        """Stamp the frame with a fresh reply address; awaiting it publishes, and gives the answer.

        Args:
            frame: the request. In the place of its reply address it may have the id of the node
                that is to answer, as a request of core has; then no other may.
            timeout: seconds for publishing and for the answer together; None for no limit.
            publish: sends the stamped frame; where it has to wait, it returns what to await.
            address: where to, for `fail_requests_to`.

        Raises:
            MailboxFullError: the time went by before the request could be handed over.
            TimeoutError: it went by before the answer came.
        """
        reply_to = self._next_address()
        if isinstance(frame, UnsealedRequest):
            stamped, asked = frame.seal(reply_to), frame.asked
        else:
            stamped, node = envelope.exchange_reply_to(frame, reply_to)
            try:
                asked = unhexlify(node)
            except ValueError:  # no node's id
                asked = b""
        answering = self._answer(reply_to, asked, timeout, publish, stamped, address)
        return cast("Coroutine[Any, Any, bytes]", answering)  # what is asked by wire is so answered

    def request_here(
        self,
        message: Message,
        packed: bytes,
        timeout: float | None,
        put: Callable[[LocalMessage], Awaitable[None] | None],
        node: bytes,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Awaitable[Answer]:
        """Do so, once it is awaited, with a message to an agent of this node.

        Args:
            message: the request, which gets the reply address.
            packed: its payload, packed.
            timeout: seconds for the wait for room, and for the answer, together.
            put: puts it into the agent's mailbox; where it has to wait, it returns what to await.
            node: this node's id: an answer by wire is to come from it.
            loop: the running event loop, where that is known: to ask for it takes its time.
        """
        message.reply_to = reply_to = self._next_address()
        item = (message, packed)
        return self._answer(reply_to, node, timeout, put, item, is_here=True, loop=loop)

    async def _answer(
        self,
        reply_to: str,
        asked: bytes,
        timeout: float | None,
        hand_over: Callable[[T], Awaitable[None] | None],
        item: T,
        address: str = "",
        *,
        is_here: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Answer:
        if loop is None:
            loop = self.loop or asyncio.get_running_loop()
        request = RequestInFlight(loop.create_future(), asked, address, timeout, is_here=is_here)
        self._pending[reply_to] = request
        if timeout is not None:
            request.due = loop.time() + timeout
            if self._timed_in is not loop or timeout < _RECENT:
                self._start_timer(request, timeout, loop)
        try:
            handing_over = hand_over(item)
            del item  # it may be large, and an answer may take long
            if handing_over is not None:
                with request:
                    await handing_over
                    request.handed_over = True
            else:
                request.handed_over = True
            await request.answer
        except asyncio.CancelledError as error:
            if request.handed_over:
                raise error from OutcomeUnknownError("the request was under way")
            raise
        except Exception:
            if not request.answer.done():
                raise
            request.answer.result()  # whatever became of the publish after it
        finally:
            request.ended = True
            if request.timer is not None:
                request.timer.cancel()
            del self._pending[reply_to]
        return request.given

    def _start_timer(
        self, request: RequestInFlight, timeout: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Start the timer of a request, or the one that it shares with those that begin after it.

        In another event loop than before, that of the last one comes no more.
        """
        if timeout < _RECENT:
            request.timer = loop.call_at(request.due, request.expire)
        else:
            self._timed_in = loop
            self._shared_timer = loop.call_later(_RECENT, self._start_own_timers, loop)

    def _start_own_timers(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give each recent request a timer of its own, in the order in which they began."""
        self._timed_in = None
        now = loop.time()
        recent = takewhile(attrgetter("recent"), reversed(self._pending.values()))
        for request in reversed([*recent]):
            request.recent = False
            if request.due <= now:
                request.expire()
            elif request.timer is None and request.timeout is not None:
                request.timer = loop.call_at(request.due, request.expire)

    def _next_address(self) -> str:
        try:
            return f"{self._prefix}{self._numbers.pop()}"
        except IndexError:
            self._numbers.extend(_NUMBERS.unpack(platform.random_bytes(_NUMBERS.size)))
            return f"{self._prefix}{self._numbers.pop()}"

    def asked_here(self, reply_to: str) -> RequestInFlight | None:
        """Return the request of `request_here` that waits for an answer at this address, if any."""
        request = self._pending.get(reply_to)
        if request is None or not request.is_here or request.answer.done():
            return None
        return request

    async def deliver(self, frame: bytes) -> None:
        """Give an answer to the request it belongs to; drop and count what is none."""
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
        if frame[2] != KIND_REPLY:
            self._dropped("no reply, at a reply address", frame)
            return True
        if request is None or request.answer.done():
            self._dropped("reply without a request", frame)
            return True
        if not frame.startswith(request.asked, _NODE_AT):
            self._dropped("reply from another node than the asked one", frame)
            return True
        request.take(frame)
        return True

    def fail_requests_to(self, address: str, reason: str) -> None:
        """Fail the requests in flight to an address with an OutcomeUnknownError.

        Args:
            address: as it was given to `request`.
            reason: what is known; some of them may have arrived all the same.
        """
        for request in self._pending.values():
            if request.address == address:
                request.fail(OutcomeUnknownError(reason))

    def close(self, reason: str = "the transport stopped while the request was in flight") -> None:
        """Fail every request in flight, those that are still being handed over included."""
        if self._shared_timer is not None:
            self._shared_timer.cancel()
            self._timed_in = self._shared_timer = None
        for request in self._pending.values():
            request.fail(NotConnectedError(reason))
