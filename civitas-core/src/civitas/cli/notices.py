"""What `run` and `up` tell a service manager, and what the processes of `up` tell it.

`up` is the service, and its processes are not: their environment has no NOTIFY_SOCKET. Where `up`
has one itself, its processes inherit the end of a socket of its own, and tell it there what they
would tell systemd. With or without one, each of them says to `up` when it is done.
"""

from __future__ import annotations

import os
from contextlib import suppress
from contextvars import ContextVar
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from civitas._health.notify import Notifier


class Inherited(NamedTuple):
    """The end of a socket that a process of `up` has inherited, and what it has to tell there.

    Attributes:
        descriptor: that of the socket.
        watchdog: seconds within which `up` wants to hear that the process is well; None: never.
    """

    descriptor: int
    watchdog: float | None


inherited: Final[ContextVar[Inherited | None]] = ContextVar("inherited", default=None)
"""What this process has inherited; None where it is no process of `up`, or has nothing to tell."""


parent: Final[ContextVar[int | None]] = ContextVar("parent", default=None)
"""The socket whose other end `up` has; None where this is no process of `up`."""

DONE: Final = Struct("=q")
"""What a process writes to that socket when it is done: its process id."""


def say_done() -> None:
    """Say to `up` that this process is done: its exit code 0 is no accident."""
    descriptor = parent.get()
    if descriptor is not None:
        with suppress(OSError):  # `up` is gone
            os.write(descriptor, DONE.pack(os.getpid()))


def notifier_here(name: str = "") -> Notifier | None:
    """Return what tells the service manager of this process; None where nobody is to be told.

    `name` is that of the process, for `up`.
    """
    end = inherited.get()
    if end is None and "NOTIFY_SOCKET" not in os.environ:
        return None  # most don't load what follows
    import socket

    from civitas._health.notify import Notifier, notifier_of

    if end is None:
        return notifier_of(os.environ)
    channel = socket.socket(fileno=end.descriptor)
    channel.set_inheritable(False)
    return Notifier(channel, end.watchdog, f"PROCESS={name}")
