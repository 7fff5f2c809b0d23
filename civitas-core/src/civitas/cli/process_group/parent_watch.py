"""Ends a child of `civitas up` when `up` is gone, even if `up` was killed.

`up` holds one end of a pair of sockets to which it never writes. Each child reads from the other
end, and gets an end of file when `up` is gone. (PR_SET_PDEATHSIG would do the same, on Linux
alone.) The other way a child says that it is done (`civitas.cli.notices.say_done`).

Run as a program, this module is `civitas` that reads from such a socket.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from threading import Thread

from civitas._program import command_of_part
from civitas.cli.notices import DONE, inherited, parent
from civitas.cli.process_group.private_arguments import PrivateArguments, take_arguments


class ParentWatch:
    """The pair of sockets. The children must inherit `descriptor`."""

    def __init__(self) -> None:
        self._kept, self._shared = socket.socketpair()
        self._kept.setblocking(False)
        self.descriptor = self._shared.fileno()
        self._unread = b""
        self._done: set[int] = set()

    def __enter__(self) -> ParentWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._shared.close()
        self._kept.close()

    def is_done(self, pid: int) -> bool:
        """Return, once, whether a child that has ended has said before that it is done."""
        with suppress(BlockingIOError):
            while True:
                self._unread += self._kept.recv(4096)
        whole = len(self._unread) // DONE.size * DONE.size
        self._done.update(said for (said,) in DONE.iter_unpack(self._unread[:whole]))
        self._unread = self._unread[whole:]
        is_done = pid in self._done
        self._done.discard(pid)  # the system gives numbers again
        return is_done

    def command(self, *arguments: str, grace: float, private: PrivateArguments) -> list[str]:
        """Return the command that runs `civitas` as a child, with these and private arguments.

        When `up` is gone, the child has `grace` seconds to end in order.

        Raises:
            CivitasError: this program can't start children.
        """
        descriptors = map(str, (self.descriptor, private.descriptor))
        return command_of_part(__name__, *descriptors, str(grace), *arguments)


def watch_parent(descriptor: int, grace: float) -> None:
    """End this process when its parent is gone: by SIGTERM, `grace` seconds later by SIGKILL.

    A thread waits for it, since a handler may block the event loop.
    """
    os.set_inheritable(descriptor, False)
    Thread(target=_wait, args=(descriptor, grace), name="parent-watch", daemon=True).start()


def _wait(descriptor: int, grace: float) -> None:
    with suppress(ConnectionError):  # it is gone, and has not read all that was said
        while os.read(descriptor, 1):
            pass
    # Whoever read our output is gone too, and what is written to it now must not fail.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main(given: list[str]) -> None:
    """Run `civitas` as a child: the arguments are two descriptors, the grace, and its own."""
    descriptor, private, grace, *arguments = given
    watch_parent(int(descriptor), float(grace))
    parent.set(int(descriptor))
    from civitas.cli import main as civitas
    from civitas.topology import pipes

    more, files, notices = take_arguments(int(private))
    pipes.kept.set(files)
    inherited.set(notices)
    sys.argv = ["civitas", *arguments, *more]
    civitas()


if __name__ == "__main__":
    main(sys.argv[1:])
