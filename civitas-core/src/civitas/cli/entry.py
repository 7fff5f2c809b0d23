"""Runs the commands of a program, and turns errors into exit codes; those of transports use it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from civitas._text import traceback_lines
from civitas.cli.exit_codes import BAD_INPUT, BY_SIGNAL, FAILURE
from civitas.cli.output import prepare_streams, write_error
from civitas.errors import CivitasError, ConfigurationError, PluginError, logger_of, printable


def run_commands(app: typer.Typer) -> NoReturn:
    """Run a command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    prepare_streams()
    try:
        app()
    except CivitasError as error:
        from civitas.topology.problems import TopologyError

        logger_of("civitas.cli").debug("what led to the error below:", exc_info=error)
        first, *others = error.lines if isinstance(error, TopologyError) else (str(error),)
        write_error(f"error: {first}", *others)
        is_bad_input = isinstance(error, ConfigurationError | PluginError)
        sys.exit(BAD_INPUT if is_bad_input else FAILURE)
    except KeyboardInterrupt:
        sys.exit(BY_SIGNAL + signal.SIGINT)
    except Exception as error:  # noqa: BLE001 - a bug; Python would show its text as it is
        write_error(*traceback_lines(error))
        sys.exit(FAILURE)
    sys.exit()


class CommandGroup(TyperGroup):
    """The commands of a program; what typer says of wrong arguments is printable too."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the arguments that stand before a command."""
        with _printable_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, *args: Any) -> Any:
        """Read the arguments of a command, and run it."""
        with _printable_errors():
            return super().invoke(*args)


@contextmanager
def _printable_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Which class typer's errors have depends on its version; all have a `message`.
        message = getattr(error, "message", None)
        if isinstance(message, str):
            error.message = printable(message, sys.maxsize)  # type: ignore[attr-defined]
        raise
