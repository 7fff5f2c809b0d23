"""Remains: what becomes of what is left in the mailbox of an agent that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from civitas._bus.bus import MessageBus
from civitas._bus.mailbox import Item
from civitas._bus.settlement import DurableFrame, GivenUp
from civitas.errors import CivitasError, MessageRoutingError
from civitas.transport.tasks import contained


async def part_with(left: Iterable[Item], name: str, bus: MessageBus, why: str) -> None:
    """Let each item be a dead letter, or be given to another node; who asked gets an error."""
    gone = MessageRoutingError(why)
    await asyncio.gather(*(contained(_part_with(item, name, bus, gone)) for item in left))


async def _part_with(item: Item, name: str, bus: MessageBus, gone: MessageRoutingError) -> None:
    durable = item if isinstance(item, DurableFrame) else None
    try:
        message = bus.read(item)
    except CivitasError as error:
        if durable is None:
            bus.answers.record_unreadable(item, error)
        else:
            durable.failed(gone)  # the next one to get it accounts for it
        return
    why, reason = GivenUp.not_begun(gone), "the recipient has stopped"
    await bus.answers.give_up(message, durable, name, why, reason)
