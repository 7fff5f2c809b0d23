"""The command: asks a system for its states and counters, and prints them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from civitas.cli.output import jsonable, write_error, write_json
from civitas.cli.stats.answers import NodeAnswer
from civitas.cli.stats.counting import Waiting, what_waits
from civitas.cli.stats.output import json_of, write_states
from civitas.cli.stats.states import Expected, SystemStates, states_of
from civitas.errors import CivitasError, NotConnectedError
from civitas.messages import PRIMARY

if TYPE_CHECKING:
    from civitas.client import Client
    from civitas.topology import Topology

_NAMED: Final = 10
"""Names that an error lists, at most."""


def expected_of(topology: Topology) -> Expected:
    """Return what should run of a topology."""
    agents = {
        each.block.name: each.block.process or PRIMARY for each in topology.supervision.agents()
    }
    return Expected((PRIMARY, *topology.processes), agents)


class Asked(NamedTuple):
    """What came of asking a system.

    Attributes:
        told: what its nodes have told.
        states: what that comes to.
        waiting: what waits in its transport.
        absence: why nobody was found; empty where somebody was.
    """

    told: list[dict[str, Any]]
    states: SystemStates
    waiting: Waiting
    absence: str


async def ask_system(
    client: Client, topology: Topology, timeout: float, *, counts: bool = True
) -> Asked:
    """Start a client that may find nobody, ask, and return what it comes to.

    `counts`: whether to count what waits in the transport.
    """
    told: list[dict[str, Any]] = []
    waiting, absence, reached = Waiting(), "", True
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        async with client:
            searched = clock() - began
            if counts:
                asking = client.stats(timeout), what_waits(client, topology, timeout)
                told, waiting = await asyncio.gather(*asking)
            else:
                told = await client.stats(timeout)
            absence = client.absence
    except NotConnectedError as error:
        absence, reached, searched = str(error), False, clock() - began
    answers = [NodeAnswer.read(each) for each in told]
    states = states_of(expected_of(topology), answers, reached=reached, searched=searched)
    return Asked(told, states, waiting, absence)


async def show_stats(
    client: Client, topology: Topology, timeout: float, *, as_json: bool, check: bool
) -> None:
    """Ask a system by a client that may find nobody, and print what it comes to.

    Raises:
        NotConnectedError: nobody was found; all is printed by then.
        CivitasError: with `check`: something does not run that should.
    """
    told, states, waiting, absence = await ask_system(client, topology, timeout)
    if as_json:
        write_json({"nodes": jsonable(told), **json_of(states, waiting)})
    else:
        write_states(states, waiting)
    if waiting.problem:
        some = "what waits in the transport" if waiting.counts is None else "what is stranded"
        write_error(f"note: {some} was not counted: {waiting.problem}")
    if absence:
        raise NotConnectedError(absence)
    processes, agents = states.failing
    if check and (processes or agents):
        parts = _listed("process", "processes", processes), _listed("agent", "agents", agents)
        raise CivitasError(f"not running: {'; '.join(filter(None, parts))}")


def _listed(one: str, many: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    text = ", ".join(map(repr, names[:_NAMED]))
    return f"{one if len(names) == 1 else many} {text}{more}"
