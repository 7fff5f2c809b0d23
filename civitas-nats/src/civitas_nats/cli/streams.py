"""The command `civitas-nats streams`: creates what processes without that permission need."""

from __future__ import annotations

import asyncio

import typer

from civitas.cli.logs import configure_logging
from civitas.cli.options import Overlays
from civitas.cli.output import write
from civitas.errors import logger_of
from civitas_nats.cli.dead_letters import Servers, Stream, Subject, Topology

app = typer.Typer(help="The streams that keep messages, and dead letters.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep it a group: typer would take the only command for the whole of it."""


@app.command("create")
def create(
    topology: Topology = None,
    overlays: Overlays = None,
    servers: Servers = None,
    stream: Stream = None,
    dead_letter_subject: Subject = None,
) -> None:
    """Create the two streams of a topology, unless they are there and fit.

    Its processes then need `create_stream: false`, and no permission to create streams.
    """
    from civitas_nats.cli.options import options_of_command
    from civitas_nats.jetstream.streams import create_streams

    configure_logging("warning")
    options = options_of_command(topology, overlays, servers, stream, dead_letter_subject)
    asyncio.run(create_streams(options, logger_of("civitas.transport.nats")))
    write(f"the streams {options.stream_name} and {options.dead_letter_stream} are there")
