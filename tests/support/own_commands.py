"""Every command of the three programs of this workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import typer

import civitas.cli.app
import civitas_nats.cli
import civitas_zmq.cli

_APPS = (civitas.cli.app.app, civitas_nats.cli.app, civitas_zmq.cli.app)


def own_commands() -> list[Callable[..., Any]]:
    """Return the functions of all commands, those of groups included."""
    return [each for app in _APPS for each in _commands(app)]


def _commands(app: typer.Typer) -> Iterator[Callable[..., Any]]:
    yield from (each.callback for each in app.registered_commands if each.callback is not None)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from _commands(group.typer_instance)
