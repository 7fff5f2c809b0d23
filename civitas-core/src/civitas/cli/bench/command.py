"""The command: measures the transport of a topology, and prints what it came to."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from civitas.cli import options
from civitas.cli.event_loop import run_in_own_loop
from civitas.cli.exit_codes import BY_SIGNAL
from civitas.cli.foreign_code import foreign_code
from civitas.cli.output import write_error, write_json, write_notes
from civitas.errors import CivitasError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from civitas.cli.bench.measuring import SizeResult
    from civitas.cli.bench.system import Names
    from civitas.cli.bench.worker import WorkerProcess
    from civitas.topology import Topology


def bench(
    topology: options.TopologyArgument = None,
    file: options.TopologyOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds, for a look.")] = False,
    as_json: options.AsJson = False,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
) -> None:
    """Measure the transport of a topology, between two processes of this command's own."""
    from civitas.cli.bench.system import Names
    from civitas.cli.bench.worker import WorkerProcess
    from civitas.cli.logs import configure_logging

    configure_logging("error")
    with foreign_code():
        loaded = options.chosen(topology, file, overlays, transport, sets).load()
        crosses = options.crosses_processes(loaded)
    write_notes(loaded.notes)
    names = Names.random()
    # Before the event loop of this process: a fork would share it.
    with WorkerProcess(loaded, names) if crosses else nullcontext() as worker:
        try:
            results = run_in_own_loop(_interruptible(_measured(loaded, names, worker, quick)))
        except KeyboardInterrupt:
            write_error("interrupted")
            raise typer.Exit(BY_SIGNAL + signal.SIGINT) from None
        except _TerminatedError as error:
            write_error("terminated")
            raise typer.Exit(BY_SIGNAL + error.number) from None
    _print(loaded, results, processes=1 + crosses, as_json=as_json)
    if lost := sum(each.lost for each in results):
        raise CivitasError(f"{lost} messages were lost")


class _TerminatedError(Exception):
    """A signal has ended the command, and all that it had begun is undone."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


async def _interruptible(main: Coroutine[Any, Any, list[SizeResult]]) -> list[SizeResult]:
    """Await something that a SIGTERM or a SIGHUP cancels, and all that it had begun is undone.

    Raises:
        _TerminatedError: one did.
    """
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    heard: list[int] = []

    def end(number: int) -> None:
        assert task is not None
        heard.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores one of them
            loop.add_signal_handler(number, end, number)
    try:
        return await main
    except asyncio.CancelledError:
        if heard:
            raise _TerminatedError(heard[0]) from None
        raise


async def _measured(
    topology: Topology, names: Names, worker: WorkerProcess | None, quick: bool
) -> list[SizeResult]:
    from civitas.cli.bench.measuring import FULL, QUICK, measured
    from civitas.cli.bench.output import ProgressLine
    from civitas.cli.bench.system import BenchSystem, with_options
    from civitas.plugins.loader import capabilities_of

    block = topology.transport
    assert block.plugin is not None
    async with _apart(topology, names, worker) as own:
        if worker is not None:
            _tell_of(topology, own)
        apart = with_options(topology, own)
        largest = capabilities_of(block.plugin, own, block.where).max_message_bytes
        with ProgressLine() as progress:
            progress.show("starting")
            if worker is not None:
                worker.start(own)
            async with BenchSystem.running(apart, names, alone=worker is None) as system:
                if worker is not None:
                    await worker.wait_running()
                await system.wait_ready()
                effort = QUICK if quick else FULL
                return [e async for e in measured(system, effort, largest, progress.show)]


def _apart(
    topology: Topology, names: Names, worker: WorkerProcess | None
) -> AbstractAsyncContextManager[Any]:
    """Have the options of a system apart from that of the topology, where the plugin knows how."""
    from civitas.plugins.loader import options_apart

    block = topology.transport
    assert block.plugin is not None
    if worker is None or block.plugin.spec.apart is None:
        return nullcontext(block.options)
    return options_apart(block.plugin, block.options, names.system, where=block.where)


def _tell_of(topology: Topology, own: Any) -> None:
    """Say in which options the system that is measured differs from that of the topology."""
    from civitas.cli.bench.output import changed
    from civitas.plugins.shown import shown_options

    block = topology.transport
    if own is block.options:
        write_notes(
            [
                f"the transport {block.type_name!r} does not say how to be apart from a running"
                " system: while one runs with this topology, this command is refused"
            ]
        )
    else:
        differs = changed(shown_options(block.options), shown_options(own)) if block.options else ""
        write_notes([f"apart from a running system: {differs}"])


def _print(topology: Topology, results: list[SizeResult], *, processes: int, as_json: bool) -> None:
    from civitas.cli.bench.output import write_results

    if not as_json:
        write_results(results)
        return
    write_json(
        {
            "transport": topology.transport.type_name,
            "serializer": topology.serializer.type_name,
            "processes": processes,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "processors": os.cpu_count(),
            "sizes": [each.as_dict() for each in results],
        }
    )
