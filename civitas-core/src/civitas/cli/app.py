"""The `civitas` command: registers its commands.

Command modules import only typer at their top. What a command needs beyond that (pydantic, rich,
the runtime) is imported when it runs, so that `civitas --help` stays fast.
"""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from civitas.cli import plugins as plugins_group
from civitas.cli import topology as topology_group
from civitas.cli.bench.command import bench
from civitas.cli.dead_letters import group as dead_letters_group
from civitas.cli.entry import CommandGroup, run_commands
from civitas.cli.options import AsJson
from civitas.cli.output import write, write_json
from civitas.cli.run import run
from civitas.cli.talk import ask, send, stats
from civitas.cli.up import up

app = typer.Typer(
    name="civitas",
    cls=CommandGroup,
    help="Run supervised agents; the transport that carries their messages is a plugin.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _command in (run, up, ask, send, stats, bench):
    app.command()(_command)
app.add_typer(dead_letters_group.app, name="dead-letters")
app.add_typer(topology_group.app, name="topology")
app.add_typer(plugins_group.app, name="plugins")


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _before_commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print versions and exit."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the versions of civitas-core, of the plugin API and of Python."""
    from civitas.plugins.catalog import API_VERSION, CORE_DISTRIBUTION
    from civitas.plugins.metadata import installed_version

    core, python = installed_version(CORE_DISTRIBUTION), platform.python_version()
    if as_json:
        write_json({"civitas_core": core, "plugin_api": API_VERSION, "python": python})
    else:
        shown = core or "of unknown version: its metadata is not here"
        write(f"civitas-core {shown} (plugin API {API_VERSION}, Python {python})")


def main() -> None:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    run_commands(app)
