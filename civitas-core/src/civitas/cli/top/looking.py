"""Looking: asks a system how it is, again and again, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from civitas.cli.stats.answers import NodeAnswer
from civitas.cli.stats.command import expected_of
from civitas.cli.stats.counting import counted
from civitas.cli.stats.states import states_of
from civitas.cli.top.frames import Look
from civitas.errors import CivitasError, ConfigurationError, PluginError, describe

if TYPE_CHECKING:
    from civitas.client import Client
    from civitas.topology import Topology


async def looks(
    make: Callable[[], Client], topology: Topology, interval: float, timeout: float
) -> AsyncGenerator[Look, None]:
    """Look at a system at intervals, without an end.

    A client that could not connect, or was cut off for so long that it does not belong to the
    system any more, is followed by another one; meanwhile a look has its reason as the problem.

    Args:
        make: makes a client, which may find nobody.
        topology: what should run.
        interval: seconds between two looks.
        timeout: seconds that each process has to answer.

    Raises:
        ConfigurationError: no client can be made.
        PluginError: the same.
    """
    while True:
        client, problem = make(), ""
        began = time.monotonic()
        try:
            async with client:
                searched = time.monotonic() - began
                while client.failure is None:
                    began = time.monotonic()
                    yield await _look(client, topology, timeout, searched)
                    await asyncio.sleep(max(began + interval - time.monotonic(), 0))
            problem = describe(client.failure).text
        except (ConfigurationError, PluginError):
            raise
        except CivitasError as error:
            problem = str(error)
        yield _blind(topology, problem)
        await asyncio.sleep(interval)


async def _look(client: Client, topology: Topology, timeout: float, searched: float) -> Look:
    if client.link_problem:
        return _blind(topology, f"the connection is lost: {client.link_problem}")
    names = [each.block.name for each in topology.supervision.agents()]
    names = list(dict.fromkeys((*names, *client.agents())))
    told, counts = await asyncio.gather(client.stats(timeout), counted(client, names, timeout))
    problem = ""
    if isinstance(counts, str):
        problem, counts = f"what waits in the transport was not counted: {counts}", None
    if not told:
        problem = client.absence or "no process of the system is seen any more"
    answers = [NodeAnswer.read(each) for each in told]
    states = states_of(expected_of(topology), answers, reached=True, searched=searched)
    return Look(time.monotonic(), time.time(), states, counts, problem)


def _blind(topology: Topology, problem: str) -> Look:
    """Return the look of who can't ask anybody."""
    states = states_of(expected_of(topology), [], reached=False)
    return Look(time.monotonic(), time.time(), states, None, problem)
