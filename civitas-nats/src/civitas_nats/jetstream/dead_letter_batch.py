"""Batches of dead letters: replays or removes many, one after the other, and counts the results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from civitas_nats.jetstream.dead_letter_contents import reason_to_keep
from civitas_nats.jetstream.dead_letter_store import DeadLetterStore, Snapshot
from civitas_nats.jetstream.dead_letters import StoredDeadLetter


class KeptLetter(NamedTuple):
    """A letter that was not replayed."""

    number: int
    agent: str
    reason: str


@dataclass(slots=True)
class BatchResult:
    """The results so far, also when an error or Ctrl-C ends the batch.

    Attributes:
        done: how many letters were replayed, or removed.
        kept: letters that stay, and why.
    """

    done: int = 0
    kept: list[KeptLetter] = field(default_factory=list)


async def replay_all(
    store: DeadLetterStore,
    snapshot: Snapshot,
    result: BatchResult,
    progress: Callable[[int], None],
    *,
    expired_too: bool,
) -> None:
    """Send letters to their agents, in the order in which they came.

    Args:
        store: where they are.
        snapshot: which letters.
        result: filled in letter by letter.
        progress: called with the number of letters that are done or kept.
        expired_too: whether letters are sent whose time to live is over.

    Raises:
        CivitasError: a letter can't be sent; it stays, and so do all behind it.
    """

    async def step(stored: StoredDeadLetter) -> None:
        letter = stored.letter
        reason = reason_to_keep(stored, time.time(), expired_too=expired_too)
        if reason:
            result.kept.append(KeptLetter(stored.number, letter.agent, reason))
        else:
            await store.replay(stored)
            result.done += 1

    await _for_each(store, snapshot, step, progress)


async def drop_all(
    store: DeadLetterStore,
    snapshot: Snapshot,
    result: BatchResult,
    progress: Callable[[int], None],
) -> None:
    """Remove letters for good; arguments and errors are those of `replay_all`."""

    async def step(stored: StoredDeadLetter) -> None:
        await store.drop(stored)
        result.done += 1

    await _for_each(store, snapshot, step, progress)


async def _for_each(
    store: DeadLetterStore,
    snapshot: Snapshot,
    step: Callable[[StoredDeadLetter], Coroutine[Any, Any, None]],
    progress: Callable[[int], None],
) -> None:
    seen = 0
    async with aclosing(store.letters(snapshot)) as letters:
        async for stored in letters:
            await _to_its_end(step(stored))
            seen += 1
            progress(seen)


async def _to_its_end(step: Coroutine[Any, Any, None]) -> None:
    """Finish a step also when cancelled, so that no letter is both replayed and left here."""
    task = asyncio.get_running_loop().create_task(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
