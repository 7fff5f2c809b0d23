"""Routes: how this node reaches one agent: by its mailbox here, or by a window to another node.

A sender waits for room in two places: for its own process' agents in `mailbox`, for those of other
nodes here, for credit (`windows` has the arithmetic of it).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self

from civitas._bus.mailbox import Item, Mailbox, has_entered
from civitas._bus.wait_queue import WaitQueue
from civitas._bus.windows import WINDOW, SendWindow
from civitas.errors import (
    MailboxFullError,
    MessageRoutingError,
    NotConnectedError,
    OutcomeUnknownError,
)
from civitas.messages import LocalMessage
from civitas.registry import RoutingEntry
from civitas.transport import Handler
from civitas.transport.interruption import Interruption

LATE_REPLY_GRACE: Final = 1.0
"""Seconds that replies may take after the news, on another path, that their agent has ended."""


class Receiver(Protocol):
    """Puts frames into one agent's mailbox; `handler` is that of the agent's address."""

    delivered: int

    @property
    def handler(self) -> Handler: ...


class Route(RoutingEntry):
    """The way to one agent, with the requests that are in flight on it."""

    __slots__ = ("_closed", "_requests")

    def __init__(self, name: str, *, is_local: bool) -> None:
        super().__init__(name, name, is_local)
        self._closed: str | None = None
        self._requests: dict[Interruption, None] = {}  # in order, unlike a set

    @property
    def has_requests(self) -> bool:
        return bool(self._requests)

    def refuse(self, reason: str) -> None:
        """Take no more messages; replies to earlier requests may still come."""
        self._closed = reason

    def close(self, reason: str) -> None:
        """Take no more messages, and fail the requests in flight."""
        self.refuse(reason)
        for request in tuple(self._requests):
            request.interrupt()

    def requesting(self, task: asyncio.Task[Any] | None = None) -> RouteRequest:
        """Return a block in which a request to this agent is in flight, in a task: the running one.

        Raises:
            MessageRoutingError: the route is closed.
            OutcomeUnknownError: within the block, and at its end: it was closed meanwhile.
        """
        self._check_open()
        return RouteRequest(self, self._requests, task)

    def closed_meanwhile(self) -> OutcomeUnknownError:
        """Return the error of a request that was in flight when the route was closed."""
        return OutcomeUnknownError(
            f"{self._closed}; the request was under way, and may have been executed"
        )

    def _check_open(self) -> None:
        if self._closed is not None:
            raise MessageRoutingError(self._closed)


class RouteRequest(Interruption):
    """A block in which a request is in flight; it is in `requests` then, and ends with the route.

    `contextlib` would take 2 us more for each. `task` is the one that enters it, where it is known.
    """

    __slots__ = ("_requests", "_route")

    def __init__(
        self,
        route: Route,
        requests: dict[Interruption, None],
        task: asyncio.Task[Any] | None,
    ) -> None:
        super().__init__(task)
        self._route = route
        self._requests = requests

    def __enter__(self) -> Self:
        super().__enter__()
        self._requests[self] = None
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        self._requests.pop(self, None)
        if self.interrupted and super().__exit__(exc_type, exc, traceback):
            raise self._route.closed_meanwhile() from None
        return False


class LocalRoute(Route):
    """The way to an agent of this node."""

    __slots__ = ("_send_timeout", "answered", "mailbox", "receiver")

    def __init__(
        self, mailbox: Mailbox[Item], receiver: Receiver, send_timeout: float = inf
    ) -> None:
        super().__init__(mailbox.name, is_local=True)
        self._send_timeout = send_timeout
        self.mailbox = mailbox
        self.receiver = receiver
        self.answered = ""
        """The reply address of the last answer that the agent has sent by itself."""

    def put(self, item: LocalMessage) -> Awaitable[None] | None:
        """Put a message of this process into the mailbox; where it has to wait, return the wait.

        Raises:
            MessageRoutingError: the mailbox is closed.
        """
        if not self.mailbox.put_nowait(item):
            return self.wait(item)
        self.receiver.delivered += 1
        return None

    async def wait(self, item: LocalMessage) -> None:
        """Put a message into the mailbox, waiting for room.

        Raises:
            MailboxFullError: there was none in time.
            MessageRoutingError: the mailbox is closed.
        """
        try:
            await self.mailbox.put(item, self._send_timeout)
        except asyncio.CancelledError as error:
            self.receiver.delivered += has_entered(error)
            raise
        self.receiver.delivered += 1


class RemoteRoute(Route):
    """The way to an agent of another node.

    `node` is that node's id in hex, `process` its process name, for messages. Where the route is
    `windowed`, frames are numbered and wait for credit.
    """

    __slots__ = (
        "_lost",
        "_paused",
        "_waiters",
        "_watchers",
        "credit_seen",
        "node",
        "process",
        "suspended",
        "window",
    )

    def __init__(self, name: str, node: str, process: str, *, windowed: bool = True) -> None:
        super().__init__(name, is_local=False)
        self.node = node
        self.process = process
        self.window = SendWindow(WINDOW) if windowed else None
        self.credit_seen = 0
        """The credit when it was last looked at; credit that does not move is asked for."""
        self._waiters: WaitQueue[None] = WaitQueue()
        self._watchers: list[asyncio.Future[None]] = []
        self._paused = False
        self._lost = False
        self.suspended = False
        """Whether it may come back to where the numbers are now: its node is silent, or is asked
        whether it leaves."""

    @property
    def outstanding(self) -> int:
        """Frames that the other end has not accounted for."""
        return self.window.outstanding if self.window is not None else 0

    @property
    def awaits(self) -> bool:
        """Whether replies, or credit, may still come."""
        return self.has_requests or self.outstanding > 0 or self.suspended

    def next_number(self) -> int:
        """Return the number of the next frame; 0 where `number` has to be awaited."""
        window = self.window
        if self._closed is not None or window is None or self._waiters or self._paused:
            return 0
        return window.take()

    async def number(self, timeout: float | None) -> int:
        """Return the number of the next frame (0 where none are numbered), once there is credit.

        It waits at most `timeout` seconds; None for no limit.

        Raises:
            MailboxFullError: there was none in time.
            NotConnectedError: the connection was lost, and not proved again in time.
            MessageRoutingError: the agent left meanwhile.
        """
        window = self.window
        if self._closed is not None:
            raise MessageRoutingError(self._closed)
        if window is None:
            return 0
        return self.next_number() or await self._wait(window, timeout)

    def give_back(self, number: int) -> None:
        """Take back the number of a frame that was not sent."""
        if self.window is not None and number and self.window.give_back(number):
            self._wake()

    def pause(self) -> None:
        """Let senders wait: the route is to be proved again."""
        self._paused = True

    def resume(self) -> None:
        """Let senders go on: the route is proved."""
        self._paused = False
        self._wake()

    def credit(self, upto: int) -> bool:
        """Take note of what the receiver has accounted for, and let waiting senders go on.

        Return False for a number out of reach, which changes nothing.
        """
        window = self.window
        if window is None or not window.reaches(upto):
            return False
        if window.credit(upto):
            self._wake()
            self._notify_watchers()
        return True

    async def delivered(self) -> None:
        """Return when all frames are accounted for at the other end.

        Raises:
            OutcomeUnknownError: the other end has gone before.
        """
        while self.outstanding:
            if self._lost:
                raise OutcomeUnknownError(f"{self._closed}; what was sent may have been handled")
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.append(change)
            await change

    def refuse(self, reason: str) -> None:
        """Take no more messages; those that wait for credit are refused, too."""
        super().refuse(reason)
        self._waiters.fail(partial(MessageRoutingError, reason))

    def reopen(self) -> None:
        """Take messages again, with the numbers that follow: its node is there, and stays."""
        self._closed = None
        self._paused = self.suspended = False

    def lose(self, reason: str) -> None:
        """Close: the other end has gone, so nothing more is accounted for."""
        self._lost = True
        self.close(reason)
        self._notify_watchers()

    def _notify_watchers(self) -> None:
        for change in self._watchers:
            if not change.done():
                change.set_result(None)
        self._watchers.clear()

    async def _wait(self, window: SendWindow, timeout: float | None) -> int:
        try:
            await self._waiters.wait(None, timeout)
            self._check_open()  # it may have closed since this sender was woken
            return window.take()
        except TimeoutError:
            if self._paused:
                raise NotConnectedError(
                    f"the connection to process {self.process!r} was lost, and it was not reached "
                    f"again within {timeout:g} s"
                ) from None
            raise MailboxFullError(
                f"agent {self.name!r} in process {self.process!r} took no more for {timeout:g} s: "
                f"{window.outstanding} messages from this process wait there; it handles them "
                f"slower than they come"
            ) from None
        finally:
            self._wake()

    def _wake(self) -> None:
        """Let the first waiting sender go on if there is credit; it wakes the next one."""
        window = self.window
        if not self._paused and window is not None and window.outstanding < window.size:
            self._waiters.wake()


def was_sent(error: BaseException) -> bool:
    """Return whether a frame may have arrived though its publish, or request, has failed so.

    It counts as sent, then: it is handled, or else the receiver counts it as lost.
    """
    if isinstance(error, OutcomeUnknownError) or isinstance(error.__cause__, OutcomeUnknownError):
        return True
    return isinstance(error, TimeoutError) and not isinstance(error, MailboxFullError)
