"""`civitas top`: the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from civitas.cli import options
from civitas.cli.event_loop import run_in_own_loop
from civitas.cli.foreign_code import foreign_code

if TYPE_CHECKING:
    from civitas.client import Client


def top(
    argument: options.TopologyArgument = None,
    file: options.TopologyOption = None,
    interval: Annotated[float, options.seconds("Time between two looks.", at_least=0.1)] = 1.0,
    timeout: Annotated[float, options.seconds("Time for each process to answer.")] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="Print one frame, whole, after two looks.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one object a line for each look.")
    ] = False,
    connect_timeout: Annotated[float, options.seconds("Time in which the system is found.")] = 10.0,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
) -> None:
    """Watch each process and agent of a running system: states, rates, queues, crashes."""
    from civitas.cli.logs import configure_logging
    from civitas.cli.top.terminal import check_terminal
    from civitas.client import Client

    live = not (once or as_json)
    if live:
        check_terminal()
    configure_logging("error")
    with foreign_code():
        topology = options.chosen(argument, file, overlays, transport, sets).load()
        made = [Client.from_topology(topology, connect_timeout, may_be_alone=True)]

    def make() -> Client:
        if made:  # the first one shows that one can be made
            return made.pop()
        return Client.from_topology(topology, connect_timeout, may_be_alone=True)

    if live:
        from civitas.cli.top.watching import Watching

        code = run_in_own_loop(Watching(topology, interval).run(make, timeout))
        raise typer.Exit(code)
    from civitas.cli.top.printing import print_frames

    seen = print_frames(make, topology, interval, timeout, once=once, as_json=as_json)
    run_in_own_loop(seen)
