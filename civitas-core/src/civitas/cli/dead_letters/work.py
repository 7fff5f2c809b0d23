"""Work of `civitas dead-letters`: opens the store, shows progress, and asks who the agents are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar

from civitas.cli.dead_letters.output import Progress
from civitas.cli.dead_letters.source import MessageSource
from civitas.errors import CivitasError
from civitas.plugins.similar import closest
from civitas.transport import KeptMessage, Selection
from civitas.transport.dead_letters.batch import (
    BatchResult,
    Snapshot,
    Target,
    remove_all,
    return_all,
    snapshot,
)
from civitas.transport.dead_letters.reader import MessageContents

T = TypeVar("T")


async def read(
    source: MessageSource,
    selection: Selection,
    limit: int | None,
    row: Callable[[KeptMessage, MessageContents], T],
) -> tuple[list[T], int]:
    """Return a row for each message, at most `limit` of them, and how many more there are."""
    rows: list[T] = []
    async with source.opened() as store:
        chosen = await snapshot(store, selection)
        wanted = chosen.count if limit is None else min(limit, chosen.count)
        with Progress("read", wanted) as progress:
            async with aclosing(store.read(chosen.selection)) as messages:
                async for message in messages:
                    rows.append(row(message, source.reader.contents_of(message.frame)))
                    progress.at(len(rows))
                    if len(rows) == limit:
                        return rows, chosen.count - limit
    return rows, 0


async def send(
    verb: str, source: MessageSource, selection: Selection, target: Target, result: BatchResult
) -> None:
    """Send what is selected to its target, and fill in the result; the verb is for the progress."""
    async with source.opened() as store:
        chosen = await snapshot(store, selection)
        with Progress(verb, chosen.count) as progress:
            await return_all(store, chosen, target, result, progress.at)


async def chosen_from(source: MessageSource, selection: Selection) -> Snapshot:
    """Return which messages are selected now."""
    async with source.opened() as store:
        return await snapshot(store, selection)


async def drop(source: MessageSource, chosen: Snapshot, result: BatchResult) -> None:
    """Remove the chosen messages for good, and fill in the result."""
    async with source.opened() as store:
        with Progress("removed", chosen.count) as progress:
            await remove_all(store, chosen, result, progress.at)


async def doubts_about(source: MessageSource, former: str, target: str) -> list[str]:
    """Return what speaks against moving the messages of one name to another.

    Raises:
        CivitasError: a process has the former name, and gets them.
    """
    if source.names is None:
        return [f"nothing says whether a process has {former!r}: give a topology to `civitas`"]
    names = await source.names()
    process = names.served.get(former)
    if process is not None:
        raise CivitasError(
            f"the agent {former!r} runs in the process {process!r}, and gets its messages; what it"
            " can't process becomes a dead letter, which `replay --to` sends to another one"
        )
    doubts = []
    if names.unknown:
        doubts.append(f"whether a process has {former!r} is not known: {names.unknown}")
    if former in names.declared:
        doubts.append(f"the topology has {former!r}, which gets them when its process is there")
    known = names.declared | names.served.keys()
    if target not in known:
        similar = closest(target, known)
        hint = f"; did you mean {similar!r}?" if similar else ""
        doubts.append(f"neither a process nor the topology has an agent {target!r}{hint}")
    return doubts
