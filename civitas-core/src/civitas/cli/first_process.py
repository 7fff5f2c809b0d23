"""Process 1: what a command does as the first process of a container.

The kernel gives process 1 every process whose parent has ended, and it alone can let them go; and
it ignores a signal for which process 1 has no handler. Neither is the business of a program with
children of its own, which waits for these alone. So the command goes on in a child, and process 1
does what is left: it hands signals on, lets go of what has ended, and ends as the child does.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Final

from civitas.cli.exit_codes import BY_SIGNAL

_NOT_HANDED_ON: Final = {
    signal.SIGCHLD,
    # What ends or stops process 1 itself, or is raised by what it does.
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE),
    # Those of a terminal to which it writes from the background.
    *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP),
}


def go_on_behind_process_1() -> None:
    """Return in a child, which is the command from then on.

    Called in process 1, before there is any thread. Process 1 itself ends with the exit code of the
    child, or with 128 and the number of the signal that has ended it.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    handed_on = signal.valid_signals() - _NOT_HANDED_ON
    before = signal.pthread_sigmask(signal.SIG_BLOCK, handed_on | {signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        # A Ctrl-C at the terminal reaches process 1 alone, and comes once.
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os._exit(_serve(child, handed_on))


def _serve(child: int, handed_on: set[signal.Signals]) -> int:
    """Hand signals on and let go of what has ended, until the child has; return the exit code."""
    while True:
        number = signal.sigwait(handed_on | {signal.SIGCHLD})
        if number in handed_on:
            with suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        while True:  # one signal stands for any number of ends
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if ended == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else BY_SIGNAL - code
            if ended == 0:
                break
