"""The commands `civitas-nats dead-letters`: those of `civitas`, also without a topology."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from civitas.cli.dead_letters.commands import commands_for
from civitas.cli.logs import configure_logging
from civitas.cli.options import Overlays
from civitas.cli.paths import at_home

if TYPE_CHECKING:
    from civitas.cli.dead_letters.source import MessageSource

Topology = Annotated[
    Path | None,
    typer.Option(
        "--topology",
        "-t",
        metavar="FILE",
        help="Take all settings from this topology's transport: servers, login, names.",
        callback=at_home,
    ),
]
Servers = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        show_default="nats://localhost:4222",
        help="The servers, with commas between them.",
    ),
]
Stream = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default="AGENCY", help="stream_name of the topology."),
]
Subject = Annotated[
    str | None,
    typer.Option(
        metavar="SUBJECT",
        show_default="civitas.dead",
        help="dead_letter_subject of the topology.",
    ),
]


def _source(
    topology: Topology = None,
    overlays: Overlays = None,
    servers: Servers = None,
    stream: Stream = None,
    dead_letter_subject: Subject = None,
) -> MessageSource:
    from civitas.cli.dead_letters.source import MessageSource, context_of
    from civitas.transport.dead_letters.reader import MessageReader
    from civitas_nats.cli.options import options_of_command
    from civitas_nats.jetstream.dead_letter_store import NATSDeadLetterStore

    configure_logging("warning")
    options = options_of_command(topology, overlays, servers, stream, dead_letter_subject)
    return MessageSource(lambda: NATSDeadLetterStore(options, context_of("nats")), MessageReader())


app = commands_for(
    _source,
    "Messages that their agents could not process, or that wait for a name: list them, return"
    " them, move them, remove them.",
)
