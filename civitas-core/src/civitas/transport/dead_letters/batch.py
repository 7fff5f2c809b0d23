"""Batches: returns, moves or removes many kept messages, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, NamedTuple

from civitas import _platform as platform
from civitas.errors import ConfigurationError
from civitas.transport.dead_letters.reader import MessageReader
from civitas.transport.dead_letters.store import DeadLetterStore, KeptMessage, Selection


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The messages that matched a selection at one time; later ones do not belong to it.

    Attributes:
        selection: which they are; it has a `last` number.
        count: how many there were.
    """

    selection: Selection
    count: int


class StayingMessage(NamedTuple):
    """A message that was not returned or moved."""

    number: int
    agent: str
    reason: str


@dataclass(slots=True)
class BatchResult:
    """The results so far, also when an error or Ctrl-C ends the batch.

    Attributes:
        done: how many messages were returned, moved or removed.
        kept: messages that stay, and why.
    """

    done: int = 0
    kept: list[StayingMessage] = field(default_factory=list)


class Target(NamedTuple):
    """Where messages go.

    Attributes:
        reader: makes the frames that go there.
        agent: the agent; each message's own when None.
        expired_too: whether messages go whose time to live is over.
    """

    reader: MessageReader
    agent: str | None = None
    expired_too: bool = False


async def snapshot(store: DeadLetterStore, selection: Selection) -> Snapshot:
    """Return which messages match a selection now.

    Raises:
        ConfigurationError: there is no message with a number.
        CivitasError: as for `DeadLetterStore.survey`.
    """
    survey = await store.survey(selection.kept)
    until = replace(selection, last=survey.last)
    if not selection.numbers:
        counts = survey.counts
        agent = selection.agent
        return Snapshot(until, sum(counts.values()) if agent is None else counts.get(agent, 0))
    found: dict[int, KeptMessage] = {}
    async with aclosing(store.read(replace(until, agent=None))) as messages:
        async for message in messages:
            found[message.number] = message
    for number in sorted(set(selection.numbers) - found.keys()):
        raise ConfigurationError(f"there is no {selection.kept.value} {number}")
    return Snapshot(until, sum(map(until.matches, found.values())))


async def return_all(
    store: DeadLetterStore,
    chosen: Snapshot,
    target: Target,
    result: BatchResult,
    progress: Callable[[int], None],
) -> None:
    """Send messages to an agent, in the order in which they came.

    Each is removed once its frame is kept for the agent.

    Args:
        store: where they are.
        chosen: which messages.
        target: where they go.
        result: filled in message by message.
        progress: called with the number of messages that are done or stay.

    Raises:
        CivitasError: a message can't be sent; it stays, and so do all behind it.
    """

    async def step(message: KeptMessage) -> None:
        agent, now = target.agent or message.agent, platform.wall()
        reader = target.reader
        reason = reader.reason_to_keep(message, agent, now, expired_too=target.expired_too)
        if reason:
            result.kept.append(StayingMessage(message.number, message.agent, reason))
            return
        await store.add(agent, reader.frame_for(message, agent, now), _key_of(message, agent))
        await store.remove(message)
        result.done += 1

    await _for_each(store, chosen, step, progress)


async def remove_all(
    store: DeadLetterStore,
    chosen: Snapshot,
    result: BatchResult,
    progress: Callable[[int], None],
) -> None:
    """Remove messages for good; arguments and errors are those of `return_all`."""

    async def step(message: KeptMessage) -> None:
        await store.remove(message)
        result.done += 1

    await _for_each(store, chosen, step, progress)


async def _for_each(
    store: DeadLetterStore,
    chosen: Snapshot,
    step: Callable[[KeptMessage], Coroutine[Any, Any, None]],
    progress: Callable[[int], None],
) -> None:
    seen = 0
    async with aclosing(store.read(chosen.selection)) as messages:
        async for message in messages:
            await _to_its_end(step(message))
            seen += 1
            progress(seen)


async def _to_its_end(step: Coroutine[Any, Any, None]) -> None:
    """Finish a step also when cancelled, so that no message is both sent and left here."""
    task = asyncio.get_running_loop().create_task(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _key_of(message: KeptMessage, agent: str) -> str:
    """Return text that names this step, also if numbers began again in a store made anew."""
    content = blake2b(message.frame, digest_size=8).hexdigest()
    return f"{message.kept.name}.{message.number}.{message.time:.3f}.{content}.{agent}"
