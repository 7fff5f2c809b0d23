"""`civitas run`: run a topology until it ends, or is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from civitas.cli.output import write_error

if TYPE_CHECKING:
    from civitas.runtime import Runtime

PRIMARY: Final = "supervisor"
DEFAULT_TOPOLOGY: Final = Path("topology.yaml")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run(
    topology: Annotated[
        Path | None, typer.Argument(help="The topology file.", show_default="topology.yaml")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--topology", "-t", help="The topology file, as an option.")
    ] = None,
    process: Annotated[
        str, typer.Option("--process", help="Which process of the topology to run here.")
    ] = PRIMARY,
    transport: Annotated[
        str | None, typer.Option(help="Replace the whole transport block by this type.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY.PATH=YAML", help="Override a value; repeatable."),
    ] = None,
    app_dir: Annotated[
        Path, typer.Option(help="Folder from which agent classes are imported.")
    ] = Path(),
    log_level: Annotated[
        str, typer.Option(help="debug (with tracebacks), info, warning or error.")
    ] = "info",
) -> None:
    """Run a topology: Ctrl-C or SIGTERM finishes the work in hand, a second one stops at once."""
    from civitas.cli.logs import configure_logging

    configure_logging(log_level)
    runtime = _prepare(_which(topology, file), process, transport, sets or (), app_dir)
    raise typer.Exit(asyncio.run(_serve(runtime)))


def _which(argument: Path | None, option: Path | None) -> Path:
    if argument is not None and option is not None and argument != option:
        raise typer.BadParameter(f"two topologies were given: {argument} and {option}")
    return argument or option or DEFAULT_TOPOLOGY


def _prepare(
    path: Path, process: str, transport: str | None, sets: list[str] | tuple[()], app_dir: Path
) -> Runtime:
    from civitas.errors import ConfigurationError
    from civitas.process import AgentProcess
    from civitas.runtime import Runtime
    from civitas.topology import load_topology

    topology = load_topology(
        path, agent_base=AgentProcess, transport=transport, sets=sets, app_dir=app_dir
    )
    for note in topology.notes:
        write_error(f"note: {note}")
    if process != PRIMARY:
        known = ", ".join((PRIMARY, *topology.processes))
        raise ConfigurationError(
            f"process {process!r} can't be run on its own: transport "
            f"{topology.transport.type_name!r} stays within one process, {PRIMARY!r} "
            f"(processes of {path}: {known})"
        )
    return Runtime.from_topology(topology)


async def _serve(runtime: Runtime) -> int:
    """Run until the runtime ends; the first signal stops it in order."""
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []

    def stop(number: signal.Signals) -> None:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, _exit_at_once)
        write_error(f"{number.name}: finishing the work in hand; once more to stop at once")
        stopping.append(loop.create_task(_stop(runtime, starting)))

    starting = asyncio.current_task()
    for each in _SIGNALS:
        loop.add_signal_handler(each, stop, each)
    try:
        await runtime.start()
        starting = None
        count = len(runtime.all_agents())
        write_error(f"running: {count} agent{'s'[: count != 1]}; Ctrl-C stops")
        status = await runtime.wait()
    except asyncio.CancelledError:
        await asyncio.gather(*stopping)
        return 0
    finally:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
    await asyncio.gather(*stopping)
    if runtime.failure is not None:
        write_error(
            f"error: the root supervisor gave up: "
            f"{type(runtime.failure).__name__}: {runtime.failure}"
        )
    return status


async def _stop(runtime: Runtime, starting: asyncio.Task[int] | None) -> None:
    if starting is not None:
        starting.cancel()
    await runtime.stop()


def _exit_at_once(number: int, _frame: object) -> NoReturn:
    """End without waiting for anything; works while a handler blocks the event loop, too."""
    sys.stdout.flush()
    write_error(f"{signal.Signals(number).name} again: stopping at once")
    os._exit(128 + number)
