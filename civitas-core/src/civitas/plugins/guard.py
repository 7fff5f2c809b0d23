"""Guards around a plugin's code: what it raises becomes an error that names it and the line.

This is where a broken plugin is diagnosed; `errors` has the classes of the diagnoses.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pluggy

from civitas.errors import (
    CivitasError,
    Location,
    TransportError,
    crash_unless_cancelled,
    is_interrupt,
)
from civitas.plugins.catalog import Candidate
from civitas.plugins.errors import BrokenPluginError
from civitas.plugins.masking import describe_without_inputs
from civitas.plugins.metadata import modules_of
from civitas.plugins.shadowing import culprit
from civitas.plugins.validation import SpecProblem

_MACHINERY: Final = (
    str(Path(__file__).parent),
    *(str(Path(inspect.getfile(each)).parent) for each in (importlib, pluggy)),
    "<frozen ",
)
"""How the names of files begin that stand between core and a plugin's code."""


@contextmanager
def guard_call(
    candidate: Candidate,
    doing: str,
    where: Location | None,
    passes: type[Exception] | tuple[()] = (),
) -> Iterator[None]:
    """Turn whatever a plugin's code raises into the diagnosis "broken".

    A plugin may raise anything, SystemExit included; that must not end the process. Only an
    interrupt by the user, and errors of the kind `passes`, go through. A standard stream that the
    plugin removes is restored: without it no message could be printed.
    """
    streams = {name: getattr(sys, name, None) for name in ("stdout", "stderr")}
    try:
        yield
    except SpecProblem as problem:
        raise BrokenPluginError(candidate, str(problem), where) from problem.__cause__
    except passes:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise BrokenPluginError(candidate, doing + _cause_of(error, candidate), where) from error
    finally:
        for name, stream in streams.items():
            if getattr(sys, name, None) is None:
                setattr(sys, name, stream)


@contextmanager
def guard_start(candidate: Candidate, instance: str) -> Iterator[None]:
    """Turn what a plugin's transport raises while its node starts into an error that names it.

    A CivitasError says enough and goes through. A node may have two transports of one plugin:
    `instance` says which one it is.
    """
    try:
        yield
    except CivitasError:
        raise
    except BaseException as error:
        crash_unless_cancelled(error)
        problem = f"{candidate.title} failed to start: {_cause_of(error, candidate)}"
        raise TransportError(f"{problem}; this was {instance}") from error


def _cause_of(error: BaseException, candidate: Candidate) -> str:
    """Say in a line what a plugin's code raised, and in which line of which of its files."""
    raised = describe_without_inputs(error)
    if namesake := culprit(error):
        raised = f"{namesake} ({raised})"
    elif isinstance(error, ModuleNotFoundError) and error.name:
        own = candidate.module
        if own == error.name or own.startswith(error.name + "."):
            lacking = f"there is no module {error.name!r} ({raised})"
            return f"its entry point names {own!r}, and {lacking}"
        raised = f"it needs the module {error.name!r}, which is missing ({raised})"
    place = _place(error, candidate)
    return f"{raised}, at {place}" if place else raised


def _place(error: BaseException, candidate: Candidate) -> str:
    """Return the last line of the plugin's own files, or else of anybody's but the machinery's."""
    mine, own, others = _packages(candidate), [], []
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in mine and not file.startswith("<"):  # what `exec` made is no file
            own.append(f"{file}:{line}")
        elif not file.startswith(_MACHINERY):
            others.append(f"{file}:{line}")
    return next(reversed(own or others), "")


def _packages(candidate: Candidate) -> set[str]:
    """Return the names of the packages and modules that a plugin's distribution has."""
    top = candidate.module.partition(".")[0]  # an editable installation lists no files
    return {top, *modules_of(candidate.distribution)}
