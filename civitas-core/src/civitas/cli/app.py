"""The `civitas` command: registers its commands, and turns errors into exit codes.

Command modules import only typer at their top. What a command needs beyond that (pydantic, rich,
the runtime) is imported when it runs, so that `civitas --help` stays fast.
"""

from __future__ import annotations

import logging
import signal
import sys

import typer

from civitas.cli import plugins as plugins_group
from civitas.cli import topology as topology_group
from civitas.cli.exit_codes import BAD_INPUT, BY_SIGNAL, FAILURE
from civitas.cli.output import prepare_streams
from civitas.cli.run import run
from civitas.cli.talk import ask, send, stats
from civitas.cli.up import up
from civitas.cli.version import version
from civitas.errors import CivitasError, ConfigurationError, PluginError

app = typer.Typer(
    name="civitas",
    help="Run supervised agents; the transport that carries their messages is a plugin.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("run")(run)
app.command("up")(up)
app.command("ask")(ask)
app.command("send")(send)
app.command("stats")(stats)
app.add_typer(topology_group.app, name="topology")
app.add_typer(plugins_group.app, name="plugins")
app.command("version")(version)


def main() -> None:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    prepare_streams()
    try:
        app()
    except (ConfigurationError, PluginError) as error:
        _exit(error, BAD_INPUT)
    except CivitasError as error:
        _exit(error, FAILURE)
    except KeyboardInterrupt:
        sys.exit(BY_SIGNAL + signal.SIGINT)


def _exit(error: CivitasError, status: int) -> None:
    from civitas.topology.masking import mask_urls

    logging.getLogger("civitas.cli").debug("what led to the error below:", exc_info=error)
    sys.stderr.write(f"error: {mask_urls(str(error))}\n")
    sys.exit(status)
