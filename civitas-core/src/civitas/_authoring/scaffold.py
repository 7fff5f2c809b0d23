"""Scaffold: a new plugin package that works as it stands and marks what its author has to do.

From the plugin's name come the names of the package; its files come from templates (`rendering`).
"""

from __future__ import annotations

import json
import keyword
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Final

from civitas._authoring.rendering import fill, hint
from civitas.errors import ConfigurationError
from civitas.plugins import catalog
from civitas.plugins.catalog import CORE_DISTRIBUTION, Candidate, PluginKind
from civitas.plugins.metadata import normalise

LONGEST_NAME: Final = 28
LONGEST_DISTRIBUTION: Final = 36
"""Characters: with both at their longest, the lines of the package still have room."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_DISTRIBUTION: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # PEP 508
_OURS: Final = frozenset({"civitas", CORE_DISTRIBUTION})

_AUTHOR: Final = re.compile(r"(?P<name>[^<>]*[^<>\s])(?:\s*<(?P<email>[^<>@\s]+@[^<>@\s]+)>)?")

_LIBRARY: Final = {
    PluginKind.TRANSPORT: "your client library",
    PluginKind.SERIALIZER: "the library of your format",
    PluginKind.INSTRUMENT: "the library of what you send to",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """The names of a new package, in topologies, for pip, and in Python.

    The names of its classes begin with `prefix`.
    """

    kind: PluginKind
    name: str
    distribution: str
    package: str
    prefix: str


def identify(kind: PluginKind, name: str, distribution: str | None = None) -> Identity:
    """Return the names that go with a plugin's name; its distribution is `civitas-NAME` by default.

    Raises:
        ConfigurationError: one of them can't be, and why.
    """
    distribution = distribution or f"civitas-{name.replace('_', '-')}"
    package = re.sub(r"[.-]", "_", distribution).lower()
    problems = chain(_name_problems(name), _distribution_problems(distribution, package))
    if problem := next(problems, None):
        raise ConfigurationError(problem)
    prefix = "".join(part.capitalize() for part in name.split("_"))
    return Identity(kind, name, distribution, package, prefix)


def rivals_of(identity: Identity, installed: Iterable[Candidate]) -> list[str]:
    """Return a warning for each distribution that offers a plugin of this kind and name."""
    offers = [
        each for each in catalog.usable(installed, identity.kind) if each.name == identity.name
    ]
    owners = {each.owner: each.distribution for each in offers}
    known = catalog.known_distributions(identity.kind).get(identity.name)
    if known is not None:
        owners[normalise(known)] = known
    return [_warning(identity, owner) for _, owner in sorted(owners.items())]


def _warning(identity: Identity, owner: str) -> str:
    what = f"{owner} offers the {identity.kind.value} {identity.name!r} already"
    if normalise(owner) == normalise(identity.distribution):
        return (
            f"{what}: yours would have the same name for pip, which replaces the one by the "
            f"other, and can't be published. Choose another NAME, or another --distribution"
        )
    return (
        f"{what}: where both are installed, a topology that names {identity.name!r} ends with "
        f"the error plugin-conflict, until it says "
        f'"{identity.distribution}:{identity.name}" or "{owner}:{identity.name}". Choose another '
        f"NAME if this is not what you want"
    )


def _name_problems(name: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield (
            f"{name!r} can't be the name of a plugin: use lower-case letters, digits and single "
            f"underscores, with a letter first, so that its options can be given in Python as "
            f"NAME_option{hint(name, '_', _NAME)}"
        )
    if len(name) > LONGEST_NAME:
        yield f"the name {name!r} is longer than {LONGEST_NAME} characters"
    if keyword.iskeyword(name):
        yield f"{name!r} is a keyword of Python: choose another name"
    for kind in PluginKind:
        if catalog.builtin(kind, name):
            yield (
                f"{name!r} is {kind.article} that comes with {CORE_DISTRIBUTION}, and can't be "
                f"replaced: choose another name"
            )
    import yaml

    if (meant := yaml.safe_load(name)) != name:
        yield f"a topology that says `type: {name}` means {meant!r} in YAML: choose another name"


def _distribution_problems(distribution: str, package: str) -> Iterator[str]:
    if not _DISTRIBUTION.fullmatch(distribution):
        yield (
            f"{distribution!r} can't be the name of a distribution: use letters and digits, with "
            f"`-` between them"
        )
    if len(distribution) > LONGEST_DISTRIBUTION:
        what = f"the name of the distribution {distribution!r}"
        yield f"{what} is longer than {LONGEST_DISTRIBUTION} characters"
    if normalise(distribution) in _OURS:
        yield f"{distribution!r} is a distribution of Civitas: choose another"
    for found, problem in (
        (not package.isidentifier(), "can't be imported: it is no identifier of Python"),
        (keyword.iskeyword(package), "can't be imported: it is a keyword of Python"),
        (package in sys.stdlib_module_names, "would hide a module of Python's own library"),
        (package == "tests", "has the name of the folder of its tests"),
    ):
        if found:
            yield (
                f"the distribution {distribution!r} would have the package {package!r}, which "
                f"{problem}: choose another name for it with --distribution"
            )


def render(identity: Identity, core_version: str, author: str | None = None) -> dict[str, str]:
    """Return the files of a new package: their texts by path, in order.

    The author is given as `Name` or `Name <mail@address>`, and a TODO when left out.

    Raises:
        ConfigurationError: the author can't be read.
    """
    values = asdict(identity) | {
        "kind": identity.kind.value,
        "group": identity.kind.group,
        "library": _LIBRARY[identity.kind],
        "authors": _authors_line(author),
    }
    return fill(
        ("common", identity.kind.value),
        lambda name: _place_of(name, identity.package),
        core_version,
        values,
    )


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
