"""`civitas ask`, `civitas send` and `civitas stats`: talk to a running system from a shell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from civitas.cli import options
from civitas.cli.output import imports_print_to_stderr, jsonable, write, write_error, write_json
from civitas.cli.payload import read_payload
from civitas.errors import CivitasError

if TYPE_CHECKING:
    from civitas.client import Client
    from civitas.topology import Topology


Agent = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
Payload = Annotated[str, typer.Argument(metavar="JSON", help="The payload: a JSON object.")]
ConnectTimeout = Annotated[float, options.seconds("Time in which the system is found.")]
MessageType = Annotated[str, typer.Option("--type", metavar="TYPE", help="The message's type.")]


def ask(
    agent: Agent,
    payload: Payload = "{}",
    file: options.RunningTopology = None,
    timeout: Annotated[float, options.seconds("Time for the answer.")] = 30.0,
    message_type: MessageType = "message",
    as_json: options.AsJson = False,
    connect_timeout: ConnectTimeout = 10.0,
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

    _talk(conversation, options.chosen(None, file, transport, sets), connect_timeout)


def send(
    agent: Agent,
    payload: Payload = "{}",
    file: options.RunningTopology = None,
    timeout: Annotated[float, options.seconds("Time in which it is taken.")] = 30.0,
    message_type: MessageType = "message",
    as_json: options.AsJson = False,
    connect_timeout: ConnectTimeout = 10.0,
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

    _talk(conversation, options.chosen(None, file, transport, sets), connect_timeout)


def stats(
    file: options.RunningTopology = None,
    timeout: Annotated[float, options.seconds("Time for each process.")] = 5.0,
    as_json: options.AsJson = False,
    connect_timeout: ConnectTimeout = 10.0,
    transport: options.TransportType = None,
    sets: options.Sets = None,
) -> None:
    """Show the counters of every process of a running system, and messages that are stranded."""

    async def conversation(client: Client, topology: Topology) -> None:
        from civitas.cli.dead_letters.stranded import backlog_of

        nodes = await client.stats(timeout)
        backlog = await backlog_of(topology, client.agents(), timeout)
        counted = None if backlog is None or backlog.problem else backlog
        if as_json:
            kept = {"waiting": counted.waiting, "stranded": counted.stranded} if counted else {}
            write_json({"nodes": jsonable(nodes), **kept})
        else:
            _show(nodes)
            write(*counted.lines() if counted else ())
        if backlog is not None and backlog.problem:
            write_error(f"note: what waits in the transport was not counted: {backlog.problem}")

    _talk(conversation, options.chosen(None, file, transport, sets), connect_timeout)


def _talk(
    conversation: Callable[[Client, Topology], Awaitable[None]],
    given: options.TopologyInput,
    connect_timeout: float,
) -> None:
    """Connect to the system of a topology for a conversation; exit with 1 if it takes too long."""
    from civitas.cli.logs import configure_logging
    from civitas.client import Client

    configure_logging("error")
    with imports_print_to_stderr():
        topology = given.load()
        client = Client.from_topology(topology, connect_timeout)

    async def run() -> None:
        async with client:
            await conversation(client, topology)

    try:
        asyncio.run(run())
    except TimeoutError as error:
        raise CivitasError(str(error) or "no answer in time") from error


def _show(nodes: list[dict[str, Any]]) -> None:
    from civitas.cli.tables import Column, write_table

    processes: list[list[str]] = []
    agents: list[list[str]] = []
    for node in nodes:
        name, node_id = node["process"], node["node"][:8]
        if "error" in node:
            processes.append([name, "", node_id, node["error"]])
            continue
        state = f"stalled for {node['stalled']:.1f} s" if node["stalled"] else "running"
        missing = (sum(node[each].values()) for each in ("lost", "dropped"))
        counts = map(str, (node["sent"], node["delivered"], *missing))
        processes.append([name, node["role"], node_id, state, *counts])
        for agent in node["agents"]:
            counters = ("mailbox_depth", "handled", "errors", "restarts")
            row = (str(agent[counter]) for counter in counters)
            agents.append([agent["name"], name, agent["status"].lower(), *row])
    for rows, texts, numbers in (
        (processes, ("process", "role", "node", "state"), ("sent", "delivered", "lost", "dropped")),
        (agents, ("agent", "process", "status"), ("queued", "handled", "errors", "restarts")),
    ):
        columns = [Column(each, wraps=True) for each in texts]
        write_table([*columns, *(Column(each, is_number=True) for each in numbers)], rows)
        if rows is processes:
            write("")
    for node in nodes:
        for what in ("lost", "dropped"):
            for reason, count in node.get(what, {}).items():
                write(f"{node['process']}: {what} {count}: {reason}")
