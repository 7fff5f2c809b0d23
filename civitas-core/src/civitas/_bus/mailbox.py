"""Mailbox: the bounded FIFO of one agent, with its waiting senders."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Generic, NamedTuple, TypeVar

from civitas.errors import ConfigurationError, MailboxFullError, MessageRoutingError

T = TypeVar("T")

DEFAULT_SIZE: Final = 1000


class _Sender(NamedTuple, Generic[T]):
    """Someone who waits for room. The item enters in the sender's stead, so order is kept."""

    item: T
    admitted: asyncio.Future[bool]


class Mailbox(Generic[T]):
    """A FIFO with at most `size` items, one consumer and any number of senders.

    It outlives the agent object that drains it: a restart keeps it. Senders that find it full
    wait in order; each item enters when room is made, whether or not its sender has woken up yet.

    Args:
        name: the agent's name, for messages.
        size: how many items it holds.
    """

    __slots__ = (
        "_closed",
        "_consumer_wakeup",
        "_items",
        "_limit",
        "_senders",
        "consumer",
        "name",
        "size",
    )

    def __init__(self, name: str, size: int = DEFAULT_SIZE) -> None:
        if size < 1:
            raise ConfigurationError(f"mailbox_size of {name!r} is at least 1, not {size}")
        self.name = name
        self.size = size
        self.consumer: asyncio.Task[None] | None = None
        """The task that drains this mailbox; a send of its own can't wait for room here."""
        self._items: deque[T] = deque()
        self._limit = size  # 0 once it is closed
        self._senders: deque[_Sender[T]] | None = None
        self._consumer_wakeup: asyncio.Future[None] | None = None
        self._closed: str | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def pending(self) -> int:
        """How many items are inside or wait to enter."""
        return len(self._items) + (len(self._senders) if self._senders else 0)

    def put_nowait(self, item: T) -> bool:
        """Put the item in and return True, or return False when there is no room.

        Raises:
            MessageRoutingError: the mailbox is closed, for the reason that it was closed with.
        """
        if len(self._items) >= self._limit:
            if self._closed is not None:
                raise MessageRoutingError(self._closed)
            return False
        self._items.append(item)
        wakeup = self._consumer_wakeup
        if wakeup is not None and not wakeup.done():
            wakeup.set_result(None)
        return True

    async def put(self, item: T, timeout: float | None) -> None:
        """Put the item in, waiting at most `timeout` seconds for room; None for no limit.

        Raises:
            MailboxFullError: there was no room in time, or the caller is the consumer itself.
            MessageRoutingError: the mailbox is closed, or was while this sender waited.
        """
        if self.put_nowait(item):
            return
        if self.consumer is not None and asyncio.current_task() is self.consumer:
            raise MailboxFullError(
                f"agent {self.name!r} sent to itself while its mailbox was full ({self.size} "
                f"messages) and only it can make room; send less, or raise mailbox_size"
            )
        loop = asyncio.get_running_loop()
        sender = _Sender(item, loop.create_future())
        if self._senders is None:
            self._senders = deque()
        self._senders.append(sender)
        timer = None if timeout is None else loop.call_later(timeout, _give_up, sender.admitted)
        try:
            admitted = await sender.admitted
        except asyncio.CancelledError:
            self._forget(sender)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if not admitted:
            self._forget(sender)
            raise MailboxFullError(
                f"the mailbox of agent {self.name!r} stayed full ({self.size} messages) for "
                f"{timeout:g} s; it handles messages slower than they come"
            )

    def get_nowait(self) -> T | None:
        """Return the next item, or None when the mailbox is empty."""
        if not self._items:
            return None
        item = self._items.popleft()
        if self._senders:
            self._admit()
        return item

    def withdraw(self, item: T) -> bool:
        """Take out this very item, which nobody has got yet; return False when it is not inside."""
        for index, each in enumerate(self._items):
            if each is item:
                del self._items[index]
                if self._senders:
                    self._admit()
                return True
        return False

    async def wait(self) -> None:
        """Wait until there is an item, or until `wake` is called."""
        if self._items:
            return
        self._consumer_wakeup = asyncio.get_running_loop().create_future()
        await self._consumer_wakeup

    def wake(self) -> None:
        """Make `wait` return though there is no item."""
        wakeup = self._consumer_wakeup
        if wakeup is not None and not wakeup.done():
            wakeup.set_result(None)

    def close(self, reason: str) -> list[T]:
        """Refuse further items with a MessageRoutingError, those that wait too; return the rest."""
        self._closed = reason
        self._limit = 0
        if self._senders:
            for sender in self._senders:
                if not sender.admitted.done():
                    sender.admitted.set_exception(MessageRoutingError(reason))
            self._senders.clear()
        left = list(self._items)
        self._items.clear()
        return left

    def _admit(self) -> None:
        """Let the first sender's item in that still waits, so that a newcomer finds no room."""
        assert self._senders is not None
        while self._senders:
            sender = self._senders.popleft()
            if not sender.admitted.done():
                self._items.append(sender.item)
                sender.admitted.set_result(True)
                return

    def _forget(self, sender: _Sender[T]) -> None:
        """Take a sender off the line that has given up, unless its turn has come meanwhile."""
        if self._senders and sender in self._senders:
            self._senders.remove(sender)


def _give_up(admitted: asyncio.Future[bool]) -> None:
    if not admitted.done():
        admitted.set_result(False)
