"""The help of commands where Python keeps no docstrings (`-OO`): it is read from the source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import typer


def restore_help(app: typer.Typer) -> None:
    """Give each command the help that its docstring would have been."""
    for command in app.registered_commands:
        if command.callback is not None and command.help is None:
            command.help = docstring_of(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            restore_help(group.typer_instance)


def docstring_of(function: Callable[..., Any]) -> str | None:
    """Return the docstring in the source of a function; `None` where there is no source."""
    try:
        source = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    return ast.get_docstring(source) if isinstance(source, ast.FunctionDef) else None
