"""The end of a command's process: in a bounded time, whatever code of others still does there.

Theory. At its end Python waits for every thread that is no daemon, and asyncio for those of its
executor; then the functions of `atexit` are called. One thread that never ends keeps the process
for ever, so a second one has the time: when it is up, that says what is left behind, and exits with
the code that the command has ended with. Until then everything ends as it does in any program.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from civitas.cli import streams
from civitas.cli.exit_codes import FAILURE
from civitas.cli.output import write_error
from civitas.cli.signals import exit_at_once_on_signals
from civitas.cli.stacks import at_work

if TYPE_CHECKING:
    import asyncio

LAST_GRACE: Final = 0.5
"""Seconds in which what was told to end does."""

_deadlines: Final[list[threading.Thread]] = []


def end_process(code: int) -> NoReturn:
    """End this process with a code; 1 takes the place of 0 where the output can't be written."""
    streams.replace_unusable()
    try:
        streams.out().flush()
    except BrokenPipeError:  # who reads has seen enough
        streams.discard()
        code = code or FAILURE
    except OSError as error:
        streams.discard()
        if code == 0:  # else it may have been said
            write_error(f"error: stdout can't be written to: {error}")
        code = code or FAILURE
    end_within(LAST_GRACE, code)
    sys.exit(code)


def end_within(seconds: float, code: int, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """See that this process ends in time: else say what is left behind, and exit with the code.

    The first call counts. Any signal ends the process at once from then on.

    Args:
        seconds: how long from now.
        code: the exit code.
        loop: an event loop whose tasks may be left behind, too.
    """
    if _deadlines:
        return
    wait = exit_at_once_on_signals()
    threads = [each for each in threading.enumerate() if not each.daemon]
    threads.remove(threading.main_thread())
    thread = threading.Thread(
        target=_end,
        args=(wait, seconds, code, threads, _tasks_of(loop)),
        name="civitas end",
        daemon=True,
    )
    _deadlines.append(thread)
    thread.start()


def _tasks_of(loop: asyncio.AbstractEventLoop | None) -> list[asyncio.Task[Any]]:
    """Return the other tasks of an event loop."""
    if loop is None:
        return []
    import asyncio

    return list(asyncio.all_tasks(loop) - {asyncio.current_task(loop)})


def _end(
    wait: Callable[[float], None],
    seconds: float,
    code: int,
    threads: list[threading.Thread],
    tasks: list[asyncio.Task[Any]],
) -> None:
    """Exit after some time, and name what was there in the beginning and still is."""
    wait(seconds)
    try:
        left = [f"thread {each.name!r}{at_work(each)}" for each in threads if each.is_alive()]
        left += [f"task {each.get_name()!r}" for each in tasks if not each.done()]
        left += _processes()
        what = ", ".join(left or [f"an exit function{at_work(threading.main_thread())}"])
        write_error(f"note: left behind, as it had not ended after {seconds:.1f} s: {what}")
        for stream in (sys.stdout, sys.__stdout__):
            with suppress(Exception):  # others may have put anything there
                stream.flush()  # type: ignore[union-attr]
    finally:
        os._exit(code)


def _processes() -> Iterator[str]:
    """End what `multiprocessing` would end at exit, and name what it would wait for."""
    if "multiprocessing" not in sys.modules:
        return
    from multiprocessing import active_children

    for child in active_children():
        if child.daemon:
            child.terminate()
        else:
            yield f"process {child.name!r} ({child.pid})"
