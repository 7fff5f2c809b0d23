"""Application: the beginning of a system of agents, which runs and passes its tests as it stands.

Its files come from templates (`rendering`).
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

from civitas._authoring.rendering import fill, hint
from civitas.errors import ConfigurationError
from civitas.plugins import catalog
from civitas.plugins.catalog import Candidate, PluginKind

LONGEST_NAME: Final = 40
"""Characters: with a name of that length, the lines of the files still have room."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_TAKEN: Final = frozenset({"civitas", "tests"})


@dataclass(frozen=True, slots=True)
class Application:
    """The names of a new application: its own, that of its package in Python, and of its transport.

    The transport, of this distribution, is for the case that its agents run in several processes.
    """

    name: str
    package: str
    transport: str
    distribution: str


def named(
    name: str, transport: str | None = None, installed: Iterable[Candidate] = ()
) -> Application:
    """Return the names that go with the name of an application.

    Args:
        name: what it is called, such as `my-shop`.
        transport: the name of a transport for several processes; None for the known one that needs
            no server.
        installed: the plugins that are installed.

    Raises:
        ConfigurationError: one of them can't be, and why.
    """
    package = name.replace("-", "_")
    if problem := next(_problems(name, package), None):
        raise ConfigurationError(problem)
    owners = {
        each.name: each.distribution for each in catalog.usable(installed, PluginKind.TRANSPORT)
    }
    owners |= catalog.known_distributions(PluginKind.TRANSPORT)
    transport = transport or catalog.known_for_processes() or ""
    if transport not in owners:
        raise ConfigurationError(
            f"{transport!r} is no transport for several processes that is installed or known: "
            f"choose one with --transport ({', '.join(sorted(owners)) or 'none is installed'})"
        )
    return Application(name, package, transport, owners[transport])


def _problems(name: str, package: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield (
            f"{name!r} can't be the name of an application: use lower-case letters, digits and "
            f"single dashes, with a letter first{hint(name, '-', _NAME)}"
        )
    if len(name) > LONGEST_NAME:
        yield f"the name {name!r} is longer than {LONGEST_NAME} characters"
    if keyword.iskeyword(package):
        yield f"{package!r} is a keyword of Python: choose another name"
    if package in sys.stdlib_module_names:
        yield f"{package!r} is a module of Python's own library: choose another name"
    if package in _TAKEN or importlib.util.find_spec(package) is not None:
        yield f"{package!r} is the name of a package that is there already: choose another name"


def render(application: Application, core_version: str) -> dict[str, str]:
    """Return the files of a new application: their texts by path, in order."""
    return fill(
        ("application",),
        lambda path: path.replace("package/", f"{application.package}/", 1),
        core_version,
        asdict(application),
    )
