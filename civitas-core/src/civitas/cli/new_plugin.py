"""`civitas plugins new`: write the beginning of a package with a transport or a serializer."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from civitas.cli.options import AsJson
from civitas.cli.output import write, write_error, write_json
from civitas.errors import CivitasError

if TYPE_CHECKING:
    from civitas._authoring.scaffold import Identity
    from civitas.plugins.catalog import PluginKind

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
    as_json: AsJson = False,
) -> None:
    """Write a package that works as it stands; its TODOs say what is yours to do."""
    from importlib_metadata import version

    from civitas._authoring.scaffold import identify, place, render, rivals_of
    from civitas.plugins.catalog import CORE_DISTRIBUTION, scan

    identity = identify(plugin_kind(kind, "KIND"), name, distribution)
    folder = directory or Path(identity.distribution)
    files = render(identity, version(CORE_DISTRIBUTION), author)
    try:
        place(files, folder)
    except OSError as error:
        raise CivitasError(f"nothing was written to {str(folder)!r}: {error}") from error
    notes = rivals_of(identity, scan())
    for note in notes:
        write_error(f"warning: {note}")
    if as_json:
        write_json(
            {
                "kind": identity.kind.value,
                "name": identity.name,
                "distribution": identity.distribution,
                "package": identity.package,
                "directory": str(folder.absolute()),
                "files": list(files),
                "notes": notes,
            }
        )
    else:
        _write_description(identity, folder, files)


def plugin_kind(word: str, parameter: str) -> PluginKind:
    """Return the kind of plugins that an argument or option names."""
    from civitas.plugins.catalog import PluginKind

    words = [each.value for each in PluginKind]
    if word not in words:
        raise typer.BadParameter(f"{parameter} is {' or '.join(words)}, not {word!r}")
    return PluginKind(word)


def _write_description(identity: Identity, folder: Path, files: dict[str, str]) -> None:
    write(f"{identity.distribution}: the {identity.kind.value} {identity.name!r}, in {folder}")
    for path in files:
        write(f"  {path}")
    write("next:")
    steps = [(f"cd {shlex.quote(str(folder))}", ""), *NEXT]
    for command, remark in steps:
        line = command.format(name=identity.name)
        write(f"  {line:<52}# {remark}" if remark else f"  {line}")
