"""`civitas new`: begin a system of agents."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from civitas.cli.options import AsJson
from civitas.cli.output import write, write_json
from civitas.cli.paths import at_home
from civitas.errors import CivitasError

_NEXT: Final = (
    ("python -m venv .venv && . .venv/bin/activate", ""),
    ('pip install -e ".[dev]"', ""),
    ("pytest", "agents alone, and the system under faults"),
    ("civitas run", "one process; Ctrl-C stops"),
    ("civitas up --overlay processes.yaml", "two processes"),
)
"""What to run in the folder of a new application, each with a remark."""


def new(
    name: Annotated[str, typer.Argument(metavar="APP", help="Its name, such as my-shop.")],
    directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default="APP", help="The folder to make.", callback=at_home
        ),
    ] = None,
    transport: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            show_default="the known one that needs no server",
            help="The transport for several processes.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a system of agents that runs, with its topology, tests and container file."""
    from civitas._authoring.application import named, render
    from civitas._authoring.placing import place
    from civitas.plugins.catalog import CORE_DISTRIBUTION, scan
    from civitas.plugins.metadata import installed_version

    application = named(name, transport, scan())
    folder = directory or Path(name)
    files = render(application, installed_version(CORE_DISTRIBUTION) or "unknown")
    try:
        place(files, folder)
    except OSError as error:
        raise CivitasError(f"nothing was written to {str(folder)!r}: {error}") from error
    if as_json:
        write_json(
            {**asdict(application), "directory": str(folder.absolute()), "files": list(files)}
        )
        return
    write(f"{name}: a system of two agents, in {folder}")
    for path in files:
        write(f"  {path}")
    write("next:")
    for command, remark in ((f"cd {shlex.quote(str(folder))}", ""), *_NEXT):
        write(f"  {command:<52}# {remark}" if remark else f"  {command}")
