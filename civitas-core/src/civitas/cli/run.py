"""`civitas run`: run one process of a topology until it ends, or until a signal stops it."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from civitas.cli import options
from civitas.cli.entry import report
from civitas.cli.event_loop import keep_objects, run_with_agents
from civitas.cli.exit_codes import FAILURE
from civitas.cli.foreign_code import foreign_code, own_loggers_enabled
from civitas.cli.output import write_error, write_notes
from civitas.cli.process_end import LAST_GRACE, end_within
from civitas.cli.signals import stop_on_signals, write_from_handler
from civitas.errors import IdentityError, SpawnError, describe, logger_of
from civitas.messages import PRIMARY

if TYPE_CHECKING:
    from civitas.runtime import Runtime
    from civitas.topology import Topology
    from civitas.worker import Worker

_LONGEST_PATIENCE: Final = 5.0
"""Seconds that threads and tasks of agents get at most when all agents have ended."""


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
    app_dir: options.AppDir = Path(),
    log_level: options.LogLevel = "info",
    log_format: options.LogFormat = "text",
) -> None:
    """Run a topology: Ctrl-C or SIGTERM finishes the work in hand, a second one stops at once."""
    from civitas.cli.logs import configure_logging

    configure_logging(log_level, log_format, process)
    given = options.chosen(topology, file, overlays, transport, sets)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what agents print shows when they print it
    with foreign_code(hosts=True):
        node = _load_node(given, app_dir, process)
    keep_objects()
    running = RunningNode(node)
    raise typer.Exit(run_with_agents(running.main(), running.exited))


def _load_node(given: options.TopologyInput, app_dir: Path, process: str) -> Runtime | Worker:
    """Load a topology, and make the node of a process of it; the topology itself is let go."""
    loaded = given.load(app_dir, processes=(process,))
    write_notes(loaded.notes)
    return node_of(loaded, process)


def node_of(topology: Topology, process: str) -> Runtime | Worker:
    """Make the node of one process of a topology; it is not started.

    Raises:
        ConfigurationError: there is no such process, or it can't be made.
        PluginError: the transport or a serializer can't be used.
    """
    from civitas.runtime import Runtime
    from civitas.worker import Worker

    check_process(topology, process)
    if process == PRIMARY:
        return Runtime.from_topology(topology)
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


class RunningNode:
    """A node that runs until it ends; the first signal stops it in order."""

    def __init__(self, node: Runtime | Worker) -> None:
        self._node = node
        self._stopped: float | None = None
        """When a signal has stopped it (`time.monotonic`)."""
        self._exit: BaseException | None = None
        """What code of an agent has raised to end the process, outside of its hooks."""
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main(self) -> int:
        """Run the node, and return the exit code of the process; its end has a time limit then."""
        try:
            status = await self._run()
        except Exception as error:  # noqa: BLE001 - said now: the loop may take long to end
            status = report(error)
        self._limit_end(status)
        return status

    async def _run(self) -> int:
        from civitas.runtime import Runtime

        node, self._loop = self._node, asyncio.get_running_loop()

        def stop(name: str) -> None:
            self._stopped = time.monotonic()
            write_from_handler(f"{name}: finishing the work in hand; once more to stop at once")
            self._begin_stop()

        def stop_at_once(name: str) -> None:
            write_from_handler(f"{name} again: stopping at once")

        stop_on_signals(stop, stop_at_once)
        try:
            await node.start()
        except SpawnError:
            if not (self._stopped or self._exit) or node.failure is not None:
                raise
            status = 0  # the signal came while the node started
        else:
            own_loggers_enabled()
            count = len(node.all_agents())
            write_error(f"running: {count} agent{'s'[: count != 1]}; Ctrl-C stops")
            status = await (node.wait() if isinstance(node, Runtime) else node.wait_until_stopped())
        return self._judged(status)

    def exited(self, error: BaseException) -> None:
        """Stop, and fail: code of an agent wants the process to exit, and it is no handler's."""
        logger_of("civitas.cli").error(
            "a task or a callback of an agent raised %s: ending", describe(error), exc_info=error
        )
        if self._exit is None:
            self._exit = error
            self._begin_stop()

    def _begin_stop(self) -> None:
        """Stop the node in order; called in a signal handler, or in the event loop."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._node.stop(), self._loop)

    def _judged(self, status: int) -> int:
        """Say why the node has failed, if it has; return the exit code."""
        failure = self._node.failure
        if self._exit is not None:
            write_error(
                f"error: an agent's code raised {describe(self._exit)} outside of its hooks"
            )
            return FAILURE
        if failure is not None and self._stopped is None:
            what = describe(failure)
            is_evicted = isinstance(failure, IdentityError)
            write_error(f"error: {what if is_evicted else f'the root supervisor gave up: {what}'}")
        return status

    def _limit_end(self, status: int) -> None:
        """Give what agents have left running the rest of their `shutdown_timeout`, or less."""
        patience = max((each.shutdown_timeout for each in self._node.all_agents()), default=0.0)
        if self._stopped is not None:
            patience -= time.monotonic() - self._stopped
        patience = min(max(patience, 0.0), _LONGEST_PATIENCE)
        end_within(patience + LAST_GRACE, status, asyncio.get_running_loop())
