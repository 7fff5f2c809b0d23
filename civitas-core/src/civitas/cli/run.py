"""`civitas run`: run one process of a topology until it ends, or until a signal stops it."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from civitas.cli import options
from civitas.cli.output import write_error, write_notes
from civitas.cli.signals import stopping_on_signals, write_from_handler
from civitas.messages import PRIMARY

if TYPE_CHECKING:
    from civitas.runtime import Runtime
    from civitas.topology import Topology
    from civitas.worker import Worker

_LAST_GRACE: Final = 1.0
"""Seconds that tasks may take to end when all agents have ended."""


def run(
    topology: options.TopologyArgument = None,
    file: options.TopologyOption = None,
    process: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Which process of the topology to run here. A transport that stays within one "
            "process has only this one.",
        ),
    ] = PRIMARY,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
    app_dir: options.AppDir = Path(),
    log_level: options.LogLevel = "info",
    log_format: options.LogFormat = "text",
) -> None:
    """Run a topology: Ctrl-C or SIGTERM finishes the work in hand, a second one stops at once."""
    from civitas.cli.logs import configure_logging

    configure_logging(log_level, log_format, process)
    given = options.chosen(topology, file, overlays, transport, sets)
    loaded = given.load(app_dir, processes=(process,))
    write_notes(loaded.notes)
    node = node_of(loaded, process)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what agents print shows when they print it
    run_to_end(_run_node(node))


def run_to_end(main: Coroutine[Any, Any, int]) -> NoReturn:
    """Run what goes on for long, and exit with the code that it returns."""
    gc.freeze()  # what was imported and built so far stays, so no collection need look at it
    gc.enable()
    raise typer.Exit(asyncio.run(main))


def node_of(topology: Topology, process: str) -> Runtime | Worker:
    """Make the node of one process of a topology; it is not started.

    Raises:
        ConfigurationError: there is no such process, or it can't be made.
        PluginError: the transport or a serializer can't be used.
    """
    from civitas.errors import ConfigurationError
    from civitas.runtime import Runtime
    from civitas.worker import Worker

    if process == PRIMARY:
        return Runtime.from_topology(topology)
    known = ", ".join((PRIMARY, *topology.processes))
    if not options.crosses_processes(topology):
        raise ConfigurationError(
            f"process {process!r} can't be run on its own: transport "
            f"{topology.transport.type_name!r} stays within one process, {PRIMARY!r} "
            f"(processes of {topology.file}: {known})"
        )
    if process not in topology.processes:
        raise ConfigurationError(
            f"{topology.file} has no process {process!r}; its processes are {known}"
        )
    return Worker.from_topology(topology, process)


async def _run_node(node: Runtime | Worker) -> int:
    """Run a node until it ends, and return the exit code; the first signal stops it in order."""
    from civitas.errors import IdentityError, SpawnError, describe
    from civitas.runtime import Runtime

    loop = asyncio.get_running_loop()
    is_stopping = False

    def stop(name: str) -> None:
        nonlocal is_stopping
        is_stopping = True
        write_from_handler(f"{name}: finishing the work in hand; once more to stop at once")
        asyncio.run_coroutine_threadsafe(node.stop(), loop)

    def stop_at_once(name: str) -> None:
        write_from_handler(f"{name} again: stopping at once")

    with stopping_on_signals(stop, stop_at_once):
        try:
            await node.start()
        except SpawnError:
            if not is_stopping or node.failure is not None:
                raise
            status = 0  # the signal came while the node started
        else:
            count = len(node.all_agents())
            write_error(f"running: {count} agent{'s'[: count != 1]}; Ctrl-C stops")
            status = await (node.wait() if isinstance(node, Runtime) else node.wait_until_stopped())
    if node.failure is not None and not is_stopping:
        what = describe(node.failure)
        is_evicted = isinstance(node.failure, IdentityError)
        write_error(f"error: {what if is_evicted else f'the root supervisor gave up: {what}'}")
    await _end_tasks(status)
    return status


async def _end_tasks(status: int) -> None:
    """Cancel all other tasks, as asyncio.run would, and exit at once if one of them goes on.

    An agent that ignores its cancellation must not keep the process from ending.
    """
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks and (await asyncio.wait(tasks, timeout=_LAST_GRACE))[1]:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
