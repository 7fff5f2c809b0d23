"""Rendering: the files of a new package or application, made from templates.

A template is the file that it will be, with `$name` and the like (string.Template) for what differs
from one to the next. Its suffix `.tmpl` keeps tools from taking it for code.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.resources.abc import Traversable
from string import Template
from typing import Any, Final

from civitas.errors import ConfigurationError

_SUFFIX: Final = ".tmpl"
_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.\d+)*((?:a|b|rc)\d+|\.?dev\d+)?")


def fill(
    folders: Iterable[str],
    place_of: Callable[[str], str],
    core_version: str,
    values: dict[str, Any],
) -> dict[str, str]:
    """Return the files that folders of templates make: their texts by path, in order.

    Args:
        folders: those below `templates/`.
        place_of: where the file of a template goes, by its path in the folder without the suffix.
        core_version: that of civitas-core; the templates know it as `$core_range`.
        values: what else they know, by name.
    """
    values = values | {"core_range": compatible_range(core_version)}
    templates = importlib.resources.files(__package__).joinpath("templates")
    found = {
        place_of(path): each
        for folder in folders
        for path, each in _templates_below(templates.joinpath(folder))
    }
    return {
        path: Template(each.read_text(encoding="utf-8")).substitute(values)
        for path, each in sorted(found.items())
    }


def hint(name: str, separator: str, allowed: re.Pattern[str]) -> str:
    """Return what to add to an error about a name: one that is allowed and like it, if there is."""
    similar = re.sub(r"[^a-z0-9]+", separator, name.lower()).strip(separator)
    similar = similar.lstrip(f"0123456789{separator}")
    return f"; did you mean {similar!r}?" if allowed.fullmatch(similar) else ""


def _templates_below(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _templates_below(each, f"{path}{each.name}/")
        elif each.name.endswith(_SUFFIX):
            yield path + each.name.removesuffix(_SUFFIX), each


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
