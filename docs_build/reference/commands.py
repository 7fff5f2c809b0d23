"""Tables of the arguments and options of a command, read from the command itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from typer import Typer
from typer.main import get_command

from docs_build.reference.markers import Marker, Part, chosen
from docs_build.reference.tables import REQUIRED, code, linked, table


class Commands:
    """Arguments and options of the commands: `command civitas topology validate`."""

    def __init__(self, apps: Mapping[str, Typer]) -> None:
        self._apps = apps

    @cached_property
    def _commands(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, app in self._apps.items():
            found |= dict(_leaves(name, get_command(app)))
        return found

    def entries(self) -> list[str]:
        """Return every command, as `command civitas topology validate`."""
        return [f"command {name}" for name in self._commands]

    def part(self, marker: Marker) -> Part:
        """Return what one command does, in its own words, and the table of what it takes."""
        name = chosen(marker.subject, self._commands, "command")
        parameters = {each.name: each for each in self._commands[name].params}
        for each in marker.links:
            chosen(each, parameters, f"argument or option of {name}")
        shows = frozenset([f"command {name}"])
        if not parameters:
            return Part("It takes no options.", shows)
        cells = (
            [
                linked(_names(each), marker.links.get(key)),
                _default(each),
                each.help or "",
            ]
            for key, each in parameters.items()
        )
        return Part(table("command", ["argument or option", "default", "meaning"], cells), shows)


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Give the commands that do something, below a group."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for each, below in command.commands.items():
        yield from _leaves(f"{name} {each}", below)


def _names(parameter: Any) -> str:
    """Return how a parameter is written: `--topology FILE`, `-t`."""
    if parameter.param_type_name == "argument":
        return code((parameter.metavar or parameter.name.upper()).strip("[]"))
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.type.name.upper()}"
    spellings: list[str] = parameter.opts + parameter.secondary_opts
    first, *others = spellings
    return ", ".join([code(first + value), *map(code, others)])


def _default(parameter: Any) -> str:
    if parameter.required:
        return REQUIRED
    if isinstance(parameter.show_default, str):
        return code(parameter.show_default)
    if parameter.default is None or parameter.default is False or parameter.default == ():
        return ""
    if isinstance(parameter.default, float):
        return code(f"{parameter.default:g}")
    return code(str(parameter.default) if parameter.default != Path() else ".")
