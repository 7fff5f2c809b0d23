"""WaitForGraph: which agents of this node wait for whose answer, so that a ring of asks is told.

Theory. An agent handles its messages in its *consumers*, tasks: one, or several at once. While a
consumer awaits an ask, it does nothing else. So the graph has an edge from a consumer to the agent
that it asks, from the call of `ask` until it is over. Asks of other tasks (a runtime's caller, a
task that a handler has started, the parts of an `asyncio.gather`) hold up no consumer, as far as
anybody can know: theirs are edges that lead from no agent, and are never followed.

    an edge counts while its request                 | known by
    -------------------------------------------------+----------------------------------------
    has no answer, and stayed within the process     | the reply inbox, which has it at once
    has no answer, and went as a frame               | `open`: none has begun to be sent
    was not deferred: another task may answer it     | `deferred`, or `open`

The rule: an ask of a consumer is refused with AskDeadlockError if whoever is reached from the
asked agent is stuck: each of its consumers has an edge that counts, to an agent of this node, or
is the one that asks now; and that one is reached.

Why it is right. Let S be all agents that are reached. What frees one of their consumers is the
answer to its ask alone. That is given by the consumers of an agent in S, which has the request in
its mailbox (then nobody else has seen it) or in hand (then it was not deferred). So the first
answer to any of S would come from a consumer that is stuck before it: there is no first one, and
only timeouts and ends of agents are left. It does not matter in which order the requests were
sent, nor what stands before them in the mailboxes. Conversely, where the rule does not hold, a
consumer can go on, or a request may be answered by another task: the ask is let through. Edges
are made and followed in one thread, without an await in between. So of those who close a ring
exactly one is the last, and that one is refused.

An ask of an agent of another node is no edge, since what that agent does is not known here. When
its time is over, `blocked` follows who waits for whom from node to node, which takes a question to
each (`elsewhere`). The error says what was found, and whether it came back to the asker.

    after an ask's time is over, the asked agent is   | the error says
    --------------------------------------------------+---------------------------------------------
    in hand of an ask of its own                      | for how long, and whom it asks; then the
                                                      | same of that one, and so on
    ... and that comes to an agent seen before        | that they ask each other in a ring
    not so, or its node does not answer at once       | nothing more

One way is not foreseen: a handler passes the reply address of the message in its hand to another
task, which answers by hand while the handler itself asks who asked it. `defer` is for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from civitas import _platform as platform
from civitas._bus.local_delivery import LocalDelivery
from civitas._bus.routes import LocalRoute, RemoteRoute
from civitas.errors import AskDeadlockError, MessageRoutingError
from civitas.messages import Message, name_problem
from civitas.registry import RoutingEntry
from civitas.transport import Transport

Consumer = asyncio.Task[Any]

_LONG: Final = 1.0
"""Seconds that an ask has to have waited before other nodes are asked why."""

_SEARCH: Final = 0.1
"""Seconds that it may take longer for that."""

_MOST_AGENTS: Final = 8
"""Agents after which a chain of asks is followed no further."""

_MOST_SEARCHES: Final = 8
"""Asks at once for which other nodes are asked."""


class Wait(NamedTuple):
    """For whom an agent waits, and for how many seconds."""

    asked: str
    seconds: float


class WaitForGraph:
    """The asks in flight from tasks of this node; `lookup` returns the route to an agent."""

    __slots__ = (
        "_delivery",
        "_has_reply_address",
        "_lookup",
        "_searches",
        "asks",
        "asks_far",
        "deferred",
        "elsewhere",
        "open",
    )

    def __init__(self, lookup: Callable[[str], RoutingEntry | None]) -> None:
        self._lookup = lookup
        self.asks: Final[dict[Consumer | None, tuple[LocalRoute, Message]]] = {}
        """What each task has asked. The bus writes here, since a call would cost each ask."""
        self.asks_far: Final[dict[Consumer | None, Message]] = {}
        """What each task has asked an agent of another node."""
        self.elsewhere: Callable[[str, None, str], Awaitable[Mapping[str, Any]]] | None = None
        """Returns what `told` of another node, given by its id, says of an agent there."""
        self._searches = 0
        self.open: Final[set[str | None]] = set()
        """Ids of the requests that went as frames, and whose answers have not begun to be sent."""
        self.deferred: Final[set[str]] = set()
        """Reply addresses of the messages that are set aside."""

    def identify(self, delivery: LocalDelivery | None, transport: Transport) -> None:
        """Ask these about reply addresses from now on."""
        self._delivery = delivery
        self._has_reply_address = transport.has_reply_address

    def check(self, asker: Consumer | None, asked: LocalRoute) -> None:
        """Let a task ask an agent, unless that closes a ring.

        Raises:
            AskDeadlockError: nobody in the ring could ever answer.
        """
        ring = self._ring(asker, asked)
        if ring is not None:
            raise AskDeadlockError(ring)

    def answered(self, reply: Message) -> None:
        """Take note that an answer is about to be sent as a frame.

        Its handler may have made anything of its fields; then it will be refused.
        """
        if self.open and isinstance(reply.recipient, str):
            id = reply.correlation_id
            self._close(id if isinstance(id, str) else None, reply.recipient)

    def set_aside(self, request: Message) -> None:
        """Take note that the answer to a message may come from any task: it was deferred."""
        if request.reply_to is not None:
            if self.open:
                self._close(request.id, request.reply_to)
            self.deferred.add(request.reply_to)

    def settled(self, request: Message) -> None:
        """Take note that a message which was set aside is settled."""
        if request.reply_to is not None:
            self.deferred.discard(request.reply_to)

    def wait_of(self, route: RoutingEntry | None) -> Wait | None:
        """Return for whom an agent of this node waits, None for nobody; in any thread."""
        if not isinstance(route, LocalRoute):
            return None
        for consumer in route.mailbox.consumers:
            ask, far = self.asks.get(consumer), self.asks_far.get(consumer)
            if ask is not None and self._counts(ask[1]):
                return _wait(ask[1])
            if far is not None:
                return _wait(far)
        return None

    def told(self, agent: str) -> Mapping[str, Any]:
        """Return for whom an agent of this node waits, for other nodes; in any thread."""
        wait = self.wait_of(self._lookup(agent))
        return {} if wait is None else wait._asdict()

    async def blocked(self, message: Message, timeout: float | None) -> str:
        """Say for whom the asked agent itself waits, to go on after an error; "" for nobody.

        Args:
            message: the ask whose time is over.
            timeout: how long it has waited, in seconds.
        """
        found: list[tuple[str, Wait]] = []
        asker, own = message.sender, self._lookup(message.sender)
        holds_up = isinstance(own, LocalRoute) and asyncio.current_task() in own.mailbox.consumers
        seen = {asker} if holds_up else set()
        far = timeout is not None and timeout >= _LONG and self._searches < _MOST_SEARCHES
        self._searches += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SEARCH):
                    agent = message.recipient
                    while agent not in seen and len(found) < _MOST_AGENTS:
                        seen.add(agent)
                        wait = await self._wait_anywhere(agent, far=far)
                        if wait is None:
                            break
                        found.append((agent, wait))
                        agent = wait.asked
        finally:
            self._searches -= 1
        return _told(found, seen)

    async def _wait_anywhere(self, agent: str, *, far: bool) -> Wait | None:
        route = self._lookup(agent)
        if not (far and self.elsewhere is not None and isinstance(route, RemoteRoute)):
            return self.wait_of(route)
        with suppress(MessageRoutingError):  # the node has gone
            told = await self.elsewhere(route.node, None, agent)
            asked, seconds = told.get("asked"), told.get("seconds")
            if isinstance(asked, str) and isinstance(seconds, float) and not name_problem(asked):
                return Wait(asked, seconds)
        return None

    def _ring(self, asker: Consumer | None, asked: LocalRoute) -> tuple[str, ...] | None:
        """Return the names of a ring that an ask would close, if that makes a deadlock."""
        came_from: dict[str, str | None] = {asked.name: None}  # None: from who asks
        to_visit = [asked]
        last: str | None = None
        while to_visit:
            route = to_visit.pop()
            if route.mailbox.closed:
                return None
            for consumer in route.mailbox.consumers or (None,):
                if consumer is asker:
                    last = route.name
                    continue
                ask = self.asks.get(consumer)
                if ask is None or not self._counts(ask[1]):
                    return None
                if ask[0].name not in came_from:
                    came_from[ask[0].name] = route.name
                    to_visit.append(ask[0])
        return None if last is None else _path(came_from, last)

    def _counts(self, request: Message) -> bool:
        """Return whether nobody but a consumer of the asked agent can answer a request."""
        reply_to = request.reply_to
        if reply_to is None:  # of a frame, only who has it knows that
            return request.id in self.open
        if reply_to in self.deferred or self._delivery is None:
            return False
        return self._delivery.is_unanswered(reply_to)

    def _close(self, id: str | None, reply_to: str) -> None:
        if id in self.open:
            self.open.discard(id)
        elif reply_to not in self.deferred and self._has_reply_address(reply_to):
            self.open.clear()  # made by hand, it does not say which it answers: it may be any


def _wait(request: Message) -> Wait:
    return Wait(request.recipient, max(platform.wall() - request.timestamp, 0.0))


def _told(found: Sequence[tuple[str, Wait]], seen: Container[str]) -> str:
    """Return what an error says of a chain of agents that wait, each with its wait."""
    text = ""
    for agent, wait in found:
        begin = "; {!r} itself has waited" if not text else ", and {!r}"
        middle = "for an answer of" if not text else "for one of"
        text += f"{begin.format(agent)} {wait.seconds:.3g} s {middle} {wait.asked!r}"
    if found and len(found) < _MOST_AGENTS and found[-1][1].asked in seen:
        text += ": they ask each other in a ring"
    return text


def _path(came_from: Mapping[str, str | None], last: str) -> tuple[str, ...]:
    """Return the way from an agent over the one that it asks back to itself."""
    path = [last]
    before = came_from[last]
    while before is not None:
        path.append(before)
        before = came_from[before]
    path.append(last)
    return tuple(reversed(path))
