"""`civitas run`: run a topology until it ends, or is told to stop."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from civitas.cli.output import write_error

if TYPE_CHECKING:
    from civitas.runtime import Runtime
    from civitas.topology import Topology
    from civitas.worker import Worker

PRIMARY: Final = "supervisor"
DEFAULT_TOPOLOGY: Final = Path("topology.yaml")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_LAST_GRACE: Final = 1.0
"""Seconds that tasks may take to end when all agents have ended."""


def run(
    topology: Annotated[
        Path | None,
        typer.Argument(
            metavar="TOPOLOGY",
            help="The topology file.",
            show_default=str(DEFAULT_TOPOLOGY),
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--topology", "-t", metavar="FILE", help="The same, as an option."),
    ] = None,
    process: Annotated[
        str,
        typer.Option(
            "--process",
            metavar="NAME",
            help="Which process of the topology to run here. A transport that stays within one "
            "process has only this one.",
        ),
    ] = PRIMARY,
    transport: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="Replace the whole transport block by this type."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY.PATH=YAML",
            help="Set one value, such as send_timeout=5. Repeatable.",
        ),
    ] = None,
    app_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder from which agent classes are imported.")
    ] = Path(),
    log_level: Annotated[
        str, typer.Option(metavar="LEVEL", help="debug (with tracebacks), info, warning or error.")
    ] = "info",
) -> None:
    """Run a topology: Ctrl-C or SIGTERM finishes the work in hand, a second one stops at once."""
    from civitas.cli.logs import configure_logging

    configure_logging(log_level)
    runtime = _prepare(topology_path(topology, file), process, transport, sets or (), app_dir)
    gc.freeze()
    gc.enable()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what agents print shows when they print it
    raise typer.Exit(asyncio.run(_serve(runtime)))


def topology_path(argument: Path | None, option: Path | None) -> Path:
    """Return the topology file that a command was given, by its argument or its option."""
    if argument is not None and option is not None and argument != option:
        raise typer.BadParameter(f"two topologies were given: {argument} and {option}")
    return argument or option or DEFAULT_TOPOLOGY


def _prepare(
    path: Path, process: str, transport: str | None, sets: list[str] | tuple[()], app_dir: Path
) -> Runtime | Worker:
    from civitas.process import AgentProcess
    from civitas.runtime import Runtime
    from civitas.topology import load_topology
    from civitas.worker import Worker

    topology = load_topology(
        path, agent_base=AgentProcess, transport=transport, sets=sets, app_dir=app_dir
    )
    for note in topology.notes:
        write_error(f"note: {note}")
    if process == PRIMARY:
        return Runtime.from_topology(topology)
    _check_process(topology, process)
    return Worker.from_topology(topology, process)


def _check_process(topology: Topology, process: str) -> None:
    """Refuse a process that the topology does not have, or that can't be one of its own."""
    from civitas.errors import ConfigurationError
    from civitas.plugins.loader import capabilities_of

    transport = topology.transport
    assert transport.plugin is not None
    known = ", ".join((PRIMARY, *topology.processes))
    claims = capabilities_of(transport.plugin, transport.options, transport.where)
    if not claims.cross_process:
        raise ConfigurationError(
            f"process {process!r} can't be run on its own: transport "
            f"{transport.type_name!r} stays within one process, {PRIMARY!r} "
            f"(processes of {topology.file}: {known})"
        )
    if process not in topology.processes:
        raise ConfigurationError(
            f"{topology.file} has no process {process!r}; its processes are {known}"
        )


async def _serve(runtime: Runtime | Worker) -> int:
    """Run until the runtime, or the worker, ends; the first signal stops it in order."""
    from civitas.errors import IdentityError

    stop = _StopOnSignal(runtime)
    with stop.listening():
        try:
            await runtime.start()
            stop.starting = None
            count = len(runtime.all_agents())
            write_error(f"running: {count} agent{'s'[: count != 1]}; Ctrl-C stops")
            status = await _end_of(runtime)
        except asyncio.CancelledError:
            if not stop.told:
                raise
            status = 0  # told to stop while it started
        await stop.finished()
    if runtime.failure is not None and not stop.told:
        what = f"{type(runtime.failure).__name__}: {runtime.failure}"
        evicted = isinstance(runtime.failure, IdentityError)
        write_error(f"error: {what if evicted else f'the root supervisor gave up: {what}'}")
    await _leave_behind(status)
    return status


async def _end_of(node: Runtime | Worker) -> int:
    """Return the exit code with which a node ends."""
    from civitas.runtime import Runtime

    return await (node.wait() if isinstance(node, Runtime) else node.wait_until_stopped())


async def _leave_behind(status: int) -> None:
    """Cancel what still runs, as asyncio.run would; exit if that is of no use, which it would not.

    An agent that does not let itself be cancelled must not keep the process from ending.
    """
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks and (await asyncio.wait(tasks, timeout=_LAST_GRACE))[1]:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class _StopOnSignal:
    """Turns the first signal into a stop in order, and the second into an exit at once.

    The handlers are Python's own, not the event loop's: they also run while an agent's handler
    blocks the loop.
    """

    def __init__(self, runtime: Runtime | Worker) -> None:
        self.told = False
        self._runtime = runtime
        self._loop = asyncio.get_running_loop()
        self.starting = asyncio.current_task()
        """The task that starts the runtime; None once it has."""
        self._stopping: asyncio.Task[None] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to SIGINT and SIGTERM within the block."""
        before = {each: signal.signal(each, self._hear) for each in _SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    async def finished(self) -> None:
        """Await the stop that a signal began."""
        if self._stopping is not None:
            await self._stopping

    def _hear(self, number: int, _frame: object) -> None:
        name = signal.Signals(number).name
        if self.told:
            _tell(f"{name} again: stopping at once")
            os._exit(128 + number)
        self.told = True
        _tell(f"{name}: finishing the work in hand; once more to stop at once")
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        if self.starting is not None:
            self.starting.cancel()  # a start that is cancelled cleans up
        else:
            self._stopping = self._loop.create_task(self._runtime.stop())


def _tell(text: str) -> None:
    """Write a line from within a signal handler, where buffered streams may be in mid-write."""
    with suppress(RuntimeError):
        sys.stdout.flush()
    os.write(2, f"{text}\n".encode())
