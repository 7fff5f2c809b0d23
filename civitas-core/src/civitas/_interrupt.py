"""Whether a KeyboardInterrupt is one of a signal, which ends the process, or of code."""

from __future__ import annotations

import dis
import signal
import threading
from functools import partial
from types import CodeType
from typing import Final

_RAISES: Final = frozenset(dis.opmap[each] for each in ("RAISE_VARARGS", "SEND"))
"""Instructions by which code raises, or awaits what has raised."""


def is_interrupt(error: BaseException) -> bool:
    """Return whether an exception is a KeyboardInterrupt that a signal has raised.

    Theory: Python runs the handler of SIGINT between two instructions of the main thread. So the
    exception comes either out of that handler, whose frame is in the traceback then, or (from
    `signal.default_int_handler`, which has no frame) out of an instruction that raises nothing. A
    KeyboardInterrupt that code has raised by itself comes out of a `raise`, or out of an `await`.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    if threading.current_thread() is not threading.main_thread():
        return False
    handler = signal.getsignal(signal.SIGINT)
    while isinstance(handler, partial):
        handler = handler.func
    handling: CodeType | None = getattr(handler, "__code__", None)
    place, instruction = error.__traceback__, None
    while place is not None:
        code = place.tb_frame.f_code
        if code is handling:
            return True
        instruction, place = code.co_code[place.tb_lasti], place.tb_next
    return instruction not in _RAISES
