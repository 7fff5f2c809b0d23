"""Default signal dispositions for child processes, however the test run itself was started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_IGNORED_BY_SHELLS: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""A background job of a script ignores the first two, what `nohup` runs ignores the last."""


@contextmanager
def default_signals_for_children() -> Iterator[None]:
    """Have programs that are started in the block hear the signals that this process ignores.

    A program inherits which signals are ignored, but no handler. So a handler that does nothing
    takes the place of each ignored signal: this process goes on as if it ignored the signal, its
    children have the default.
    """
    ignored = [each for each in _IGNORED_BY_SHELLS if signal.getsignal(each) is signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, _do_nothing)
    try:
        yield
    finally:
        for each in ignored:
            signal.signal(each, signal.SIG_IGN)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal that is to have no effect."""
