"""`civitas trace`: the command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from civitas.cli import options
from civitas.cli.output import write_error, write_json
from civitas.errors import CivitasError, ConfigurationError

if TYPE_CHECKING:
    from civitas.cli.trace.records import Record


def trace(
    id: Annotated[
        str, typer.Argument(metavar="ID", help="Of a message, a span or a trace; or its beginning.")
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES", help="Logs in JSON; - is stdin.", show_default="-"),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show where a message went, and when, by logs in JSON."""
    from civitas.cli.trace.output import json_of, write_path
    from civitas.cli.trace.paths import path_of, traces_of

    records, others = _read(files or ["-"])
    if others:
        write_error(f"note: {others} line{'s'[: others != 1]} passed over that no log in JSON has")
    found = traces_of(records, id) if id else []
    if not found:
        raise CivitasError(
            f"no line is about {id!r}; are messages logged, with `instruments: [log]` in the "
            f"topology, and as --log-format=json?"
        )
    if len(found) > 1:
        shown = ", ".join(found[:10])
        raise CivitasError(f"{id!r} is the beginning of several traces: {shown}")
    path = path_of(records, found[0])
    if as_json:
        write_json(json_of(path))
    else:
        write_path(path)


def _read(files: list[str]) -> tuple[list[Record], int]:
    from civitas.cli.trace.records import read_lines

    records, others = list["Record"](), 0
    for file in files:
        try:
            if file == "-":
                sys.stdin.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
                more, passed = read_lines(sys.stdin)
            else:
                with (
                    Path(file).expanduser().open(encoding="utf-8", errors="backslashreplace") as log
                ):
                    more, passed = read_lines(log)
        except OSError as error:
            raise ConfigurationError(f"{file!r} can't be read: {error.strerror}") from error
        records, others = [*records, *more], others + passed
    return records, others
