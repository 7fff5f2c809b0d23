"""`civitas run`: run one process of a topology until it ends, or until a signal stops it."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from civitas.cli import options
from civitas.cli.event_loop import keep_objects, run_with_agents
from civitas.cli.foreign_code import foreign_code
from civitas.cli.notices import notifier_here, parent
from civitas.cli.output import write_notes
from civitas.messages import PRIMARY

if TYPE_CHECKING:
    from civitas.runtime import Runtime
    from civitas.topology import Topology
    from civitas.worker import Worker


def run(
    topology: options.TopologyArgument = None,
    file: options.TopologyOption = None,
    process: Annotated[
        str,
        typer.Option(
            "--process",
            "-p",
            metavar="NAME",
            help="Which process of the topology to run here. A transport that stays within one "
            "process has only this one.",
        ),
    ] = PRIMARY,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
    health: options.Health = None,
    app_dir: options.AppDir = Path(),
    log_level: options.LogLevel = "info",
    log_format: options.LogFormat = "text",
) -> None:
    """Run a topology: Ctrl-C or SIGTERM finishes the work in hand, a second one stops at once."""
    from civitas.cli.logs import configure_logging
    from civitas.cli.running_node import RunningNode

    if os.getpid() == 1:
        from civitas.cli.first_process import go_on_behind_process_1

        go_on_behind_process_1()
    configure_logging(log_level, log_format, process)
    given = options.chosen(topology, file, overlays, transport, sets)._replace(health=health)
    notifier = notifier_here(process)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what agents print shows when they print it
    with foreign_code(hosts=True):
        node = _load_node(given, app_dir, process)
    keep_objects()
    running = RunningNode(node, notifier)
    raise typer.Exit(run_with_agents(running.main(), running.exited))


def _load_node(given: options.TopologyInput, app_dir: Path, process: str) -> Runtime | Worker:
    """Load a topology, and make the node of a process of it; the topology itself is let go."""
    loaded = given.load(app_dir, processes=(process,))
    if parent.get() is None:  # `up` has said it once for all of its processes
        write_notes(loaded.notes)
    return node_of(loaded, process)


def node_of(topology: Topology, process: str) -> Runtime | Worker:
    """Make the node of one process of a topology; it is not started.

    Raises:
        ConfigurationError: there is no such process, or it can't be made.
        PluginError: a plugin that it names can't be used.
    """
    check_process(topology, process)
    if process == PRIMARY:
        from civitas.runtime import Runtime

        return Runtime.from_topology(topology)
    from civitas.worker import Worker

    return Worker.from_topology(topology, process)


def check_process(topology: Topology, process: str) -> None:
    """Check that a topology has a process.

    Raises:
        ConfigurationError: there is no such process, or it can't be run on its own.
    """
    from civitas.errors import ConfigurationError

    known = ", ".join((PRIMARY, *topology.processes))
    if process == PRIMARY:
        return
    is_known = topology.transport.plugin is not None  # else what it claims is not known
    if is_known and not options.crosses_processes(topology):
        raise ConfigurationError(
            f"process {process!r} can't be run on its own: transport "
            f"{topology.transport.type_name!r} stays within one process, {PRIMARY!r} "
            f"(processes of {topology.file}: {known})"
        )
    if process not in topology.processes:
        raise ConfigurationError(
            f"{topology.file} has no process {process!r}; its processes are {known}"
        )
