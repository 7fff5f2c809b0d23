"""BrokerSubscriptions: brings what a broker has as subscribed in line with what has handlers here.

Who subscribes does not wait for the broker: changes are collected while it is asked, and go to it
many at once. So 3,000 agents cost a few round trips, at a start and after an outage. `wait_in_line`
is for who has to know.

    an address       | event               | what is done                          | next
    -----------------+---------------------+---------------------------------------+-----------
    unknown          | wanted              | ask for it                            | subscribed
                     |                     | ... and the broker forbids it: log it | denied
    subscribed       | no longer wanted    | ask for no more of it                 | unknown
    denied           | no longer wanted    | -                                     | unknown
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from logging import Logger
from typing import Final

from civitas.errors import AccessDeniedError
from civitas.transport.broker.wire import Wire

BATCH: Final = 500
"""Addresses that are asked for at once."""


class BrokerSubscriptions:
    """The subscriptions of one wire.

    Args:
        wire: the wire; nothing is subscribed yet.
        addresses: what is wanted from the start.
        logger: where a forbidden address is logged.
        answered: called each time that the broker has answered.
    """

    def __init__(
        self,
        wire: Wire,
        addresses: Iterable[str],
        logger: Logger,
        answered: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._answered = answered
        self._logger = logger
        self._changes = dict.fromkeys(addresses, True)
        self._subscribed: set[str] = set()
        self._denied: dict[str, AccessDeniedError] = {}
        self._has_changes = asyncio.Event()
        self._has_changes.set()
        self._in_line = asyncio.Event()

    @property
    def in_line(self) -> bool:
        """Whether the broker has answered to all that was wanted."""
        return self._in_line.is_set()

    def change(self, address: str, *, wanted: bool) -> None:
        """Have the broker asked for an address soon, or for no more of it."""
        self._changes[address] = wanted
        self._in_line.clear()
        self._has_changes.set()

    async def wait_in_line(self) -> None:
        """Return when the broker has answered to all that is wanted, or the wire has failed."""
        await self._in_line.wait()

    def check(self) -> None:
        """See that the broker forbids nothing of what is wanted.

        Raises:
            AccessDeniedError: it does.
        """
        for error in self._denied.values():
            raise error

    def close(self) -> None:
        """End the wait of those who wait: the wire has failed."""
        self._in_line.set()

    async def run(self) -> None:
        """Ask the broker for what is wanted, until the wire fails; raise why."""
        while True:
            await self._has_changes.wait()
            self._has_changes.clear()
            while self._changes:
                changes, self._changes = self._changes, {}
                await self._bring(changes)
            self._in_line.set()

    async def _bring(self, changes: dict[str, bool]) -> None:
        subscribed = self._subscribed
        for address in changes:
            self._denied.pop(address, None)
        old = [each for each, wanted in changes.items() if not wanted and each in subscribed]
        for batch in _batches(old):
            await self._wire.unsubscribe(batch)
            self._answered()
            subscribed.difference_update(batch)
        new = [each for each, wanted in changes.items() if wanted and each not in subscribed]
        for batch in _batches(new):
            await self._ask_for(batch)

    async def _ask_for(self, batch: Sequence[str]) -> None:
        try:
            await self._wire.subscribe(batch)
        except AccessDeniedError as error:
            self._answered()
            half = len(batch) // 2
            if half:
                await self._ask_for(batch[:half])
                await self._ask_for(batch[half:])
                return
            self._denied[batch[0]] = error
            self._logger.error("no frames come for %r: %s", batch[0], error)  # noqa: TRY400
        else:
            self._answered()
            self._subscribed.update(batch)


def _batches(addresses: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(addresses), BATCH):
        yield addresses[start : start + BATCH]
