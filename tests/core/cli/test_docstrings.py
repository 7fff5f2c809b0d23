"""The help of commands, where Python keeps no docstrings."""

from __future__ import annotations

import inspect
from typing import Any

import typer

from civitas.cli.docstrings import docstring_of, restore_help
from support.own_commands import own_commands


def test_the_source_of_every_command_has_its_help() -> None:
    found = own_commands()

    assert len(found) > 15
    for command in found:
        assert docstring_of(command) == inspect.getdoc(command), command


def test_what_has_no_source_has_no_help() -> None:
    made: dict[str, Any] = {}
    exec("def made(): 'Not in a file.'", made)

    assert docstring_of(made["made"]) is None


def test_a_help_that_is_given_stays() -> None:
    app, group = typer.Typer(), typer.Typer()
    app.add_typer(group, name="group")

    @app.command(help="Given.")
    def one() -> None:
        """Written."""

    @group.command()
    def two() -> None:
        """Written."""

    restore_help(app)

    assert [each.help for each in app.registered_commands] == ["Given."]
    assert [each.help for each in group.registered_commands] == ["Written."]
