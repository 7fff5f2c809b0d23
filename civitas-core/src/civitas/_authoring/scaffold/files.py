"""Files: from the templates to the folder of a new package, which is written whole or not at all.

A template is the file that it will be, with `$name` and the like (string.Template) for what differs
from package to package. Its suffix `.tmpl` keeps tools from taking it for code.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
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

    The author is given as `Name` or `Name <mail@address>`, and a TODO when left out.

    Raises:
        ConfigurationError: the author can't be read.
    """
    values = asdict(identity) | {
        "kind": identity.kind.value,
        "group": identity.kind.group,
        "core_range": compatible_range(core_version),
        "library": _LIBRARY[identity.kind],
        "authors": _authors_line(author),
    }
    templates = importlib.resources.files(__package__).joinpath("templates")
    found = {
        _place_of(each.name.removesuffix(_SUFFIX), identity.package): each
        for folder in ("common", identity.kind.value)
        for each in templates.joinpath(folder).iterdir()
    }
    return {
        path: Template(each.read_text(encoding="utf-8")).substitute(values)
        for path, each in sorted(found.items())
    }


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


def place(files: Mapping[str, str], folder: Path) -> None:
    """Write files into a folder that is not there yet, or is empty.

    They are written beside it first, and the finished folder is moved to its place. So nothing of
    anybody's is overwritten, and a failure leaves nothing behind.

    Raises:
        ConfigurationError: something is in that place.
        OSError: the system did not let us write.
    """
    target = Path(os.path.realpath(folder))  # an empty folder may be there through a symbolic link
    _refuse_what_is_there(folder, target)
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        unfinished.mkdir()
        for name, text in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        unfinished.rename(target)  # fails where something has come into the folder meanwhile
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


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
    given = {key: text for key, text in match.groupdict().items() if text is not None}
    fields = (f"{key} = {json.dumps(text, ensure_ascii=False)}" for key, text in given.items())
    return f"authors = [{{ {', '.join(fields)} }}]"


def _refuse_what_is_there(folder: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise ConfigurationError(f"there is no folder {str(folder.parent)!r} to make one in")
    if not os.path.lexists(target):
        return
    if not target.is_dir() or any(target.iterdir()):
        raise ConfigurationError(
            f"{str(folder)!r} is there already, and nothing in it was touched: choose another "
            f"place with --directory"
        )
    if target == Path.cwd():  # replacing it would leave the shell in a deleted folder
        raise ConfigurationError(
            f"{str(folder)!r} is the current folder: choose one that is not there yet with "
            f"--directory"
        )
