"""Counting: what waits in the transport for the agents of a system, and for names nobody has."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from civitas.cli.dead_letters.stranded import Backlog, backlog_of
from civitas.errors import CivitasError, crash_of, describe

if TYPE_CHECKING:
    from civitas.client import Client
    from civitas.topology import Topology


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a transport keeps.

    Attributes:
        counts: the number of messages for each name; of an agent of the system it is there, though
            it be 0. None where the transport keeps nothing, or nothing could be counted.
        stranded: those of names that nobody has; None where they could not be counted.
        lines: what to say of these.
        problem: why something was not counted; empty where all was.
    """

    counts: Mapping[str, int] | None = None
    stranded: Mapping[str, int] | None = None
    lines: tuple[str, ...] = ()
    problem: str = ""


async def what_waits(client: Client, topology: Topology, timeout: float) -> Waiting:
    """Count what waits for the agents of a topology and of its system, in so many seconds.

    The transport of a client that has started counts for names; the store for commands finds those
    that nobody has.
    """
    served = client.agents()
    declared = [each.block.name for each in topology.supervision.agents()]
    names = list(dict.fromkeys((*declared, *served)))
    counts, kept = await asyncio.gather(
        counted(client, names, timeout), backlog_of(topology, served, timeout)
    )
    return _joined(counts, kept)


async def counted(
    client: Client, names: Collection[str], timeout: float
) -> Mapping[str, int] | str | None:
    """Return what a transport counts for some names, or why it doesn't; None where it can't."""
    try:
        return await client.backlog(names, timeout)
    except TimeoutError:
        return f"not within {timeout:g} s"
    except CivitasError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises
        return str(describe(crash_of(error)))


def _joined(counted: Mapping[str, int] | str | None, kept: Backlog | None) -> Waiting:
    if kept is None and not isinstance(counted, Mapping):
        return Waiting(problem=counted or "")
    problems = [counted] if isinstance(counted, str) else []
    problems += [kept.problem] if kept is not None and kept.problem else []
    counts = counted if isinstance(counted, Mapping) else None
    if kept is None or kept.problem:
        return Waiting(counts, problem="; ".join(dict.fromkeys(problems)))
    return Waiting(
        {**kept.waiting, **(counts or {})},
        kept.stranded,
        tuple(kept.lines()),
        "; ".join(problems),
    )
