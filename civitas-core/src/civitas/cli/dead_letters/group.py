"""The command group `civitas dead-letters`: for the transport of a topology."""

from __future__ import annotations

from typing import TYPE_CHECKING

from civitas.cli import options
from civitas.cli.dead_letters.commands import commands_for
from civitas.cli.foreign_code import foreign_code
from civitas.cli.logs import configure_logging

if TYPE_CHECKING:
    from civitas.cli.dead_letters.source import MessageSource


def _source(
    file: options.RunningTopology = None,
    overlays: options.Overlays = None,
    transport: options.TransportType = None,
    sets: options.Sets = None,
) -> MessageSource:
    from civitas.cli.dead_letters.source import source_of

    configure_logging("warning")
    with foreign_code():
        return source_of(options.chosen(None, file, overlays, transport, sets).load())


app = commands_for(
    _source,
    "Messages that a durable transport keeps: those that agents could not process, and those that"
    " wait for a name.",
)
