"""Rendering: from the templates to the files of a package.

A template is the file that it will be, with `$name` and the like (string.Template) for what differs
from package to package. Its suffix `.tmpl` keeps tools from taking it for code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from string import Template
from typing import Final

from civitas._authoring.scaffold.identity import Identity
from civitas.errors import ConfigurationError
from civitas.plugins.catalog import PluginKind

_SUFFIX: Final = ".tmpl"
_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.\d+)*((?:a|b|rc)\d+|\.?dev\d+)?")
_AUTHOR: Final = re.compile(r"(?P<name>[^<>]*[^<>\s])(?:\s*<(?P<email>[^<>@\s]+@[^<>@\s]+)>)?")

_LIBRARY: Final = {
    PluginKind.TRANSPORT: "your client library",
    PluginKind.SERIALIZER: "the library of your format",
}


def render(identity: Identity, core_version: str, author: str | None = None) -> dict[str, str]:
    """Return the files of a new package: their texts by path, in order.

    Args:
        identity: what it is called.
        core_version: the version of civitas-core that it is for.
        author: as `Name` or `Name <mail@address>`; a TODO when left out.

    Raises:
        ConfigurationError: the author can't be read.
    """
    values = {
        "kind": identity.kind.value,
        "group": identity.kind.group,
        "name": identity.name,
        "distribution": identity.distribution,
        "package": identity.package,
        "prefix": identity.prefix,
        "core_range": compatible_range(core_version),
        "library": _LIBRARY[identity.kind],
        "authors": _authors_line(author),
    }
    return dict(
        sorted(
            (_place_of(name, identity.package), Template(text).substitute(values))
            for folder in ("common", identity.kind.value)
            for name, text in _templates(folder)
        )
    )


def compatible_range(version: str) -> str:
    """Return the range of versions that go with this one, as a requirement states it.

    Before version 1 every minor version may change what plugins rely on.
    """
    match = _VERSION.match(version)
    if match is None:
        raise ConfigurationError(f"civitas-core has version {version!r}, which can't be read")
    major, minor, early = int(match[1]), int(match[2]), match[3]
    least = match[0] if early else f"{major}.{minor}"
    return f">={least},<{f'0.{minor + 1}' if major == 0 else major + 1}"


def _templates(folder: str) -> Iterator[tuple[str, str]]:
    for each in files(__package__).joinpath("templates", folder).iterdir():
        yield each.name.removesuffix(_SUFFIX), each.read_text(encoding="utf-8")


def _place_of(name: str, package: str) -> str:
    """Return where in the package's folder a file goes."""
    if name.startswith("test_"):
        return f"tests/{name}"
    return f"src/{package}/{name}" if name.endswith((".py", "py.typed")) else name


def _authors_line(author: str | None) -> str:
    """Return the line of pyproject.toml that names the author."""
    if author is None:
        return '# TODO: authors = [{ name = "Your Name", email = "you@example.org" }]'
    match = _AUTHOR.fullmatch(author.strip())
    if match is None or not author.isprintable():
        raise ConfigurationError(
            f'the author {author!r} can\'t be read: write a name, or "Name <mail@example.org>"'
        )
    # What JSON makes of printable text is text in TOML, too.
    fields = ", ".join(
        f"{key} = {json.dumps(text, ensure_ascii=False)}"
        for key, text in match.groupdict().items()
        if text is not None
    )
    return f"authors = [{{ {fields} }}]"
