"""Stranded messages: what is kept for names that neither a process nor the topology has."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from civitas.cli.dead_letters.source import source_of
from civitas.errors import CivitasError
from civitas.transport import Kept

if TYPE_CHECKING:
    from civitas.topology import Topology


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a transport keeps for agents and they have not processed.

    Attributes:
        waiting: the number of messages for each name that has any.
        stranded: those of names that nobody has.
        problem: why they could not be counted; empty when they were.
    """

    waiting: Mapping[str, int]
    stranded: Mapping[str, int]
    problem: str = ""

    def lines(self) -> list[str]:
        """Return what to say of stranded messages."""
        return [
            f"stranded: {count} message{'' if count == 1 else 's'} for {name!r}, which neither a"
            f" process nor the topology has; rescue them: civitas dead-letters move --from {name}"
            " --to NAME"
            for name, count in self.stranded.items()
        ]


async def backlog_of(topology: Topology, served: Collection[str], timeout: float) -> Backlog | None:
    """Count what a topology's transport keeps; None where it keeps nothing.

    Args:
        topology: one whose plugins are loaded.
        served: the names of agents that processes have.
        timeout: seconds for counting.
    """
    from civitas.plugins.loader import capabilities_of

    transport = topology.transport
    plugin = transport.plugin
    assert plugin is not None
    if not capabilities_of(plugin, transport.options, transport.where).at_least_once:
        return None
    try:
        async with asyncio.timeout(timeout), source_of(topology).opened() as store:
            survey = await store.survey(Kept.WAITING)
    except TimeoutError:
        return Backlog({}, {}, f"not within {timeout:g} s")
    except CivitasError as error:
        return Backlog({}, {}, str(error))
    waiting = {name: count for name, count in sorted(survey.counts.items()) if count}
    known = {each.block.name for each in topology.supervision.agents()} | set(served)
    stranded = {name: count for name, count in waiting.items() if name not in known}
    return Backlog(waiting, stranded)
