"""Receive accounting: frames of other nodes are counted into mailboxes, and credit is returned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from struct import Struct
from typing import Final

from civitas._bus.mailbox import Mailbox
from civitas._bus.windows import ReceiveWindow
from civitas.envelope import KIND_SYSTEM, MAGIC

_NODE: Final = slice(4, 12)
_NUMBER_AT: Final = 16
_SHORTEST: Final = 27
_number: Final = Struct(">Q").unpack_from


class ReceiveAccounting:
    """The receiving side of all pairs of (sender node, agent of this node).

    Args:
        grant: called with (node id, agent, number) to return credit up to that number.
        told: called with (node id, agent, frames) when frames turn out to be lost.
    """

    def __init__(
        self,
        grant: Callable[[bytes, str, int], None],
        told: Callable[[bytes, str, int], None],
    ) -> None:
        self._grant = grant
        self._told = told
        self._ledgers: dict[tuple[bytes, str], ReceiveWindow] = {}
        self._counted: set[bytes] = set()
        self.lost: Counter[str] = Counter()
        """Frames that never came, by agent."""

    def begin(self, node: bytes, *, fresh: bool) -> None:
        """Count what a node sends from now on: its probe has come, which precedes its numbers.

        What came before was numbered for another node that had the name of this one's agent.

        Args:
            node: the sender's id.
            fresh: whether the sender begins its numbers anew.
        """
        if fresh:
            self.forget(node)
        self._counted.add(node)

    def arrived(self, frame: bytes, number: int, agent: str) -> None:
        """Account for a numbered frame that a mailbox has taken."""
        node = frame[_NODE]
        if node not in self._counted:
            return
        ledger = self._ledger(node, agent)
        lost = ledger.arrived(number)
        if lost:
            self._count(node, agent, lost)
        if ledger.due:
            self._grant(node, agent, ledger.grant())

    def ended_at(self, frame: bytes, agent: str) -> None:
        """Account for a sender's word of what its last number was, and answer it with credit."""
        node = frame[_NODE]
        if node not in self._counted:
            return
        ledger = self._ledger(node, agent)
        lost = ledger.told(_number(frame, _NUMBER_AT)[0])
        if lost:
            self._count(node, agent, lost)
        self._grant(node, agent, ledger.grant())

    def settle(self) -> None:
        """Return all credit that is owed: this node leaves."""
        for (node, agent), ledger in self._ledgers.items():
            if ledger.seen != ledger.granted:
                self._grant(node, agent, ledger.grant())

    def forget(self, node: bytes) -> None:
        """Forget the pairs of a node that has gone."""
        self._counted.discard(node)
        for pair in [pair for pair in self._ledgers if pair[0] == node]:
            del self._ledgers[pair]

    def _ledger(self, node: bytes, agent: str) -> ReceiveWindow:
        pair = (node, agent)
        ledger = self._ledgers.get(pair)
        if ledger is None:
            ledger = self._ledgers[pair] = ReceiveWindow()
        return ledger

    def _count(self, node: bytes, agent: str, lost: int) -> None:
        self.lost[agent] += lost
        self._told(node, agent, lost)


class Receiver:
    """The handler of one agent's address where other nodes can reach it.

    Args:
        agent: the agent's name.
        mailbox: takes the frames.
        accounting: counts those of other nodes.
        send_timeout: seconds that a frame without a number waits for room.
    """

    __slots__ = ("_accounting", "_agent", "_mailbox", "_send_timeout", "delivered")

    def __init__(
        self,
        agent: str,
        mailbox: Mailbox[bytes],
        accounting: ReceiveAccounting,
        send_timeout: float,
    ) -> None:
        self._agent = agent
        self._mailbox = mailbox
        self._accounting = accounting
        self._send_timeout = send_timeout
        self.delivered = 0

    def take(self, frame: bytes) -> bool:
        """Put a frame into the mailbox without waiting, or return False."""
        if _is_none(frame):
            return self._taken(frame)
        if frame[2] == KIND_SYSTEM:
            self._accounting.ended_at(frame, self._agent)
            return True
        if not self._taken(frame):
            return False
        number = _number(frame, _NUMBER_AT)[0]
        if number:
            self._accounting.arrived(frame, number, self._agent)
        return True

    async def __call__(self, frame: bytes) -> None:
        """Put a frame into the mailbox, waiting for room.

        A numbered frame waits as long as it takes: its sender has let go of it, and its window
        bounds how many can wait.
        """
        if self.take(frame):
            return
        number = 0 if _is_none(frame) else _number(frame, _NUMBER_AT)[0]
        await self._mailbox.put(frame, None if number else self._send_timeout)
        self.delivered += 1
        if number:
            self._accounting.arrived(frame, number, self._agent)

    def _taken(self, frame: bytes) -> bool:
        if not self._mailbox.put_nowait(frame):
            return False
        self.delivered += 1
        return True


def _is_none(frame: bytes) -> bool:
    """Return whether it is a body without a frame, of a transport with a reply scheme of its own.

    It bears no number; what is neither is refused where it is read.
    """
    return len(frame) < _SHORTEST or frame[0] != MAGIC
