"""Ties the processes of `civitas up` to it: they end when it is gone, even if it was killed.

`up` holds the one end of a pipe that nobody writes to; its processes hold the other. Whatever ends
`up`, the pipe ends with it. Run as a program, this is `civitas` with such a pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time


class Tether:
    """The pipe. The processes must inherit `descriptor`."""

    def __init__(self) -> None:
        self.descriptor, self._kept = os.pipe()

    def __enter__(self) -> Tether:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        os.close(self._kept)

    def civitas(self, *arguments: str, grace: float) -> list[str]:
        """Return the command that runs `civitas` with these arguments at the other end.

        Args:
            arguments: what would follow `civitas` in a shell.
            grace: seconds that it may take to end in order when `up` is gone.
        """
        # With -P the child searches the same places as the installed command, not this folder too.
        program = [sys.executable, "-P", "-m", __name__]
        return [*program, str(self.descriptor), str(grace), *arguments]


def hold(descriptor: int, grace: float) -> None:
    """End this process when the other end of the pipe is gone: by SIGTERM, later by SIGKILL.

    A thread watches, as a handler may block the event loop.

    Args:
        descriptor: the end of the pipe that was inherited.
        grace: seconds from the one signal to the other.
    """
    os.set_inheritable(descriptor, False)
    watch = threading.Thread(target=_watch, args=(descriptor, grace), name="tether", daemon=True)
    watch.start()


def _watch(descriptor: int, grace: float) -> None:
    while os.read(descriptor, 1):
        pass
    # Whoever read our output is gone too, and what is written to it now must not fail.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Be `civitas`, with a tether: the arguments are its descriptor, the grace, and the rest."""
    from civitas.cli import main as civitas

    descriptor, grace, *arguments = sys.argv[1:]
    hold(int(descriptor), float(grace))
    sys.argv = ["civitas", *arguments]
    civitas()


if __name__ == "__main__":
    main()
