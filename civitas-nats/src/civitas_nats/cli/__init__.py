"""The command line `civitas-nats`: its command groups, and how errors become exit codes."""

from __future__ import annotations

import sys
from typing import Final

import typer

from civitas.cli.output import prepare_streams, write_error
from civitas.errors import CivitasError, ConfigurationError, PluginError
from civitas_nats.cli import dead_letters
from civitas_nats.cli.dead_letters import EXIT_FAILURE, EXIT_INTERRUPTED

EXIT_BAD_INPUT: Final = 2

app = typer.Typer(
    name="civitas-nats",
    help="Look after what the NATS transport keeps on JetStream.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    prepare_streams()
    try:
        app()
    except (ConfigurationError, PluginError) as error:
        _exit(error, EXIT_BAD_INPUT)
    except CivitasError as error:
        _exit(error, EXIT_FAILURE)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _exit(error: CivitasError, status: int) -> None:
    from civitas.topology.masking import mask_urls

    write_error(f"error: {mask_urls(str(error))}")
    sys.exit(status)
