"""Routes: the ways from this node to the agents of others, with their windows and their waiters."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from civitas._bus.windows import WINDOW, SendWindow
from civitas.errors import MailboxFullError, MessageRoutingError, NotConnectedError

LATE_REPLY_GRACE: Final = 1.0
"""Seconds that answers may take after the news, on another way, that who gives them is done."""

_REMEMBERED: Final = 10_000
"""Names that have gone and of which is known why, at most."""


class Route:
    """The way to one agent of another node.

    Args:
        name: the agent's name.
        node: the id of the node that hosts it, in hex.
        process: that node's process name, for messages.
        windowed: whether frames are numbered and wait for credit.
    """

    __slots__ = (
        "_asks",
        "_closed",
        "_paused",
        "_waiters",
        "_watchers",
        "name",
        "node",
        "process",
        "told_at",
        "window",
    )

    def __init__(self, name: str, node: str, process: str, *, windowed: bool = True) -> None:
        self.name = name
        self.node = node
        self.process = process
        self.window = SendWindow(WINDOW) if windowed else None
        self.told_at = 0
        """The credit at the last look: a window that stands still is told of."""
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._asks: set[_Ask] = set()
        self._watchers: list[asyncio.Future[None]] = []
        self._closed: str | None = None
        self._paused = False

    async def number(self, timeout: float | None) -> int:
        """Return the number of the next frame (0 where none are numbered), once there is credit.

        Args:
            timeout: seconds to wait for credit; None for no limit.

        Raises:
            MailboxFullError: there was none in time.
            MessageRoutingError: the agent left meanwhile.
        """
        window = self.window
        if self._closed is not None:
            raise MessageRoutingError(self._closed)
        if window is None:
            return 0
        if not self._waiters and not self._paused:
            number = window.take()
            if number:
                return number
        return await self._wait(window, timeout)

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

    def credit(self, upto: int) -> None:
        """Take note of what the receiver has accounted for, and let waiting senders go on."""
        if self.window is not None and self.window.credit(upto):
            self._wake()
            self._tell_watchers()

    async def settled(self) -> None:
        """Return when all frames are accounted for at the other end.

        Raises:
            MessageRoutingError: the way was closed meanwhile.
        """
        while self.window is not None and self.window.outstanding:
            if self._closed is not None:
                raise MessageRoutingError(self._closed)
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.append(change)
            await change

    def refuse(self, reason: str) -> None:
        """Take no more messages; those that wait for credit are refused, too."""
        self._closed = reason
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(MessageRoutingError(reason))
        self._waiters.clear()
        self._tell_watchers()

    def close(self, reason: str) -> int:
        """Refuse all that waits and end what is asked; return the frames not accounted for."""
        self.refuse(reason)
        for ask in tuple(self._asks):
            ask.interrupt()
        return self.window.outstanding if self.window is not None else 0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Within the block a request to this agent is in flight; it ends when the route closes.

        Raises:
            MessageRoutingError: the route was closed meanwhile.
        """
        if self._closed is not None:
            raise MessageRoutingError(self._closed)
        task = asyncio.current_task()
        assert task is not None
        ask = _Ask(task)
        self._asks.add(ask)
        try:
            yield
        except asyncio.CancelledError:
            if ask.interrupted and task.cancelling() - 1 <= ask.cancelled_before:
                raise MessageRoutingError(str(self._closed)) from None
            raise
        finally:
            self._asks.discard(ask)
            if ask.interrupted:  # also when the block has ended in another way meanwhile
                task.uncancel()

    @property
    def asked(self) -> bool:
        """Whether answers are awaited that came this way."""
        return bool(self._asks)

    def _tell_watchers(self) -> None:
        for change in self._watchers:
            if not change.done():
                change.set_result(None)
        self._watchers.clear()

    async def _wait(self, window: SendWindow, timeout: float | None) -> int:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        timer = None if timeout is None else loop.call_later(timeout, _give_up, waiter)
        try:
            await waiter
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
        else:
            if self._closed is not None:  # since it was woken
                raise MessageRoutingError(self._closed)
            return window.take()
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self._wake()

    def _wake(self) -> None:
        """Let the first waiting sender go on if there is credit; it wakes the next one."""
        window = self.window
        if self._paused or window is None:
            return
        if self._waiters and window.outstanding < window.size:
            first = self._waiters[0]
            if not first.done():
                first.set_result(None)


class _Ask:
    """A request in flight, which is interrupted in the way of `asyncio.timeout`."""

    __slots__ = ("cancelled_before", "interrupted", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.cancelled_before = task.cancelling()
        self.interrupted = False

    def interrupt(self) -> None:
        if not self.interrupted:
            self.interrupted = True
            self.task.cancel()


class _Gone(NamedTuple):
    """Why there is no way to an agent any more, and whether the agent has ended for good."""

    reason: str
    done: bool


class Routes:
    """The ways to all agents of other nodes, and those who wait for one to be found.

    A name that a topology tells of, or any name while nodes still find each other, may appear in
    a moment, so a sender waits for it; a name that was there and went is an error at once.

    Args:
        durable: whether the transport keeps messages for agents that are away.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.durable = durable
        self.discovering = False
        """Whether a name that nobody has told of may still turn up."""
        self.expected: dict[str, str] = {}
        """Agents of other processes that the topology tells of, with their process names."""
        self._routes: dict[str, Route] = {}
        self._retired: list[Route] = []
        self._gone: dict[str, _Gone] = {}
        self._waiting: dict[str, list[asyncio.Future[Route]]] = {}

    def __iter__(self) -> Iterator[Route]:
        """Go through the routes there are."""
        return iter(list(self._routes.values()))

    def get(self, name: str) -> Route | None:
        """Return the way to an agent, or None."""
        return self._routes.get(name)

    def keeps(self, name: str) -> bool:
        """Return whether a message for an agent to which there is no way is kept until it comes.

        So it is over a durable transport for an agent that the topology tells of, and for one
        whose node has gone or goes; not for one that has said that it is done.
        """
        if not self.durable:
            return False
        gone = self._gone.get(name)
        return name in self.expected if gone is None else not gone.done

    async def find(
        self, name: str, timeout: float | None, unknown: Callable[[], MessageRoutingError]
    ) -> Route:
        """Return the way to an agent, awaiting it where it may be found in a moment.

        Args:
            name: the agent's name.
            timeout: seconds to wait at most; None for no limit.
            unknown: makes the error for a name that nobody knows.

        Raises:
            MessageRoutingError: there is no such agent, or it was not found in time.
        """
        route = self._routes.get(name)
        if route is not None:
            return route
        if name in self._gone:
            raise MessageRoutingError(self._gone[name].reason)
        process = self.expected.get(name)
        if process is None and not self.discovering:
            raise unknown()
        found: asyncio.Future[Route] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(found)
        try:
            async with asyncio.timeout(timeout):
                return await found
        except TimeoutError:
            raise MessageRoutingError(
                f"agent {name!r} was not found within {timeout:g} s; "
                + (f"is its process {process!r} started?" if process else "is it started?")
            ) from None
        except _NotFoundError:
            raise unknown() from None
        finally:
            waiting = self._waiting[name]
            waiting.remove(found)
            if not waiting:
                self._waiting.pop(name, None)

    async def settled(self, name: str) -> None:
        """Return when all frames to an agent are accounted for at the other end.

        Raises:
            MessageRoutingError: the way was closed meanwhile.
        """
        route = self._routes.get(name)
        if route is not None:
            await route.settled()
        elif not self.keeps(name):
            gone = self._gone.get(name)
            raise MessageRoutingError(gone.reason if gone else f"there is no way to {name!r}")

    def add(self, route: Route) -> None:
        """Open a way to an agent."""
        self._routes[route.name] = route
        self._gone.pop(route.name, None)
        for found in self._waiting.get(route.name, ()):
            if not found.done():
                found.set_result(route)

    def retire(self, name: str, reason: str, *, done: bool = True) -> None:
        """Send no more that way; what is asked already may still be answered.

        Args:
            name: the agent's name.
            reason: what those hear who still send.
            done: whether the agent has ended for good; else its node stops.
        """
        route = self._routes.pop(name)
        self._remember(name, reason, done=done)
        self._retired = [each for each in (*self._retired, route) if each.asked]
        route.refuse(reason)

    def remove(self, route: Route, reason: str) -> int:
        """Close a way; return the frames on it that are not accounted for."""
        if self._routes.get(route.name) is route:
            del self._routes[route.name]
            self._remember(route.name, reason, done=False)
        elif route in self._retired:
            self._retired.remove(route)
        return route.close(reason)

    def done(self, name: str, reason: str) -> None:
        """Take note that an agent to which there is no way has ended for good."""
        if name not in self._routes:
            self._remember(name, reason, done=True)

    def of(self, node: str) -> list[Route]:
        """Return all ways to a node, those included by which only answers are awaited."""
        return [route for route in (*self._routes.values(), *self._retired) if route.node == node]

    def end(self, reason: str) -> None:
        """Close all ways, and tell those who wait for one; a node that starts anew starts clean."""
        for route in (*self._routes.values(), *self._retired):
            route.close(reason)
        self._routes.clear()
        self._retired.clear()
        self._gone.clear()
        self.discovering = False
        for waiting in self._waiting.values():
            for found in waiting:
                if not found.done():
                    found.set_exception(MessageRoutingError(reason))

    def _remember(self, name: str, reason: str, *, done: bool) -> None:
        """Keep why a name has gone, for the errors of those who still use it."""
        self._gone.pop(name, None)
        self._gone[name] = _Gone(reason, done)
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]

    def discovered(self) -> None:
        """Take note that nobody else will turn up unannounced."""
        self.discovering = False
        for name, waiting in self._waiting.items():
            if name not in self.expected:
                for found in waiting:
                    if not found.done():
                        found.set_exception(_NotFoundError())


class _NotFoundError(Exception):
    """Nobody has the name that a sender waits for."""


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
