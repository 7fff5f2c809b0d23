"""Rounds: dead letters are returned or removed one after the other, and it is known how far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from civitas_nats.jetstream.contents import objection
from civitas_nats.jetstream.dead_letters import Buried
from civitas_nats.jetstream.graveyard import Extent, Graveyard


class Kept(NamedTuple):
    """A letter that stays."""

    number: int
    agent: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """What has become of the letters so far, also when an error or Ctrl-C ends the round.

    Attributes:
        done: letters that are returned, or removed.
        kept: letters that stay, and why.
    """

    done: int = 0
    kept: list[Kept] = field(default_factory=list)


async def replay(
    graveyard: Graveyard,
    extent: Extent,
    outcome: Outcome,
    at: Callable[[int], None],
    *,
    expired_too: bool,
) -> None:
    """Return letters to their agents, in the order in which they came.

    Args:
        graveyard: where they are.
        extent: which.
        outcome: takes note of each.
        at: called with the number of letters that were looked at.
        expired_too: whether those go back whose time is over.

    Raises:
        CivitasError: one can't be returned; it stays, and so do all behind it.
    """

    async def step(buried: Buried) -> None:
        letter = buried.letter
        reason = objection(buried, time.time(), expired_too=expired_too)
        if reason:
            outcome.kept.append(Kept(buried.number, letter.agent, reason))
        else:
            await graveyard.replay(buried)
            outcome.done += 1

    await _go(graveyard, extent, step, at)


async def drop(
    graveyard: Graveyard, extent: Extent, outcome: Outcome, at: Callable[[int], None]
) -> None:
    """Remove letters for ever; the arguments and errors are those of `replay`."""

    async def step(buried: Buried) -> None:
        await graveyard.drop(buried)
        outcome.done += 1

    await _go(graveyard, extent, step, at)


async def _go(
    graveyard: Graveyard,
    extent: Extent,
    step: Callable[[Buried], Coroutine[Any, Any, None]],
    at: Callable[[int], None],
) -> None:
    seen = 0
    async with aclosing(graveyard.letters(extent)) as letters:
        async for buried in letters:
            await _whole(step(buried))
            seen += 1
            at(seen)


async def _whole(step: Coroutine[Any, Any, None]) -> None:
    """Take a step to its end, also when cancelled: no letter is left stored and not removed."""
    task = asyncio.get_running_loop().create_task(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
