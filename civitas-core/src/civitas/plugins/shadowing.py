"""Modules beside the agents that have the name of a library: which take its place, and which can't.

Python has one module of a name in a process. Of a library and a module of the user's it is the one
that is imported first, so that a file beside the agents may be what a transport gets instead of its
library. Nothing is imported to find that out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder, all_suffixes
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from civitas.plugins.catalog import CORE_DISTRIBUTION, Candidate
from civitas.plugins.metadata import modules_of, normalise, requirements_of
from civitas.plugins.search_path import app_folders, find_installed


class Namesake(NamedTuple):
    """A module in a folder of agents' modules, and what else has its name."""

    module: str
    file: str
    is_standard: bool
    """Whether its name is that of a module of Python's own, rather than of a library."""

    @property
    def takes_its_place(self) -> bool:
        """Whether this one is what an import gives from now on."""
        loaded = sys.modules.get(self.module)
        return loaded is None or _origin(getattr(loaded, "__spec__", None)) == self.file

    def __str__(self) -> str:
        other = "Python's own module" if self.is_standard else "the library"
        shown = _shown(self.file)
        if self.takes_its_place:
            return f"`{self.module}` is {shown}, not {other}; rename it"
        return f"{shown} can't be imported: `{self.module}` is {other}, which is in use; rename it"


def namesakes(candidate: Candidate, folders: Iterable[str] | None = None) -> list[Namesake]:
    """Return the modules beside the agents that have the name of what a plugin may import.

    That is: of the packages and modules of its distribution, of civitas-core, of all that these
    require in turn, and of Python. Where the same file is on the interpreter's path, there is no
    other. `folders` are those of agents' modules, by default all that are known.
    """
    found = list(_doubles(app_folders() if folders is None else folders))
    if not found:
        return []
    # To find what a library's modules are called takes long, and there is hardly ever a need to.
    used = _modules_used(candidate)
    return [each for each in found if each.is_standard or each.module in used]


def culprit(error: BaseException) -> Namesake | None:
    """Return the user's module that lacks what somebody wanted of a library, if that is the error.

    It stands beside the agents, or, where PYTHONPATH names that folder, earlier than the library.
    """
    owner = error.obj if isinstance(error, AttributeError) else None
    name: object = error.name if isinstance(error, ImportError) else None
    if isinstance(owner, ModuleType):
        name = vars(owner).get("__name__")
    if not isinstance(name, str) or not name:  # an error of others may have anything there
        return None
    top = name.partition(".")[0]
    file = _origin(getattr(sys.modules.get(top), "__spec__", None))
    if file is None:
        return None
    for folder in dict.fromkeys((*app_folders(), *sys.path)):
        if _origin(PathFinder.find_spec(top, [folder])) == file:
            mine = folder in app_folders() or _hides(folder, top)
            return Namesake(top, file, top in sys.stdlib_module_names) if mine else None
    return None


def _hides(folder: str, name: str) -> bool:
    """Return whether a folder into which nothing was installed hides a library by a module."""
    if any(Path(folder).glob("*.dist-info")):
        return False
    other = find_installed(name, but=folder)
    return other is not None and _origin(other) is not None


def hidden(module: str) -> Namesake | None:
    """Return the module beside the agents that can't be imported under this name, if one can't."""
    top = module.partition(".")[0]
    found = (_double(folder, top) for folder in app_folders())
    return next((each for each in found if each is not None and not each.takes_its_place), None)


def _doubles(folders: Iterable[str]) -> Iterator[Namesake]:
    """Find the modules in some folders whose names are taken by others."""
    for folder in folders:
        for name in _names_in(folder):
            if (double := _double(folder, name)) is not None:
                yield double


def _double(folder: str, name: str) -> Namesake | None:
    """Return the module of that name in a folder, if its name is taken by another."""
    file = _origin(PathFinder.find_spec(name, [folder]))
    other = None if file is None else find_installed(name)
    if file is None or other is None or _origin(other) == file:
        return None
    return Namesake(name, file, name in sys.stdlib_module_names)


def _names_in(folder: str) -> list[str]:
    """Return the names that modules and packages in a folder may have, without a closer look."""
    suffixes = tuple(all_suffixes())
    try:
        with os.scandir(folder or os.curdir) as entries:
            files = [e.name for e in entries if e.name.endswith(suffixes) or e.is_dir()]
    except OSError:
        return []
    return sorted({name for each in files if (name := each.partition(".")[0]).isidentifier()})


def _origin(spec: object) -> str | None:
    origin = getattr(spec, "origin", None)
    return origin if isinstance(origin, str) else None


def _modules_used(candidate: Candidate) -> set[str]:
    """Return the names of the packages and modules that a plugin and core may import."""
    names = {candidate.module.partition(".")[0]}
    wanted, seen = [candidate.distribution, CORE_DISTRIBUTION], set()
    while wanted:
        distribution = normalise(wanted.pop())
        if distribution not in seen:
            seen.add(distribution)
            names |= modules_of(distribution)
            wanted += requirements_of(distribution)
    return names


def _shown(file: str) -> str:
    """Return the path of a file as a user of the current folder would write it."""
    here = Path.cwd()
    return f"./{Path(file).relative_to(here)}" if Path(file).is_relative_to(here) else file
