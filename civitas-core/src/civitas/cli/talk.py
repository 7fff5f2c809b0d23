"""`civitas ask`, `civitas send` and `civitas stats`: talking to a running system from a shell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from civitas.cli.output import imports_print_to_stderr, write, write_error, write_json
from civitas.cli.run import DEFAULT_TOPOLOGY, topology_path

if TYPE_CHECKING:
    from civitas.client import Client

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
Payload = Annotated[str, typer.Argument(metavar="JSON", help="The payload: a JSON object.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--topology",
        "-t",
        metavar="FILE",
        help="The topology of the running system, for its transport.",
        show_default=str(DEFAULT_TOPOLOGY),
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY.PATH=YAML", help="Set one value, such as send_timeout=5. Repeatable."
    ),
]
Transport = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="Replace the whole transport block by this type."),
]
AppDir = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder from which agent classes are imported.")
]
Answer = Annotated[float, typer.Option(metavar="SECONDS", min=0.001, help="Time for the answer.")]
Taking = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.001, help="Time in which it is taken.")
]
Counting = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.001, help="Time for each process.")
]
Connect = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.001, help="Time in which the system is found.")
]
Type = Annotated[str, typer.Option("--type", metavar="TYPE", help="The message's type.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def ask(
    agent: Agent,
    payload: Payload = "{}",
    file: File = None,
    timeout: Answer = 30.0,
    message_type: Type = "message",
    as_json: AsJson = False,
    connect_timeout: Connect = 10.0,
    transport: Transport = None,
    sets: Sets = None,
    app_dir: AppDir = Path(),
) -> None:
    """Ask an agent of a running system and print the payload of its answer as JSON."""
    values = _object(payload)

    async def conversation(client: Client) -> None:
        reply = await client.ask(agent, values, message_type, timeout)
        write_json(
            {"sender": reply.sender, "type": reply.type, "payload": reply.payload}
            if as_json
            else reply.payload
        )

    _talk(conversation, file, connect_timeout, transport, sets or (), app_dir)


def send(
    agent: Agent,
    payload: Payload = "{}",
    file: File = None,
    timeout: Taking = 30.0,
    message_type: Type = "message",
    as_json: AsJson = False,
    connect_timeout: Connect = 10.0,
    transport: Transport = None,
    sets: Sets = None,
    app_dir: AppDir = Path(),
) -> None:
    """Send a message to an agent of a running system; ends when its process has taken it."""
    values = _object(payload)

    async def conversation(client: Client) -> None:
        await client.send(agent, values, message_type)
        await client.delivered(agent, timeout)
        if as_json:
            write_json({"sent": True, "agent": agent})
        else:
            write_error(f"sent to {agent!r}")

    _talk(conversation, file, connect_timeout, transport, sets or (), app_dir)


def stats(
    file: File = None,
    timeout: Counting = 5.0,
    as_json: AsJson = False,
    connect_timeout: Connect = 10.0,
    transport: Transport = None,
    sets: Sets = None,
    app_dir: AppDir = Path(),
) -> None:
    """Show the counters of every process of a running system."""

    async def conversation(client: Client) -> None:
        nodes = await client.stats(timeout)
        if as_json:
            write_json({"nodes": nodes})
        else:
            _show(nodes)

    _talk(conversation, file, connect_timeout, transport, sets or (), app_dir)


def _talk(
    conversation: Callable[[Client], Awaitable[None]],
    file: Path | None,
    connect_timeout: float,
    transport: str | None,
    sets: list[str] | tuple[()],
    app_dir: Path,
) -> None:
    """Have a conversation with the system of a topology; its errors end the command."""
    from civitas.cli.logs import configure_logging
    from civitas.client import Client
    from civitas.process import AgentProcess
    from civitas.topology import load_topology

    configure_logging("error")
    with imports_print_to_stderr():
        topology = load_topology(
            topology_path(None, file),
            agent_base=AgentProcess,
            transport=transport,
            sets=sets,
            app_dir=app_dir,
        )
        client = Client.from_topology(topology, connect_timeout)

    async def run() -> None:
        async with client:
            await conversation(client)

    try:
        asyncio.run(run())
    except TimeoutError as error:
        write_error(f"error: {str(error) or 'no answer in time'}")
        raise typer.Exit(1) from None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"this is no JSON: {error}; given was {text!r:.80}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(
            f'a payload is a JSON object, such as \'{{"question": "..."}}\', not {text!r:.80}'
        )
    return value


def _show(nodes: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    numbers = ("sent", "delivered", "lost", "dropped")
    processes = Table("process", "role", "node", "state", box=None, pad_edge=False)
    for each in numbers:
        processes.add_column(each, justify="right")
    agents = Table("agent", "process", "status", box=None, pad_edge=False)
    for each in ("queued", "handled", "errors", "restarts"):
        agents.add_column(each, justify="right")
    for node in nodes:
        if "error" in node:
            processes.add_row(node["process"], "", node["node"][:8], node["error"])
            continue
        stalled = node["stalled"]
        counts = (node["sent"], node["delivered"], *(sum(node[n].values()) for n in numbers[2:]))
        processes.add_row(
            node["process"],
            node["role"],
            node["node"][:8],
            f"stalled for {stalled:.1f} s" if stalled else "running",
            *map(str, counts),
        )
        for agent in node["agents"]:
            counters = ("mailbox_depth", "handled", "errors", "restarts")
            row = (str(agent[counter]) for counter in counters)
            agents.add_row(agent["name"], node["process"], agent["status"].lower(), *row)
    console = Console()
    console.print(processes)
    console.print()
    console.print(agents)
    for node in nodes:
        for what in ("lost", "dropped"):
            for reason, count in node.get(what, {}).items():
                write(f"{node['process']}: {what} {count}: {reason}")
