"""Mailbox: the bounded FIFO of one agent, where the senders of its own process wait for room.

The senders of other processes wait at their end, for credit: see `routes`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

from civitas._bus.wait_queue import WaitQueue
from civitas.errors import MailboxFullError, MessageRoutingError, OutcomeUnknownError
from civitas.messages import LocalMessage

T = TypeVar("T")

Item: TypeAlias = bytes | LocalMessage
"""What waits in an agent's mailbox: a frame, or a message that has not left the process."""

DEFAULT_SIZE: Final = 1000

_NOTHING: Final[deque[Any]] = deque(maxlen=0)
"""What is in every mailbox that has never had an item: an empty deque takes 760 bytes (3.11)."""

_NONE_RESERVED: Final[dict[int, object]] = {}
"""What is reserved in every mailbox whose agent has had no timer; nothing is put into it."""


def has_entered(error: asyncio.CancelledError) -> bool:
    """Return whether an item is in its mailbox though its `put` was cancelled: room came first."""
    return isinstance(error.__cause__, OutcomeUnknownError)


class Mailbox(Generic[T]):
    """A FIFO with at most `size` items, and any number of consumers and of senders.

    It outlives the agent object that drains it: a restart keeps it. Senders that find it full
    wait in order; each item enters when room is made, whether or not its sender has woken up yet.
    Consumers that find it empty wait in order, too: each item that comes wakes one of them. One
    that is cancelled after that wakes the next one, so that no item waits while a consumer does.
    Reserved items have places beside those: they need no room, and take none from the others.
    """

    __slots__ = (
        "_attended",
        "_closed",
        "_items",
        "_limit",
        "_next_wakeup",
        "_reserved",
        "_senders",
        "_wakeups",
        "concurrency",
        "consumers",
        "name",
        "size",
    )

    def __init__(self, name: str, size: int = DEFAULT_SIZE, concurrency: int = 1) -> None:
        self.name = name
        self.size = size
        self.concurrency = concurrency
        """How many consumers there are, or are to be."""
        self.consumers: Collection[asyncio.Task[None]] = ()
        """The tasks that drain this mailbox; a send of theirs can't wait for room here."""
        self._items: deque[T] = _NOTHING
        self._limit = size  # and the reserved items that are inside; 0 once it is closed
        self._reserved: dict[int, object] = _NONE_RESERVED  # by the id of each such item, its owner
        self._attended = False  # whether somebody waits for room, or reserved items are inside
        self._senders: WaitQueue[T] | None = None  # most mailboxes are never full
        self._next_wakeup: asyncio.Future[None] | None = None
        self._wakeups: deque[asyncio.Future[None]] = _NOTHING  # of further consumers that wait
        self._closed: str | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def pending(self) -> int:
        """How many items are inside or wait to enter."""
        return len(self._items) + (len(self._senders) if self._senders else 0)

    @property
    def closed(self) -> bool:
        """Whether it takes no more items."""
        return self._closed is not None

    def put_nowait(self, item: T) -> bool:
        """Put the item in and return True, or return False when there is no room.

        Raises:
            MessageRoutingError: the mailbox is closed, for the reason that it was closed with.
        """
        items = self._items
        if len(items) >= self._limit:
            if self._closed is not None:
                raise MessageRoutingError(self._closed)
            return False
        if items is _NOTHING:
            items = self._items = deque()
        items.append(item)
        wakeup = self._next_wakeup
        if wakeup is not None:
            if self._wakeups:
                self._wake_next(wakeup)
            else:  # as `_wake_next` does it, without a call: most agents have one consumer
                self._next_wakeup = None
                if not wakeup.done():
                    wakeup.set_result(None)
        return True

    async def put(self, item: T, timeout: float | None) -> None:
        """Put the item in, waiting at most `timeout` seconds for room; None for no limit.

        Cancelled while it waits, it puts nothing in, unless `has_entered` says otherwise.

        Raises:
            MailboxFullError: there was no room in time, or the caller is a consumer itself.
            MessageRoutingError: the mailbox is closed, or was while this sender waited.
        """
        if self.put_nowait(item):
            return
        if asyncio.current_task() in self.consumers:  # all of them may do the same
            raise MailboxFullError(
                f"agent {self.name!r} sent to itself while its mailbox was full ({self.size} "
                f"messages) and only it can make room; send less, or raise mailbox_size"
            )
        if self._senders is None:
            self._senders = WaitQueue()
        self._attended = True
        try:
            await self._senders.wait(item, timeout)
        except TimeoutError:
            raise MailboxFullError(
                f"the mailbox of agent {self.name!r} stayed full ({self.size} messages) for "
                f"{timeout:g} s; it handles messages slower than they come"
            ) from None

    def get_nowait(self) -> T | None:
        """Return the next item, or None when the mailbox is empty."""
        if not self._items:
            return None
        item = self._items.popleft()
        if self._attended:
            self._taken(item)
        return item

    def withdraw(self, item: T) -> bool:
        """Take out this very item, which nobody has got yet; return False when it is not inside."""
        for index, each in enumerate(self._items):
            if each is item:
                del self._items[index]
                if self._attended:
                    self._taken(item)
                return True
        return False

    def put_reserved(self, item: T, owner: object) -> None:
        """Put an item in, at a place that is reserved for its owner, unless the mailbox is closed.

        The owner has none inside: see `holds`.
        """
        if self._closed is not None:
            return
        if self._reserved is _NONE_RESERVED:
            self._reserved = {}
        self._reserved[id(item)] = owner  # it is inside as long as this is
        self._limit += 1
        self._attended = True
        self.put_nowait(item)

    def holds(self, owner: object) -> bool:
        """Return whether a reserved item of this owner is inside."""
        return any(each is owner for each in self._reserved.values())

    def withdraw_reserved(self, owner: object) -> None:
        """Take out the reserved item of an owner, if it is inside; of all, for None."""
        out = {key for key, each in self._reserved.items() if owner is None or each is owner}
        if out:
            for item in [each for each in self._items if id(each) in out]:
                self.withdraw(item)

    def wakeup(self) -> asyncio.Future[None] | None:
        """Return what is done when there is an item, or `wake` is called; None for one inside.

        A consumer awaits it, and says `forget` if that raises. There is no coroutine for it, which
        each idle agent would keep.
        """
        if self._items:
            return None
        # Of a task, where one is known: to ask which loop runs takes a call of the system (3.11).
        consumer = next(iter(self.consumers), None)
        loop = asyncio.get_running_loop() if consumer is None else consumer.get_loop()
        wakeup = loop.create_future()
        if self._next_wakeup is None:
            self._next_wakeup = wakeup
        elif self._wakeups is _NOTHING:
            self._wakeups = deque((wakeup,))
        else:
            self._wakeups.append(wakeup)
        return wakeup

    def wake(self) -> None:
        """Wake all consumers that wait, though there is no item."""
        while self._next_wakeup is not None:
            self._wake_next(self._next_wakeup)

    def _wake_next(self, wakeup: asyncio.Future[None]) -> None:
        """Wake the consumer that has waited longest."""
        self._next_wakeup = self._wakeups.popleft() if self._wakeups else None
        if not wakeup.done():
            wakeup.set_result(None)

    def forget(self, wakeup: asyncio.Future[None]) -> None:
        """Wake another consumer in place of one that has ended, if that was woken for an item."""
        if wakeup is self._next_wakeup:
            self._next_wakeup = self._wakeups.popleft() if self._wakeups else None
        elif wakeup in self._wakeups:
            self._wakeups.remove(wakeup)
        elif self._items and self._next_wakeup is not None:
            self._wake_next(self._next_wakeup)

    def close(self, reason: str) -> list[T]:
        """Refuse further items with a MessageRoutingError, those that wait too; return the rest."""
        self._closed = reason
        self._limit = 0
        if self._senders:
            self._senders.fail(partial(MessageRoutingError, reason))
        left = list(self._items)
        self._items.clear()
        self._reserved = _NONE_RESERVED
        return left

    def _taken(self, item: T) -> None:
        """Let those who wait in at once, as far as there is room, so that a newcomer finds none."""
        if self._reserved and self._reserved.pop(id(item), None) is not None:
            self._limit -= 1
        senders = self._senders
        while senders and len(self._items) < self._limit:
            first = senders.pop()
            if first is not None:
                self._items.append(first.item)
                if self._next_wakeup is not None:
                    self._wake_next(self._next_wakeup)
        self._attended = bool(senders) or bool(self._reserved)
