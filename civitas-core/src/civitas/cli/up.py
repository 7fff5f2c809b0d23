"""`civitas up`: run all processes of a topology on this machine."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from civitas.cli.run import DEFAULT_TOPOLOGY, PRIMARY, topology_path

if TYPE_CHECKING:
    from civitas.cli.fleet.fleet import Fleet
    from civitas.topology import Topology

DEFAULT_GRACE: Final = 35.0
LONGEST_GRACE: Final = 86_400.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
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
    grace: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=LONGEST_GRACE,
            metavar="SECONDS",
            help="What a process may take to end before it is killed.",
        ),
    ] = DEFAULT_GRACE,
) -> None:
    """Run all processes of a topology: Ctrl-C ends them in order, a second one kills them."""
    from civitas.cli.logs import configure_logging
    from civitas.cli.output import imports_print_to_stderr
    from civitas.process import AgentProcess
    from civitas.topology import load_topology

    configure_logging(log_level)
    path = topology_path(topology, file)
    with imports_print_to_stderr():  # the processes import it all again, and print it to stdout
        loaded = load_topology(
            path, agent_base=AgentProcess, transport=transport, sets=sets or (), app_dir=app_dir
        )
    arguments = ["run", f"--topology={path}", f"--app-dir={app_dir}", f"--log-level={log_level}"]
    arguments += [f"--transport={transport}"] if transport is not None else []
    arguments += [f"--set={each}" for each in sets or ()]
    gc.freeze()
    gc.enable()
    raise typer.Exit(_run_all(loaded, arguments, grace))


def processes_to_run(topology: Topology) -> tuple[str, ...]:
    """Return the names of the processes that a topology needs, the primary first."""
    from civitas.plugins.loader import capabilities_of

    transport = topology.transport
    assert transport.plugin is not None
    claims = capabilities_of(transport.plugin, transport.options, transport.where)
    return (PRIMARY, *topology.processes) if claims.cross_process else (PRIMARY,)


def _run_all(topology: Topology, arguments: list[str], grace: float) -> int:
    """Run a fleet of `civitas run` until it ends, and return the exit code."""
    from civitas.cli.fleet.console import Console, wants_colours
    from civitas.cli.fleet.fleet import Fleet, Member
    from civitas.cli.fleet.tether import Tether

    names = processes_to_run(topology)
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = (io.FileIO(each.fileno(), "wb", closefd=False) for each in (sys.stdout, sys.stderr))
    console = Console(names, out, err, colours=wants_colours())
    with Tether() as tether:
        members = [
            Member(
                name,
                tether.civitas(*arguments, f"--process={name}", grace=grace),
                is_primary=name == PRIMARY,
            )
            for name in names
        ]
        fleet = Fleet(members, console, grace=grace, pass_fds=[tether.descriptor])
        fleet.say(f"starting {', '.join(names)}; Ctrl-C stops")
        if topology.processes and len(names) == 1:
            fleet.say(
                f"transport {topology.transport.type_name!r} stays within one process: "
                f"the agents of {', '.join(topology.processes)} run in {PRIMARY} too"
            )
        return asyncio.run(_serve(fleet))


async def _serve(fleet: Fleet) -> int:
    with _listening(fleet):
        return await fleet.run()


@contextmanager
def _listening(fleet: Fleet) -> Iterator[None]:
    """Within the block, stop the fleet in order at the first signal, and kill it at the second.

    The handlers are Python's own: they also run while a terminal that is held up takes no output.
    """
    loop = asyncio.get_running_loop()
    told = False

    def begin(name: str) -> None:
        fleet.say(f"{name}: ending all in order; once more to kill them")
        fleet.stop()

    def hear(number: int, _frame: object) -> None:
        nonlocal told
        name = signal.Signals(number).name
        if not told:
            told = True
            loop.call_soon_threadsafe(begin, name)
        elif number != signal.SIGHUP:  # a terminal that closes may send two of these
            fleet.kill()
            os._exit(128 + number)

    heard = [each for each in _SIGNALS if _is_heard(each)]
    before = {each: signal.signal(each, hear) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _is_heard(number: signal.Signals) -> bool:
    """Tell whether to listen to a signal: `nohup` ignores the one of a terminal that closes."""
    return number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
