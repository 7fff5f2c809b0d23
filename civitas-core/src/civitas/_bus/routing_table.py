"""RoutingTable: the routes to all agents, and the senders that wait for one to appear.

Theory. A name is in one of these states, and only the registry's entries say which agents there
are. What is not there any more is remembered with the reason, for the errors of those who send.

    state      | has                     | a sender                       | leaves it by
    -----------+-------------------------+--------------------------------+-----------------------
    local      | a LocalRoute            | sends                          | detach -> absent
    remote     | a RemoteRoute           | sends, or waits for credit     | retire, suspend, remove
               |                         |                                | -> gone
    expected   | a name in `expected`    | waits, at most its timeout     | add -> remote
    gone       | a reason                | fails at once, with the reason | add -> remote
    absent     | nothing                 | fails; waits while discovering | add -> remote

Over a durable transport a message for a name that is expected or gone is kept until its agent
comes (`keeps`), unless the agent has said that it is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Container
from typing import Final, NamedTuple

from civitas._bus.routes import LATE_REPLY_GRACE, RemoteRoute, Route
from civitas.errors import MessageRoutingError, OutcomeUnknownError
from civitas.registry import LocalRegistry

_REMEMBERED: Final = 10_000
"""Names that have gone and of which is known why, at most."""


class _Gone(NamedTuple):
    """Why there is no route to an agent any more, and whether the agent has ended for good."""

    reason: str
    done: bool
    lost: bool = False
    """Whether some of what was sent there was not accounted for."""


class RoutingTable:
    """The routes of one node, kept as entries of its registry.

    A `durable` transport keeps messages for agents that are away.
    """

    def __init__(self, registry: LocalRegistry, *, durable: bool = False) -> None:
        self.registry = registry
        self.durable = durable
        self.discovering = False
        """Whether a name that nobody has announced may still turn up."""
        self.expected: dict[str, str] = {}
        """Agents of other processes that the topology names, with their process names."""
        self._retired: dict[tuple[str, str], RemoteRoute] = {}
        self._late: deque[asyncio.TimerHandle] = deque()
        self.on_lost: Callable[[RemoteRoute, str], None] | None = None
        """Called with a route, and why, whose frames nobody will account for any more."""
        self._gone: dict[str, _Gone] = {}
        self._waiting: dict[str, list[asyncio.Future[RemoteRoute]]] = {}

    def remote(self) -> list[RemoteRoute]:
        return [each for each in self.registry.entries.values() if isinstance(each, RemoteRoute)]

    def get(self, name: str) -> RemoteRoute | None:
        entry = self.registry.entries.get(name)
        return entry if isinstance(entry, RemoteRoute) else None

    def of(self, node: str) -> list[RemoteRoute]:
        """Return all routes to a node, those included by which nothing more is sent."""
        return [route for route in (*self.remote(), *self.retired()) if route.node == node]

    def retired(self) -> list[RemoteRoute]:
        """Return the routes by which only replies, or credit, are awaited."""
        over = [key for key, each in self._retired.items() if not each.awaits]
        for key in over:
            del self._retired[key]
        return list(self._retired.values())

    def to(self, node: str, name: str) -> RemoteRoute | None:
        """Return the route to an agent of a node, also one by which nothing more is sent."""
        route = self.get(name)
        if route is not None and route.node == node:
            return route
        return self._retired.get((node, name))

    def keeps(self, name: str) -> bool:
        """Return whether a message for an agent to which there is no route is kept for it."""
        if not self.durable:
            return False
        gone = self._gone.get(name)
        return name in self.expected if gone is None else not gone.done

    async def find(self, name: str, timeout: float | None) -> RemoteRoute:
        """Return the route to an agent of another node, awaiting it where it may yet appear.

        It waits at most `timeout` seconds; None for no limit.

        Raises:
            MessageRoutingError: there is no such agent, or it was not found in time.
        """
        route = self.get(name)
        if route is not None:
            return route
        if name in self._gone:
            raise MessageRoutingError(self._gone[name].reason)
        process = self.expected.get(name)
        if process is None and not self.discovering:
            raise MessageRoutingError(self._unknown(name))
        found: asyncio.Future[RemoteRoute] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(found)
        try:
            async with asyncio.timeout(timeout):
                return await found
        except TimeoutError:
            raise MessageRoutingError(
                f"agent {name!r} was not found within {timeout:g} s; "
                + (f"is its process {process!r} started?" if process else "is it started?")
            ) from None
        finally:
            waiting = self._waiting[name]
            waiting.remove(found)
            if not waiting:
                del self._waiting[name]

    async def delivered(self, name: str) -> None:
        """Return when all frames to an agent are accounted for at the other end.

        Raises:
            OutcomeUnknownError: the other end has gone before.
            MessageRoutingError: there is no such agent.
        """
        route = self.get(name) or next((r for r in self.retired() if r.name == name), None)
        if route is not None:
            await route.delivered()
            return
        gone = self._gone.get(name)
        if gone is not None and gone.lost:
            raise OutcomeUnknownError(f"{gone.reason}; what was sent may have been handled")
        if gone is None and not self.keeps(name):
            raise MessageRoutingError(f"there is no route to {name!r}")

    # --- changes ------------------------------------------------------------------------------

    def add(self, route: RemoteRoute) -> None:
        """Add the route to an agent of another node, and let those go on who wait for it."""
        self.registry.add(route)
        self._gone.pop(route.name, None)
        for found in self._waiting.get(route.name, ()):
            if not found.done():
                found.set_result(route)

    def retire(
        self, route: RemoteRoute, reason: str, *, done: bool = True, may_return: bool = False
    ) -> None:
        """Send no more by a route; what was sent may still be answered, and accounted for.

        An agent that is `done` has ended for good; else its node stops. The numbers of a route that
        `may_return` are kept.
        """
        if self.registry.entries.get(route.name) is route:  # else another one has its place
            self.registry.deregister(route.name)
            self._remember(route.name, reason, done=done)
        route.refuse(reason)
        route.suspended = may_return
        if route.awaits:
            self._retired[route.node, route.name] = route

    def suspend(self, route: RemoteRoute, reason: str) -> None:
        """Send no more by a route, and fail what was asked: its node is silent, but may come back.

        What was sent is accounted for then; the numbers go on where they are.
        """
        self.retire(route, reason, done=False, may_return=True)
        route.close(reason)

    def open(self, name: str, node: str, process: str, *, windowed: bool) -> None:
        """Add the route to an agent of a node; one that was suspended goes on with its numbers."""
        route = self._retired.get((node, name))
        if route is not None and route.suspended:
            del self._retired[node, name]
            route.reopen()
        else:
            route = RemoteRoute(name, node, process, windowed=windowed)
        self.add(route)

    def close_later(self, route: Route, reason: str) -> None:
        """Fail what was asked by a route that takes no more, once the last answers are here."""
        if route.has_requests:
            loop = asyncio.get_running_loop()
            while self._late and self._late[0].when() <= loop.time():
                self._late.popleft()
            self._late.append(loop.call_later(LATE_REPLY_GRACE, route.close, reason))

    def remove(self, route: RemoteRoute, reason: str, *, lost: bool = True) -> None:
        """Close a route and fail the requests in flight on it; what is open is `lost`."""
        if lost and route.outstanding and self.on_lost is not None:
            self.on_lost(route, reason)
        if self.registry.entries.get(route.name) is route:
            self.registry.deregister(route.name)
            self._remember(route.name, reason, done=False, lost=route.outstanding > 0)
        elif self._retired.get((route.node, route.name)) is route:
            del self._retired[route.node, route.name]
            gone = self._gone.get(route.name)
            if gone is not None:
                self._remember(route.name, gone.reason, done=gone.done, lost=route.outstanding > 0)
        route.lose(reason)

    def done(self, name: str, reason: str) -> None:
        """Take note that an agent to which there is no route has ended for good."""
        if self.get(name) is None:
            self._remember(name, reason, done=True)

    def discovered(self) -> None:
        """Take note that nobody else will turn up unannounced."""
        self.discovering = False
        for name in self._waiting:
            if name not in self.expected:
                self._fail_waiting(name, self._unknown(name))

    def close(self, reason: str, accountable: Container[str] = ()) -> None:
        """Close all routes to other nodes, and fail who waits for one.

        The `accountable` nodes account for what was sent to them; with all others it is lost.
        """
        for route in (*self.remote(), *self.retired()):
            self.remove(route, reason, lost=route.node not in accountable)
        for name in self._waiting:
            self._fail_waiting(name, reason)

    def end(self, reason: str, accountable: Container[str] = ()) -> None:
        """Close all, and forget it: a node that starts anew with these parts starts clean."""
        self.close(reason, accountable)
        for timer in self._late:
            timer.cancel()
        self._late.clear()
        self._retired.clear()
        self._gone.clear()
        self.discovering = False

    def _fail_waiting(self, name: str, reason: str) -> None:
        for found in self._waiting[name]:
            if not found.done():
                found.set_exception(MessageRoutingError(reason))

    def _unknown(self, name: str) -> str:
        similar = self.registry.similar(name)
        hint = f"; did you mean {similar!r}?" if similar else ""
        return f"there is no agent called {name!r} (any more){hint}"

    def _remember(self, name: str, reason: str, *, done: bool, lost: bool = False) -> None:
        """Keep why a name has gone, for the errors of those who still use it."""
        self._gone.pop(name, None)
        self._gone[name] = _Gone(reason, done, lost)
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
