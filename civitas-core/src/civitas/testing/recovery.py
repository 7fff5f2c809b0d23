"""Recovery: how a test has an outage, and waits until all is reached again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from civitas.errors import CivitasError
from civitas.testing.network import Arrivals, Network
from civitas.transport import Transport

_SHORT: Final = 0.2
"""Seconds that a request may take while nobody can answer it."""

_PAUSE: Final = 0.02
"""Seconds between two attempts to get something through."""


async def greet(network: Network, sender: Transport, inboxes: list[Arrivals]) -> None:
    """Show that all are reached before anything happens."""
    for inbox in inboxes:
        await sender.publish(inbox.address, network.frame(b"before"))
        await inbox.first()


@contextmanager
def outage(network: Network, begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Have an outage as long as the block, also when it fails: later tests may need the broker."""
    network.outside(begin)
    try:
        yield
    finally:
        network.outside(end)


async def ready_again(network: Network) -> None:
    """Wait for all to be ready; one that has not yet connected again may say so meanwhile."""

    async def all_ready() -> None:
        while True:
            try:
                await network.ready()
            except CivitasError:
                await asyncio.sleep(_PAUSE)
            else:
                return

    await network.within(all_ready(), "wait_ready() after the restart")


async def reached_in_order(
    network: Network, sender: Transport, inboxes: list[Arrivals], count: int = 20
) -> None:
    """Publish until each inbox is reached; from then on all `count` arrive once, in order."""
    for inbox in inboxes:
        taken = _until_all_are_taken(network, sender, inbox, count)
        frames = await network.within(taken, f"{inbox.address!r} again")
        arrived = await inbox.including(frames[-1])
        after = [frame for frame in arrived if frame in frames]
        assert after == frames, "what was published after the outage did not come once, in order"


async def _until_all_are_taken(
    network: Network, sender: Transport, inbox: Arrivals, count: int
) -> list[bytes]:
    """Return frames of which none was refused, published when the inbox was reached.

    An outage may be noticed only after it is over, and then refuse some at first.
    """
    before = len(inbox.frames)  # so that the frames of each outage differ
    for attempt in itertools.count():
        await _until_reached(network, sender, inbox)
        frames = [
            network.frame(b"after %d, %d, %d" % (before, attempt, number))
            for number in range(count)
        ]
        with suppress(CivitasError):
            for frame in frames:
                await sender.publish(inbox.address, frame)
            break
    return frames


async def _until_reached(network: Network, sender: Transport, inbox: Arrivals) -> None:
    """Publish again and again until a frame arrives."""
    before = len(inbox.frames)
    while len(inbox.frames) == before:
        with suppress(CivitasError):  # it may be refused for a while
            await sender.publish(inbox.address, network.frame(b"again?"))
        await asyncio.sleep(_PAUSE)


async def until_answered(network: Network, asker: Transport) -> None:
    """Ask again and again until there is an answer."""
    while True:
        try:
            await asker.request("oracle", network.frame(b"again?"), _SHORT)
        except (CivitasError, TimeoutError):
            await asyncio.sleep(_PAUSE)
        else:
            return


async def until_subscribed(receiver: Transport, inbox: Arrivals) -> None:
    """Subscribe again and again until it is not refused."""
    while True:
        try:
            await receiver.subscribe(inbox.address, inbox.put)
        except CivitasError:
            await asyncio.sleep(_PAUSE)
        else:
            return


async def ends_in_time(network: Network, sender: Transport, inboxes: list[Arrivals]) -> None:
    """Fail when sending takes longer than `patience`, or ends otherwise than promised."""
    for inbox in inboxes:
        frame = network.frame(b"in between")
        publish = sender.publish(inbox.address, frame)
        what = f"publish to {inbox.address!r} in an outage"
        await network.refused_or_silent(publish, CivitasError, what)
        request = sender.request(inbox.address, frame, _SHORT)
        what = f"request to {inbox.address!r} in an outage"
        await network.refused(request, (CivitasError, TimeoutError), what)
