"""Binds the proxy's addresses, without taking one from another process, and removes their files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import zmq

from civitas.errors import ConfigurationError, TransportError
from civitas_zmq import addresses

_LOCK_TIMEOUT: Final = 1.0
"""Seconds to wait for another process that is binding in the same folder."""


def bind(server: zmq.Socket[bytes], address: str) -> None:
    """Bind a socket.

    Raises:
        TransportError: the address is taken, or can't be bound; the message says what to do.
    """
    try:
        server.bind(addresses.to_bind(address))
    except (zmq.ZMQError, OSError) as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(address) from error
        raise TransportError(f"the proxy can't listen at {address}: {error}") from error


@contextlib.contextmanager
def exclusively(*bound: str) -> Iterator[None]:
    """Allow ipc addresses to be bound within this context, if nobody listens there.

    A second bind of an ipc address succeeds and takes it from the first process: libzmq (4.3.5)
    unlinks the file. So this looks whether somebody listens at the path. The folder is locked, so
    that no other proxy binds in it between that look and the bind.

    Raises:
        TransportError: somebody listens there, or the folder can't be used.
    """
    paths = {address: path for address in bound if (path := _file_of(address)) is not None}
    with contextlib.ExitStack() as locks:
        for folder in sorted({path.absolute().parent for path in paths.values()}):
            locks.enter_context(_locked(folder))
        for address, path in paths.items():
            if _is_alive(path):
                raise _taken(address)
        yield


def check_folders(*bound: str) -> None:
    """See that the folders of ipc addresses are there.

    Raises:
        ConfigurationError: one is not.
    """
    for address in bound:
        path = _file_of(address)
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigurationError(
                f"{address}: there is no folder {path.parent}, and ZeroMQ makes none"
            )


class SocketFile(NamedTuple):
    """The file of a bound ipc address; the inode shows whether it has been replaced."""

    path: Path
    inode: int


def files_of(*bound: str) -> list[SocketFile]:
    """Return the files of ipc addresses that have just been bound."""
    paths = filter(None, map(_file_of, bound))
    return [SocketFile(path.absolute(), path.stat().st_ino) for path in paths]


def remove(files: list[SocketFile]) -> None:
    """Remove the files of addresses that are no longer bound: libzmq (4.3.5) leaves them.

    A file that has been replaced meanwhile belongs to another process and stays.
    """
    for path, inode in files:
        with contextlib.suppress(TransportError, FileNotFoundError), _locked(path.parent):
            if path.stat().st_ino == inode and not _is_alive(path):
                path.unlink()


def weakness_of(address: str) -> str | None:
    """Return what any user of this machine can do to an ipc address, `None` if nothing."""
    path = addresses.ipc_path(address)
    if path is None:
        return None
    if path.startswith("@"):
        return "such a name has no permissions: any user of this machine can connect, or take it"
    try:
        mode = Path(path).absolute().parent.stat().st_mode
    except OSError:  # binding says so
        return None
    if mode & stat.S_IWOTH:
        return "all may write to its folder: any user of this machine can take the path first"
    return None


def _taken(address: str) -> TransportError:
    return TransportError(
        f"the proxy can't listen at {address}: somebody listens there already. If it is another"
        " primary process or `civitas-zmq proxy`, use it with start_proxy: false; otherwise"
        " choose other addresses with pub_addr and sub_addr"
    )


def _file_of(address: str) -> Path | None:
    path = addresses.ipc_path(address)
    return None if path is None or path.startswith("@") else Path(path)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TransportError(
            f"the folder {folder} of an ipc address can't be used: {error.strerror}"
        ) from error
    try:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise TransportError(f"another process keeps the folder {folder} locked")
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(path: Path) -> bool:
    """Return whether a process listens at a socket's file; nobody does if it was left behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except BlockingIOError:  # somebody listens, and its backlog is full
            return True
        except OSError:
            return False
    return True
