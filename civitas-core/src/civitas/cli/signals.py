"""OS signals: what SIGINT, SIGTERM and SIGHUP do to the commands that run for long.

=================  ======================================  ====================================
command            first signal                            second signal
=================  ======================================  ====================================
`run`              stops the node in order; exit code 0    exits at once with 128 + signal
`up`               ends all processes in order             kills them, exits with 128 + signal
`plugins check`    kills the plugin's process and exits
                   with 128 + signal
=================  ======================================  ====================================

SIGHUP does not stop `run` in order. It counts as a first signal for `up`, but not as a second one,
since a terminal that closes may send two; and not at all after `nohup`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from civitas.cli.exit_codes import BY_SIGNAL
from civitas.cli.output import error_text


@contextmanager
def stopping_on_signals(
    first: Callable[[str], object], second: Callable[[str], object], *, hangup: bool = False
) -> Iterator[None]:
    """Within the block, let the first signal stop the command, and the second one end it at once.

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

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hangup and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_on_signals() -> None:
    """From now on, let SIGTERM and SIGHUP end this process by way of every `finally`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` ignores one of them
            signal.signal(number, lambda number, _: sys.exit(BY_SIGNAL + number))


def write_from_handler(text: str) -> None:
    """Write a line to stderr within a signal handler, which may have interrupted a write."""
    with suppress(RuntimeError):
        sys.stdout.flush()
    os.write(2, error_text([text]).encode())
