"""OS signals: what SIGINT, SIGTERM and SIGHUP do to the commands that run for long.

=================  ======================================  ====================================
command            first signal                            second signal
=================  ======================================  ====================================
`run`              stops the node in order; exit code 0    exits at once with 128 + signal
`up`               ends all processes in order             kills them, exits with 128 + signal
`bench`            removes what it has made and exits      nothing more
                   with 128 + signal
`plugins check`    kills the plugin's process and exits
                   with 128 + signal
=================  ======================================  ====================================

SIGHUP counts for `bench` as SIGTERM does. It does not stop `run` in order. For `up` it counts as a
first signal, but not as a second one, since a terminal that closes may send two; and not at all
after `nohup`. While a process ends, any signal ends it at once.

A forked child is a copy, with the handlers of its parent: with them it would stop a copy of the
node, or wake up the parent's event loop, and go on. So a fork gives the child the dispositions that
Python gives to a program. Handlers that are not from here are the business of who has set them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from civitas.cli.exit_codes import BY_SIGNAL
from civitas.cli.output import error_text

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)

_default: Final[dict[int, Any]] = {}
"""What a child that is forked has instead of the handlers from here, by signal."""

_ours: Final[set[object]] = set()
"""The handlers from here."""


def stop_on_signals(
    first: Callable[[str], object], second: Callable[[str], object], *, hangup: bool = False
) -> None:
    """From now on, let the first signal stop the command, and the second one end it at once.

    Both are called with the signal's name, within the signal handler; when `second` returns, the
    process exits. With `hangup`, SIGHUP counts too.

    The handlers are Python's own, not the event loop's: they also run while an agent's handler
    blocks the loop, or a terminal that is held up takes no output.
    """
    is_stopping = False

    def handle(number: int, _frame: object) -> None:
        nonlocal is_stopping
        name = signal.Signals(number).name
        if not is_stopping:
            is_stopping = True
            first(name)
        elif number != signal.SIGHUP:
            second(name)
            os._exit(BY_SIGNAL + number)

    _handle(_ENDING, handle)
    if hangup and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        _handle((signal.SIGHUP,), handle)


def exit_at_once_on_signals() -> Callable[[float], None]:
    """From now on, let a signal that is not ignored end this process: it is ending anyway.

    Returns what a thread calls to wait for so many seconds, and to end the process at a signal:
    from Python 3.13 on no handler is called while the main thread waits for the end of others.
    """
    heard = [each for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    _handle(heard, lambda number, _: os._exit(BY_SIGNAL + number))
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def wait(seconds: float) -> None:
        until = time.monotonic() + seconds
        while select.select((reader,), (), (), max(0.0, until - time.monotonic()))[0]:
            number = os.read(reader, 1)[0]
            if number in heard:
                os._exit(BY_SIGNAL + number)

    return wait


def exit_on_signals() -> None:
    """From now on, let SIGTERM and SIGHUP end this process by way of every `finally`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` ignores one of them
            signal.signal(number, lambda number, _: sys.exit(BY_SIGNAL + number))


def write_from_handler(text: str) -> None:
    """Write a line to stderr within a signal handler, which may have interrupted a write."""
    with suppress(Exception):  # it may be in a write, and others may have put anything there
        sys.stdout.flush()
    with suppress(OSError):  # the command stops all the same
        os.write(2, error_text([text]).encode())


def _handle(numbers: Iterable[int], handle: Callable[[int, Any], None]) -> None:
    _ours.add(handle)
    for number in numbers:
        before = signal.signal(number, handle)
        if before is signal.SIG_IGN:
            _default.setdefault(number, before)
        elif number == signal.SIGINT:
            _default.setdefault(number, signal.default_int_handler)
        else:
            _default.setdefault(number, signal.SIG_DFL)


def _restore_in_child() -> None:
    if not _default:
        return
    signal.set_wakeup_fd(-1, warn_on_full_buffer=False)
    for number, disposition in _default.items():
        if signal.getsignal(number) in _ours:
            signal.signal(number, disposition)


os.register_at_fork(after_in_child=_restore_in_child)
