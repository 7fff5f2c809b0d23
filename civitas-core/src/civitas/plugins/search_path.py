"""The folders that plugins are looked for in: the interpreter's own, not those of agents' modules.

`sys.path` has folders that are there for the user's modules: what `--app-dir` names, and what
Python puts in front for a script, for `-c` and for `-m`. They differ with the folder in which a
command is run, so they take no part in discovery.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Final

_CORE: Final = os.path.realpath(Path(__file__).parents[2])
"""Where `civitas` itself was imported from: a folder, or an archive."""


def _folder_of_program() -> str | None:
    """Return what Python has put in front of `sys.path` for the program, unless that is part of it.

    See https://docs.python.org/3/library/sys_path_init.html. An archive, or a folder that is a
    program, has the program's libraries in it.
    """
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    is_packed = getattr(sys, "frozen", False) or (spec is not None and spec.name == "__main__")
    if sys.flags.safe_path or is_packed or not sys.path:
        return None
    script = getattr(main, "__file__", None)
    known = ("", str(Path.cwd()), str(Path(script).resolve().parent) if script else "")
    return sys.path[0] if sys.path[0] in known else None


_in_front: Final = [each for each in (_folder_of_program(),) if each is not None]
"""Folders of modules that stand in `sys.path` beside what is the interpreter's own."""
_next: Final[list[str]] = []


def name_app_folder(folder: str) -> None:
    """Say which folder of agents' modules, by its absolute path, will be entered next."""
    _next[:] = [folder]


def enter_app_folder(folder: str) -> None:
    """Put a folder of agents' modules in front of `sys.path`.

    There it stays: agents may import more when they run.
    """
    if folder in _in_front:
        if sys.path[:1] == [folder]:
            return
        if folder in sys.path:
            sys.path.remove(folder)
    else:
        _in_front.append(folder)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()


def app_folders() -> list[str]:
    """Return the folders of agents' modules, the next one first, without the interpreter's own."""
    own = interpreter_path()
    return [each for each in dict.fromkeys((*_next, *_in_front)) if each not in own]


def interpreter_path() -> list[str]:
    """Return `sys.path` without the folders of agents' modules.

    Of what stands there twice one stays: it comes from PYTHONPATH or from an installation as well.
    A folder that `civitas` itself was imported from stays, too.
    """
    path = list(sys.path)
    for folder in _in_front:
        if folder in path and os.path.realpath(folder) != _CORE:
            path.remove(folder)
    return path


def find_installed(name: str, but: str | None = None) -> ModuleSpec | None:
    """Return what an import of a top-level name would find without the folders of agents' modules.

    Nothing is imported. `but` is one more folder that is left out.
    """
    path = [each for each in interpreter_path() if each != but]
    for finder in sys.meta_path:
        if finder is PathFinder:
            spec = PathFinder.find_spec(name, path)
        else:  # built-in and frozen modules, editable installations
            find = getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, None)
        if spec is not None:
            return spec
    return None
