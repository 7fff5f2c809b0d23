"""The command: asks a system whether it is well, and says so by its exit code and a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from civitas.cli import options
from civitas.cli.output import write, write_json
from civitas.cli.talk import ConnectTimeout, converse_about
from civitas.errors import CivitasError, ConfigurationError

if TYPE_CHECKING:
    from civitas.cli.check.verdict import Checked
    from civitas.client import Client
    from civitas.topology import Topology


def check(
    topology: options.TopologyArgument = None,
    file: options.TopologyOption = None,
    process: Annotated[
        str | None,
        typer.Option("--process", "-p", metavar="NAME", help="Look at this process alone."),
    ] = None,
    backlog: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Fail if more than so many messages wait for an agent."
        ),
    ] = None,
    timeout: Annotated[float, options.seconds("Time for each process.")] = 5.0,
    as_json: options.AsJson = False,
    connect_timeout: ConnectTimeout = 10.0,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
) -> None:
    """Exit with 0 if a system is well, else with 1 and a line that says why."""
    from civitas.cli.check.verdict import Checked
    from civitas.cli.foreign_code import foreign_code
    from civitas.cli.logs import configure_logging
    from civitas.cli.run import check_process

    configure_logging("error")
    with foreign_code():
        loaded = options.chosen(topology, file, overlays, transport, sets).load()
    if process is not None:
        check_process(loaded, process)
    checked = Checked(process, backlog)
    if not options.crosses_processes(loaded):
        _ask_here(loaded, checked, timeout, as_json=as_json)
        return

    async def conversation(client: Client, topology: Topology) -> None:
        await _ask_all(client, topology, checked, timeout, as_json=as_json)

    converse_about(loaded, conversation, connect_timeout, starts=False)


async def _ask_all(
    client: Client, topology: Topology, checked: Checked, timeout: float, *, as_json: bool
) -> None:
    from civitas.cli.check.verdict import well, why_not
    from civitas.cli.stats.command import ask_system
    from civitas.cli.stats.output import json_of

    counts = checked.backlog is not None
    asked = await ask_system(client, topology, timeout, counts=counts)
    reason = asked.absence or why_not(checked, asked.states, asked.waiting)
    shown: dict[str, Any] = {}
    if as_json:
        names = [{each.name for each in rows} for rows in checked.rows(asked.states)]
        states = json_of(asked.states, asked.waiting)
        shown = {
            what: [each for each in states[what] if each[key] in named]
            for what, key, named in zip(
                ("processes", "agents"), ("process", "agent"), names, strict=True
            )
        }
    _conclude(reason, well(checked, asked.states), shown, as_json=as_json)


def _ask_here(topology: Topology, checked: Checked, timeout: float, *, as_json: bool) -> None:
    """Ask the only process of a system, which nobody reaches but by its health address."""
    from civitas.cli.check.page import ask_ready

    listen = topology.health.listen
    if listen is None or listen.port == 0 or checked.backlog is not None:
        what = "its backlog" if checked.backlog is not None else "it"
        raise ConfigurationError(
            f"transport {topology.transport.type_name!r} stays within one process, so nobody "
            f"outside can be told {what}; where it has a health address with a port, this command "
            f"asks there, without --backlog: health.listen of the topology, or of --set where it "
            f"was started with --health"
        )
    try:
        reason = "; ".join(ask_ready(listen, timeout))
    except CivitasError as error:
        reason = str(error)
    _conclude(reason, "ok: 1 process", {}, as_json=as_json)


def _conclude(reason: str, well: str, shown: dict[str, Any], *, as_json: bool) -> None:
    """Print the verdict.

    Raises:
        CivitasError: there is a reason why not.
    """
    if as_json:
        write_json({"ok": not reason, "reason": reason, **shown})
    if reason:
        raise CivitasError(reason)
    if not as_json:
        write(well)
