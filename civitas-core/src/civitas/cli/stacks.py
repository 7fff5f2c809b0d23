"""Stacks of threads: in which line of whose code a thread is."""

from __future__ import annotations

import importlib
import sys
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Final

import civitas

_CORE: Final = str(Path(civitas.__file__).parent)
_IMPORT: Final = (str(Path(importlib.__file__).parent), "<frozen ")
_LIBRARY: Final = (sysconfig.get_path("stdlib"), "<frozen ")
"""How the names of files begin that belong to core, to the import of modules, and to Python."""


def entered(thread: threading.Thread) -> str:
    """Return where core has called code of others in a thread, as `, at file:line`, if it has.

    Of an import that is the line of the module, and not of what others have put into the import.
    """
    place = ""
    is_module = False
    for code, line in _lines(thread):
        if code.co_filename.startswith(_CORE):
            break
        if code.co_name == "<module>" or not (is_module or code.co_filename.startswith(_IMPORT)):
            place = f", at {code.co_filename}:{line}"
            is_module = is_module or code.co_name == "<module>"
    return place


def at_work(thread: threading.Thread) -> str:
    """Return the last line that a thread has reached, but for those of Python's own library."""
    for code, line in _lines(thread):
        if not code.co_filename.startswith(_LIBRARY):
            return f", at {code.co_filename}:{line}"
    return ""


def _lines(thread: threading.Thread) -> Iterator[tuple[CodeType, int]]:
    """Yield the lines of a thread's stack, the innermost first."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - public, says its page
    for each, line in traceback.walk_stack(frame) if frame else ():
        yield each.f_code, line
