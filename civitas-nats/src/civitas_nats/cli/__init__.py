"""The command line `civitas-nats`: its command groups."""

from __future__ import annotations

import typer

from civitas.cli.entry import CommandGroup, run_commands
from civitas_nats.cli import dead_letters, server, streams

app = typer.Typer(
    name="civitas-nats",
    cls=CommandGroup,
    help="Look after what the NATS transport keeps on JetStream; run a server for development.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(streams.app, name="streams")
app.command("server")(server.server)


def main() -> None:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    run_commands(app)
