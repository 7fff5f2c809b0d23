"""The `civitas` command: registers its commands, and of these no more than are needed.

To make all commands takes a tenth of a start, so a command line that begins with the name of one
gets that one alone. What else there is (help, a completion, a name that is none) gets all; for a
list of them, the names and helps are enough. Command modules import only typer at their top: what a
command needs beyond that (pydantic, rich, asyncio, the runtime) is imported when it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from civitas.cli.entry import CommandGroup, run_commands

if TYPE_CHECKING:
    app: typer.Typer
    """All of it, for who looks at the commands."""

_COMMANDS: Final = {
    "run": "civitas.cli.run",
    "up": "civitas.cli.up",
    "ask": "civitas.cli.talk",
    "send": "civitas.cli.talk",
    "stats": "civitas.cli.talk",
    "check": "civitas.cli.check.command",
    "top": "civitas.cli.top.command",
    "restart": "civitas.cli.talk",
    "trace": "civitas.cli.trace.command",
    "bench": "civitas.cli.bench.command",
    "new": "civitas.cli.new",
    "version": "civitas.cli.version",
}
"""Where the functions are that are commands; each has its command's name."""

_GROUPS: Final = {
    "dead-letters": "civitas.cli.dead_letters.group",
    "topology": "civitas.cli.topology",
    "plugins": "civitas.cli.plugins",
}
"""Where groups of commands are: `app` of each."""


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """Return the program, with the commands that it needs for these arguments."""
    named = {*arguments[:1]} & {*_COMMANDS, *_GROUPS}
    # `-OO` has no docstrings, and the sources of stand-ins have none either.
    listed = arguments in ([], ["--help"]) and sys.flags.optimize < 2
    # Of a completion, the arguments are in the environment.
    return _app(named, listed=listed and not any("_COMPLETE" in each for each in os.environ))


def _app(names: set[str], *, listed: bool = False) -> typer.Typer:
    """Return the program with these commands, or with all; `listed`: just their names and helps."""
    made = typer.Typer(
        name="civitas",
        cls=CommandGroup,
        help="Run supervised agents; the transport that carries their messages is a plugin.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    made.callback()(_before_commands)
    for name in names & {*_COMMANDS} if names else _COMMANDS:
        command = getattr(import_module(_COMMANDS[name]), name)
        made.command(name)(_stand_in(command) if listed else command)
    for name in names & {*_GROUPS} if names else _GROUPS:
        group = import_module(_GROUPS[name]).app
        made.add_typer(typer.Typer(help=group.info.help) if listed else group, name=name)
    return made


def _stand_in(command: Callable[..., Any]) -> Callable[[], None]:
    """Return a command that has the help of this one, and nothing else."""

    def shown() -> None: ...

    shown.__doc__ = command.__doc__
    return shown


def _print_version(wanted: bool) -> None:
    if wanted:
        import_module(_COMMANDS["version"]).version()
        raise typer.Exit


def _before_commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print versions and exit."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    run_commands(app_for(sys.argv[1:]))


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = _app(set())
    globals()[name] = made
    return made
