"""How this program was started, and how a part of it is started as a process of its own.

An interpreter that finds civitas by itself runs the module of the part. That of a program which
brings civitas along does not: an archive (zipapp, shiv, pex), a script that puts folders on the
path, a frozen program that is its own interpreter. So the program itself is started once more, if
it begins with the command line of civitas, which then runs the part.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from civitas.errors import CivitasError

_FLAG: Final = "--civitas-part"
"""Stands in front of a part's module and its arguments, as the first argument of a program."""
_PARTS: Final = ("civitas.cli.process_group.parent_watch", "civitas._authoring.probe")
_SECONDS: Final = 30.0
_QUESTION: Final = """
import re
import sys
from importlib.util import find_spec
from os.path import realpath
spec = find_spec("civitas")
sys.exit(spec is None or realpath(spec.origin) != realpath(sys.argv[1]))
"""

_own: Final[list[str]] = []
"""The command that starts this program, where it begins with the command line of civitas."""


def begin() -> bool:
    """Run the part that this process was started for, if it was; return whether it was.

    The command line of civitas begins with this, before anybody changes the arguments or the
    current folder.
    """
    _own[:] = _command_of_this_program()
    if sys.argv[1:2] != [_FLAG] or not set(sys.argv[2:3]) & set(_PARTS):
        return False
    module, *arguments = sys.argv[2:]
    import_module(module).main(arguments)
    return True


def command_of_part(module: str, *arguments: str) -> list[str]:
    """Return the command that starts a part, which is the module of that name, with arguments.

    The module has a `main`, which takes the arguments.

    Raises:
        CivitasError: this program can't start parts of itself.
    """
    assert module in _PARTS
    if not getattr(sys, "frozen", False) and _finds_core():
        return [sys.executable, *_interpreter_options(), "-m", module, *arguments]
    if _own:
        return [*_own, _FLAG, module, *arguments]
    raise CivitasError(
        "this program can't start processes of civitas: it does not begin with civitas.cli.main, "
        f"and {sys.executable or 'its interpreter'} does not find civitas by itself"
    )


def _command_of_this_program() -> list[str]:
    """Return what this program was started with, without its arguments."""
    given, whole = sys.argv[1:], sys.orig_argv
    own = whole[: len(whole) - len(given)]
    if not sys.executable or not own or own + given != whole:
        return []  # who has changed the arguments may do so again
    _, *options = own
    if options and not re.fullmatch(r"-[A-Za-z]*[mc]", ["", *options][-2]):
        # The current folder may have changed when the command is used.
        options[-1] = str(Path(options[-1]).absolute())
    return [sys.executable, *options]


@cache
def _finds_core() -> bool:
    """Ask the interpreter whether it finds this very civitas when it is started."""
    import subprocess

    spec: Any = sys.modules[__package__].__spec__
    if not sys.executable or spec.origin is None:
        return False
    program = [sys.executable, *_interpreter_options(), "-c", _QUESTION, spec.origin]
    try:
        asked = subprocess.run(
            program, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _interpreter_options() -> list[str]:
    """Return the options that make a new interpreter like this one, as multiprocessing does.

    With -P it searches the same places as the installed command, not the current folder too.
    """
    import subprocess

    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
    return options if "-P" in options or "-I" in options else [*options, "-P"]
