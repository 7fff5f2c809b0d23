"""`civitas plugins new`: the beginning of a package with a transport or a serializer."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from civitas.cli.output import write, write_error, write_json

if TYPE_CHECKING:
    from civitas._authoring.scaffold import Identity
    from civitas.plugins.catalog import PluginKind

EXIT_FAILURE: Final = 1
NEXT: Final = (
    ("python -m venv .venv && . .venv/bin/activate", ""),
    ('pip install -e ".[dev]"', ""),
    ("civitas plugins check {name}", "it is found, and whole"),
    ("pytest", "it passes the conformance kit as it stands"),
    ("mypy && ruff check", ""),
    ("grep -rnI TODO README.md pyproject.toml src tests", "what is yours to do"),
    ("python -m build", "what you publish, in dist/"),
)
"""What to run in the new folder, each with a remark."""


def new_plugin(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="transport or serializer.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in topologies.")],
    directory: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="civitas-NAME", help="The folder to make."),
    ] = None,
    distribution: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default="civitas-NAME", help="What `pip install` will be given."
        ),
    ] = None,
    author: Annotated[
        str | None, typer.Option(metavar="AUTHOR", help='"Name" or "Name <mail@address>".')
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a package that works as it stands; its TODOs say what is yours to do."""
    from importlib_metadata import version

    from civitas._authoring.scaffold import identify, place, render, rivals_of
    from civitas.plugins.catalog import CORE_DISTRIBUTION, scan

    identity = identify(_kind(kind), name, distribution)
    folder = directory or Path(identity.distribution)
    files = render(identity, version(CORE_DISTRIBUTION), author)
    try:
        place(files, folder)
    except OSError as error:
        write_error(f"error: nothing was written to {str(folder)!r}: {error}")
        raise typer.Exit(EXIT_FAILURE) from error
    notes = rivals_of(identity, scan())
    for note in notes:
        write_error(f"warning: {note}")
    if as_json:
        write_json(_description(identity, folder, files, notes))
    else:
        _write_description(identity, folder, files)


def _kind(word: str) -> PluginKind:
    from civitas.plugins.catalog import PluginKind

    words = [each.value for each in PluginKind]
    if word not in words:
        raise typer.BadParameter(f"KIND is {' or '.join(words)}, not {word!r}")
    return PluginKind(word)


def _description(
    identity: Identity, folder: Path, files: dict[str, str], notes: list[str]
) -> dict[str, object]:
    return {
        "kind": identity.kind.value,
        "name": identity.name,
        "distribution": identity.distribution,
        "package": identity.package,
        "directory": str(folder.absolute()),
        "files": list(files),
        "notes": notes,
    }


def _write_description(identity: Identity, folder: Path, files: dict[str, str]) -> None:
    write(f"{identity.distribution}: the {identity.kind.value} {identity.name!r}, in {folder}")
    for path in files:
        write(f"  {path}")
    write("next:")
    steps = [(f"cd {shlex.quote(str(folder))}", ""), *NEXT]
    for command, remark in steps:
        line = command.format(name=identity.name)
        write(f"  {line:<52}# {remark}" if remark else f"  {line}")
