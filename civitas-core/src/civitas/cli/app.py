"""The `civitas` command: registers its commands, and turns errors into exit codes.

Command modules import only typer at their top. What a command needs beyond that (pydantic, rich,
the runtime) is imported when it runs, so that `civitas --help` stays fast.
"""

from __future__ import annotations

import logging
import platform
import signal
import sys

import typer

from civitas.cli import plugins as plugins_group
from civitas.cli import topology as topology_group
from civitas.cli.exit_codes import BAD_INPUT, BY_SIGNAL, FAILURE
from civitas.cli.options import AsJson
from civitas.cli.output import prepare_streams, write, write_error, write_json
from civitas.cli.run import run
from civitas.cli.talk import ask, send, stats
from civitas.cli.up import up
from civitas.errors import CivitasError, ConfigurationError, PluginError

app = typer.Typer(
    name="civitas",
    help="Run supervised agents; the transport that carries their messages is a plugin.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _command in (run, up, ask, send, stats):
    app.command()(_command)
app.add_typer(topology_group.app, name="topology")
app.add_typer(plugins_group.app, name="plugins")


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the versions of civitas-core, of the plugin API and of Python."""
    from importlib_metadata import version as distribution_version

    from civitas.plugins.catalog import API_VERSION

    core, python = distribution_version("civitas-core"), platform.python_version()
    if as_json:
        write_json({"civitas_core": core, "plugin_api": API_VERSION, "python": python})
    else:
        write(f"civitas-core {core} (plugin API {API_VERSION}, Python {python})")


def main() -> None:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    prepare_streams()
    try:
        app()
    except CivitasError as error:
        from civitas.topology.masking import mask_urls

        logging.getLogger("civitas.cli").debug("what led to the error below:", exc_info=error)
        write_error(f"error: {mask_urls(str(error))}")
        is_bad_input = isinstance(error, ConfigurationError | PluginError)
        sys.exit(BAD_INPUT if is_bad_input else FAILURE)
    except KeyboardInterrupt:
        sys.exit(BY_SIGNAL + signal.SIGINT)
