"""The socket that a process answers probes at; no child has it."""

from __future__ import annotations

import errno
import os
import socket
import weakref
from contextlib import suppress
from typing import Final

from civitas._health.settings import HealthSettings, Listen
from civitas.errors import CivitasError, ConfigurationError

_BACKLOG: Final = 64

_NOT_MENDED: Final = frozenset((errno.EADDRNOTAVAIL, errno.EACCES, errno.EAFNOSUPPORT))
"""Why a socket can't be bound, where trying again does not help."""

_open: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def open_listener(settings: HealthSettings) -> socket.socket:
    """Return a socket that listens at the address of the settings.

    Raises:
        ConfigurationError: this machine has no such address, or this process may not listen there.
        CivitasError: the address is in use.
    """
    assert settings.listen is not None
    try:
        family, address = _resolved(settings.listen)
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:  # the latter where a name can't be one of a host
        raise _explained(settings, error) from error
    _open.add(listener)
    return listener


def _resolved(listen: Listen) -> tuple[int, tuple[object, ...]]:
    """Return family and address; of a name that has several, IPv4 goes first."""
    found = socket.getaddrinfo(
        listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    found.sort(key=lambda each: each[0] != socket.AF_INET)
    family, _, _, _, address = found[0]
    return family, address


def _explained(settings: HealthSettings, error: OSError | UnicodeError) -> CivitasError:
    where = settings.where or "health"
    what = f"{where}: this process can't listen for probes at {settings.listen}"
    number = error.errno if isinstance(error, OSError) else errno.EADDRNOTAVAIL
    if number == errno.EADDRINUSE:
        return CivitasError(
            f"{what}: the address is in use; another process of this system may have it: give "
            f"each its own by --health, or port 0 for a free one"
        )
    why = (error.strerror if isinstance(error, OSError) else "") or str(error)
    if number in _NOT_MENDED or isinstance(error, socket.gaierror):
        return ConfigurationError(f"{what}: {why}")
    return CivitasError(f"{what}: {why}")


def _close_in_child() -> None:
    """Leave the address to the parent: a forked child that outlives it would keep it in use."""
    for listener in list(_open):
        with suppress(OSError):
            listener.close()


os.register_at_fork(after_in_child=_close_in_child)
