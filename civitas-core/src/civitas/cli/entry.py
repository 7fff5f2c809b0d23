"""Runs the commands of a program, and turns errors into exit codes; those of transports use it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from civitas._text import traceback_lines
from civitas.cli.exit_codes import BAD_INPUT, BY_SIGNAL, FAILURE
from civitas.cli.output import write_error
from civitas.cli.process_end import end_process
from civitas.cli.streams import close_streams, open_streams, out
from civitas.errors import CivitasError, ConfigurationError, PluginError, logger_of

_HELP_INSTEAD: Final = "NoArgsIsHelpError"
"""The name of the error that stands for a command without arguments, which shows its help."""


def run_program(app: typer.Typer) -> NoReturn:
    """Run a command line, and end the process with its exit code, whatever still runs there."""
    end_process(_run(app))


def run_commands(app: typer.Typer) -> NoReturn:
    """Run a command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    try:
        code = _run(app)
    finally:
        close_streams()
    sys.exit(code)


def _run(app: typer.Typer) -> int:
    """Run a command line; return the exit code."""
    open_streams()
    if sys.flags.optimize > 1:
        from civitas.cli.docstrings import restore_help

        restore_help(app)
    try:
        app()
    except SystemExit as ended:
        code = ended.code or 0
        return code if isinstance(code, int) else FAILURE
    except KeyboardInterrupt:
        return BY_SIGNAL + signal.SIGINT
    except BaseException as error:  # noqa: BLE001 - each becomes an exit code
        return report(error)
    return 0


def report(error: BaseException) -> int:
    """Say in words what has ended a command, and return the exit code.

    What it has printed stands before that, also where both go to one file.
    """
    with suppress(CivitasError, OSError, ValueError):  # said when the process ends
        out().flush()
    if isinstance(error, CivitasError):
        from civitas.topology.problems import TopologyError

        logger_of("civitas.cli").debug("what led to the error below:", exc_info=error)
        first, *others = error.lines if isinstance(error, TopologyError) else (str(error),)
        write_error(f"error: {first}", *others)
        is_bad_input = isinstance(error, ConfigurationError | PluginError)
        return BAD_INPUT if is_bad_input else FAILURE
    write_error(*traceback_lines(error))  # a bug; Python would show its text as it is
    return FAILURE


class CommandGroup(TyperGroup):
    """The commands of a program; wrong arguments are told as all other errors are.

    Typer would draw a box of 80 columns around the text, in which a path is not whole.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the arguments that stand before a command."""
        with _usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, *args: Any) -> Any:
        """Read the arguments of a command, and run it."""
        with _usage_errors():
            return super().invoke(*args)


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Which class typer's errors have depends on its version; all have a `format_message`.
        if not hasattr(error, "format_message") or type(error).__name__ == _HELP_INSTEAD:
            raise
        context = getattr(error, "ctx", None)
        if context is not None:
            write_error(*context.get_usage().splitlines())
            write_error(f"Try '{context.command_path} --help' for help.")
        write_error(f"error: {error.format_message()}")
        raise typer.Exit(getattr(error, "exit_code", BAD_INPUT)) from error
