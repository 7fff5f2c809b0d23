"""Foreign code in a command's process: what agents' modules and plugins do when they are imported.

A module may change whatever a process has. `run` is the program of its agents, and leaves it as
they want it, but for what its own end and its own words depend on. Any other command has imported
them to look at them, and goes on as if it had not.

=================================  ================================  ==============================
what foreign code changes          in `run`                          in all other commands
=================================  ================================  ==============================
it prints to stdout                is printed                        goes to stderr (`streams`)
`sys.stdout`, `sys.stderr`         stay; what a command writes itself goes where it went before
handlers of signals                of SIGINT, SIGTERM and SIGPIPE    are put back
                                   are put back, with a note
blocked signals                    SIGINT and SIGTERM are let        are put back
                                   through
working directory, umask           stay                              are put back
filters of warnings                stay                              are put back
loggers of civitas are disabled    are enabled again                 are put back
handlers and level of the root     stay; one that has no handler     are put back
                                   gets that of the command
`logging.disable`                  is put back                       is put back
event loop policy                  stays                             is not used (`event_loop`)
threads, functions of `atexit`     have until the end of the process (`process_end`)
`os.environ`, `sys.path`           stay: plugins may need them; `up` gives its processes the
                                   environment that it was given itself
=================================  ================================  ==============================

Our output, exit codes and ends don't depend on the locale, `sys.excepthook` and the other hooks,
`faulthandler`, resource limits and the seed of `random`: they are left alone.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from civitas.cli import streams
from civitas.cli.output import write_error
from civitas.cli.stacks import entered
from civitas.errors import ConfigurationError, describe, is_interrupt

_HINT_AFTER: Final = 10.0
"""Seconds after which it is said what an import is at."""

_OF_RUN: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
_ENDING: Final = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def foreign_code(*, hosts: bool = False) -> Iterator[None]:
    """Within the block, call code of agents and plugins; see the module for what becomes of it.

    Args:
        hosts: whether the agents are to run in this process.

    Raises:
        ConfigurationError: that code has raised what is no Exception, such as a SystemExit.
    """
    with ExitStack() as stack:
        if not hosts:
            streams.reserve_stdout()
            for put_back in (_folder, warnings.catch_warnings):
                stack.enter_context(put_back())
        stack.enter_context(_signals(hosts=hosts))
        stack.enter_context(_logging(hosts=hosts))
        stack.enter_context(_hint())
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise ConfigurationError(
                f"code of the topology raised {describe(error)}, at {_last_line(error)}"
            ) from error


def own_loggers_enabled() -> None:
    """Enable the loggers of civitas again; a configuration of logging disables all it finds."""
    for logger in _loggers():
        if logger.name.partition(".")[0] == "civitas":
            logger.disabled = False


def _loggers() -> list[logging.Logger]:
    known = list(logging.root.manager.loggerDict.values())
    return [each for each in known if isinstance(each, logging.Logger)]


@contextmanager
def _folder() -> Iterator[None]:
    """Put back working directory and umask."""
    try:
        here: str | None = os.getcwd()  # noqa: PTH109 - it goes to `chdir`
    except OSError:  # somebody has removed it
        here = None
    umask = os.umask(0o077)
    os.umask(umask)
    try:
        yield
    finally:
        os.umask(umask)
        if here is not None:
            os.chdir(here)


@contextmanager
def _signals(*, hosts: bool) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers can't be set here
        return
    numbers = _OF_RUN if hosts else signal.valid_signals()
    before = {each: signal.getsignal(each) for each in numbers}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        yield
    finally:
        changed = [each for each in numbers if signal.getsignal(each) is not before[each]]
        for each in changed:
            signal.signal(each, before[each] or signal.SIG_DFL)  # None: C code had set it
        if hosts:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING - blocked)
        else:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    if hosts and changed:
        names = ", ".join(signal.Signals(each).name for each in changed)
        write_error(
            f"note: a handler of {names} that was set when agents were imported has no effect: "
            "this command has its own"
        )


@contextmanager
def _logging(*, hosts: bool) -> Iterator[None]:
    root = logging.root
    handlers, level, off = root.handlers[:], root.level, root.manager.disable
    disabled = {each: each.disabled for each in _loggers()}
    try:
        yield
    finally:
        logging.disable(off)
        if not hosts:
            root.handlers[:] = handlers
            root.setLevel(level)
            for logger, was_disabled in disabled.items():
                logger.disabled = was_disabled
        elif not root.handlers:
            root.handlers[:] = handlers
        own_loggers_enabled()


@contextmanager
def _hint() -> Iterator[None]:
    """Say which line is at work when the block takes long."""
    thread = threading.current_thread()
    timer = threading.Timer(_HINT_AFTER, _write_hint, (thread,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _write_hint(thread: threading.Thread) -> None:
    what = f"this takes more than {_HINT_AFTER:g} s to import or to make"
    write_error(f"note: {what}{entered(thread)}")


def _last_line(error: BaseException) -> str:
    return "{0.filename}:{0.lineno}".format(traceback.extract_tb(error.__traceback__)[-1])
