"""What is raised when a simulation can't go on, or is asked for what it can't give."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

_LIBRARY: Final = sysconfig.get_path("stdlib")
_INSTALLED: Final = sysconfig.get_path("purelib")
_CORE: Final = str(Path(__file__).parents[2])


class SimulationError(RuntimeError):
    """What was asked for waits in real time, and so can't be simulated."""


class StuckError(SimulationError):
    """Nothing will ever happen again, or the run has taken longer than it may."""


refusals: Final[list[str]] = []
"""What was refused in the run under way, and where; one runs at a time in a process."""


def refuse(what: str, instead: str) -> NoReturn:
    """Refuse what can't be simulated.

    The code that asked for it may catch the error, or crash and be restarted: so it is also noted
    in `refusals`, which fails the run.

    Args:
        what: what was asked for, such as `a thread`.
        instead: what to do instead.

    Raises:
        SimulationError: always.
    """
    text = f"{what} can't be simulated: {instead}"
    refusals.append(f"{_place()}: {text}")
    raise SimulationError(text)


def _place() -> str:
    """Return the file, line and function of an author that is nearest to the refusal."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - documented, and quick
    while frame is not None:
        code = frame.f_code
        if not is_of_a_library(code.co_filename):
            return f"{code.co_filename}:{frame.f_lineno}, in {code.co_name}"
        frame = frame.f_back
    return "in a library"


def is_of_a_library(file: str) -> bool:
    """Return whether a source file is Python's, core's, or that of an installed package."""
    return file.startswith((_LIBRARY, _INSTALLED, _CORE, "<"))
