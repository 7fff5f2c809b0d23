"""`civitas ask`, `send`, `stats` and `restart`: talk to a running system from a shell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from civitas.cli import options
from civitas.cli.event_loop import run_in_own_loop
from civitas.cli.foreign_code import foreign_code
from civitas.cli.output import jsonable, write_error, write_json
from civitas.cli.payload import read_payload
from civitas.errors import CivitasError

if TYPE_CHECKING:
    from civitas.client import Client
    from civitas.topology import Topology


Agent = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
Payload = Annotated[str, typer.Argument(metavar="JSON", help="The payload: a JSON object.")]
ConnectTimeout = Annotated[float, options.seconds("Time in which the system is found.")]
Check = Annotated[
    bool, typer.Option("--check", help="Exit with 1 unless all runs that the topology names.")
]
MessageType = Annotated[str, typer.Option("--type", metavar="TYPE", help="The message's type.")]


def ask(
    agent: Agent,
    payload: Payload = "{}",
    file: options.RunningTopology = None,
    timeout: Annotated[float, options.seconds("Time for the answer.")] = 30.0,
    message_type: MessageType = "message",
    as_json: options.AsJson = False,
    connect_timeout: ConnectTimeout = 10.0,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
) -> None:
    """Ask an agent of a running system and print the payload of its answer as JSON."""
    values = read_payload(payload)

    async def conversation(client: Client, _: Topology) -> None:
        reply = await client.ask(agent, values, message_type, timeout)
        payload = jsonable(reply.payload)
        whole = {"sender": reply.sender, "type": reply.type, "payload": payload}
        write_json(whole if as_json else payload)

    converse(conversation, options.chosen(None, file, overlays, transport, sets), connect_timeout)


def send(
    agent: Agent,
    payload: Payload = "{}",
    file: options.RunningTopology = None,
    timeout: Annotated[float, options.seconds("Time in which it is taken.")] = 30.0,
    message_type: MessageType = "message",
    as_json: options.AsJson = False,
    connect_timeout: ConnectTimeout = 10.0,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
) -> None:
    """Send a message to an agent of a running system; ends when its process has taken it."""
    values = read_payload(payload)

    async def conversation(client: Client, _: Topology) -> None:
        await client.send(agent, values, message_type)
        await client.delivered(agent, timeout)
        if as_json:
            write_json({"sent": True, "agent": agent})
        else:
            write_error(f"sent to {agent!r}")

    converse(conversation, options.chosen(None, file, overlays, transport, sets), connect_timeout)


def stats(
    file: options.RunningTopology = None,
    timeout: Annotated[float, options.seconds("Time for each process.")] = 5.0,
    check: Check = False,
    as_json: options.AsJson = False,
    connect_timeout: ConnectTimeout = 10.0,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
) -> None:
    """Show how each process and agent of the topology is, its counters, and what waits for it."""

    async def conversation(client: Client, topology: Topology) -> None:
        from civitas.cli.stats.command import show_stats

        await show_stats(client, topology, timeout, as_json=as_json, check=check)

    given = options.chosen(None, file, overlays, transport, sets)
    converse(conversation, given, connect_timeout, starts=False)


def restart(
    agent: Agent,
    file: options.RunningTopology = None,
    timeout: Annotated[float, options.seconds("Time in which it has started again.")] = 60.0,
    as_json: options.AsJson = False,
    connect_timeout: ConnectTimeout = 10.0,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
) -> None:
    """Restart an agent of a running system by its supervisor; ends when it has started again."""

    async def conversation(client: Client, _: Topology) -> None:
        await client.restart(agent, timeout)
        if as_json:
            write_json({"restarted": True, "agent": agent})
        else:
            write_error(f"restarted {agent!r}")

    converse(conversation, options.chosen(None, file, overlays, transport, sets), connect_timeout)


def converse(
    conversation: Callable[[Client, Topology], Awaitable[None]],
    given: options.TopologyInput,
    connect_timeout: float,
    *,
    starts: bool = True,
) -> None:
    """Connect to the system of a topology for a conversation; exit with 1 if it takes too long.

    Without `starts` the conversation starts the client, which may find no system.
    """
    from civitas.cli.logs import configure_logging

    configure_logging("error")
    with foreign_code():
        topology = given.load()
    converse_about(topology, conversation, connect_timeout, starts=starts)


def converse_about(
    topology: Topology,
    conversation: Callable[[Client, Topology], Awaitable[None]],
    connect_timeout: float,
    *,
    starts: bool = True,
) -> None:
    """Do the same as `converse`, for a topology that was loaded."""
    from civitas.client import Client

    with foreign_code():
        client = Client.from_topology(
            topology, connect_timeout, may_be_alone=not starts, watched=False
        )

    async def run() -> None:
        async with client if starts else nullcontext():
            await conversation(client, topology)

    try:
        run_in_own_loop(run())
    except TimeoutError as error:
        raise CivitasError(str(error) or "no answer in time") from error
