"""Leaving: an agent, or all of a node, takes no more, and nothing on its way goes without a word.

Theory. Who leaves can't know what is still on its way there; the senders can. So it says `Leaving`,
by the data transport, to each node that may send. That one sends no more, and tells the numbers of
its last frames twice: behind these frames, at the agent's own address, where all are accounted for
in order; and to the node (`LastNumber` for each agent, then `Ended`), so that the leaver knows what
to wait for.

Another node that may send, as the leaver sees it:

    state    | event                                       | becomes
    ---------+---------------------------------------------+----------------------------------------
    asked    | `RESEND` seconds pass                       | asked: it is told again
             | `Ended`                                     | counting
             | it goes, or `TIMEOUT` seconds pass          | over: it counts as lost what is open
    counting | all up to its last numbers is accounted for | over
             | it goes, or `TIMEOUT` seconds pass          | over: what waits for room is not lost

A route, as the sender sees it:

    state    | event                                       | becomes
    ---------+---------------------------------------------+----------------------------------------
    open     | `Leaving`                                   | doubted: refuses sends; each look says
             |                                             | `Ended` again
             | the announcement of the same                | retired: refuses sends
    doubted  | the announcement of the same                | retired
             | `Staying`: the node has never said that     | open: the numbers go on
    retired  | credit for all, and no request in flight    | forgotten
             | no credit for a while                       | retired: its last number is told again
             | the node goes                               | forgotten: what is open counts as lost

`Leaving` alone closes no route for good: whoever can write to a node can say so in the name of
another. That one announces the same by the control plane, or hears `Ended`, and objects.

A last number for an agent that is not there any more is accounted for at once: what has not come by
then never will.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from typing import Final

from civitas._cluster.protocol import DataMessage, Leaving

RESEND: Final = 0.25
"""Seconds after which a node that has not answered is told again."""

TIMEOUT: Final = 2.0
"""Seconds that the others have to answer, and what they have sent has to come."""

ALL: Final = ""
"""Stands, where an agent is named, for all agents of a node."""


class _Departure:
    """One handshake of the leaver with all others."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        """The nodes that send no more."""
        self.missing: dict[tuple[str, str], int] = {}
        """The last number of each (node, agent) that is not accounted for yet."""
        self._change = asyncio.Event()

    def changed(self) -> None:
        self._change.set()

    async def change(self, timeout: float) -> None:
        """Return when something has changed, or after `timeout` seconds."""
        self._change.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._change.wait()


class LeaveHandshake:
    """The handshakes of one node as the one that leaves.

    Args:
        send: sends a message to a node.
        seen: returns the highest number of (node, agent) that is accounted for.
    """

    def __init__(
        self, send: Callable[[str, DataMessage], None], seen: Callable[[str, str], int]
    ) -> None:
        self._send = send
        self._seen = seen
        self._departures: dict[str, _Departure] = {}

    async def leave(
        self, agent: str, nodes: Callable[[], Iterable[str]]
    ) -> tuple[list[str], list[str]]:
        """Have nodes send no more to an agent, or to `ALL`, and account for what they have sent.

        Args:
            agent: who leaves.
            nodes: returns the nodes that may send, as long as they are there.

        Returns the nodes that did not answer in time, and those of which not all is accounted for.
        """
        departure = self._departures[agent] = _Departure()
        now = asyncio.get_running_loop().time
        deadline, say_at = now() + TIMEOUT, -inf
        try:
            while True:
                silent = [node for node in nodes() if node not in departure.ended]
                late = list(dict.fromkeys(node for node, _ in departure.missing))
                if not (silent or late) or now() >= deadline:
                    return silent, late
                if silent and now() >= say_at:
                    for node in silent:
                        self._send(node, Leaving(agent))
                    say_at = now() + RESEND
                await departure.change((min(say_at, deadline) if silent else deadline) - now())
        finally:
            del self._departures[agent]

    def is_leaving(self, agent: str) -> bool:
        """Return whether an agent leaves by itself."""
        return agent in self._departures

    def last_number(self, node: str, agent: str, number: int) -> None:
        """Take note of the number of the last frame of a node to an agent."""
        for departure in self._of(agent):
            if self._seen(node, agent) < number:
                departure.missing[node, agent] = number

    def accounted(self, node: str, agent: str, number: int) -> None:
        """Take note that the frames of a node to an agent are accounted for up to a number."""
        for departure in self._of(agent):
            if departure.missing.get((node, agent), inf) <= number:
                del departure.missing[node, agent]
                if not departure.missing:
                    departure.changed()

    def ended(self, node: str, agent: str) -> None:
        """Take note that a node sends no more to an agent, or to `ALL`."""
        departure = self._departures.get(agent)
        if departure is not None:
            departure.ended.add(node)
            departure.changed()

    def node_lost(self, node: str) -> None:
        """Wait for a node no longer: it has gone."""
        for departure in self._departures.values():
            for pair in [pair for pair in departure.missing if pair[0] == node]:
                del departure.missing[pair]
            departure.changed()

    def _of(self, agent: str) -> list[_Departure]:
        if not self._departures:
            return []
        both = (self._departures.get(agent), self._departures.get(ALL))
        return [each for each in both if each is not None]
