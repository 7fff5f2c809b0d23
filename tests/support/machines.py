"""Machines: network namespaces with a cable between them, each of which passes for a machine."""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.last_will import LastWill

_NAMESPACES: Final = Path("/run/netns")
_CABLE: Final = "cable0"
_NETWORK: Final = "10.231.7"
_CLONE_NEWNET: Final = 0x40000000
_numbers: Final = itertools.count(1)
_libc: Final = ctypes.CDLL(None, use_errno=True)


class NotPossibleHereError(RuntimeError):
    """This system does not let a test do what it has to."""


@dataclass(frozen=True)
class Machine:
    """A network namespace: it has a loopback interface of its own, and one end of a cable.

    Attributes:
        name: the namespace's name.
        address: its address at the cable.
    """

    name: str
    address: str

    def command(self, *command: str) -> list[str]:
        """Return the command that runs a command on this machine, by the same process id."""
        return [_ip(), "netns", "exec", self.name, *command]

    def connect(self, port: int, timeout: float) -> socket.socket:
        """Return a connection to this machine's own address, made on it."""

        def made() -> socket.socket:
            with (_NAMESPACES / self.name).open() as namespace:
                if _libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            return socket.create_connection((self.address, port), timeout)

        with ThreadPoolExecutor(1) as another:  # setns is for a thread, and this one stays here
            return another.submit(made).result()

    def cut(self) -> None:
        """Pull the cable at this machine: what is sent either way is lost, and nobody is told."""
        _run(*self._link, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        _run(*self._link, "up")

    @property
    def _link(self) -> tuple[str, ...]:
        return ("-n", self.name, "link", "set", _CABLE)


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Run two machines with a cable between them. In the end all processes on them are killed.

    Raises:
        NotPossibleHereError: the system does not allow it.
    """
    prefix = f"civitas-{os.getpid()}-{next(_numbers)}"
    first = Machine(f"{prefix}-a", f"{_NETWORK}.1")
    second = Machine(f"{prefix}-b", f"{_NETWORK}.2")
    ends = [("name", _CABLE, "netns", each.name) for each in (first, second)]
    with ExitStack() as stack:
        for machine in (first, second):
            stack.enter_context(_namespace(machine.name))
        _run("link", "add", *ends[0], "type", "veth", "peer", *ends[1])
        for machine in (first, second):
            _run("-n", machine.name, "addr", "add", f"{machine.address}/24", "dev", _CABLE)
            _run("-n", machine.name, "link", "set", "lo", "up")
            machine.mend()
        yield first, second


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    _run("netns", "add", name)
    will = LastWill(_ip(), "netns", "delete", name)
    try:
        yield
    finally:
        for pid in _run("netns", "pids", name).split():
            os.kill(int(pid), signal.SIGKILL)
        _run("netns", "delete", name)
        will.revoke()


def _run(*arguments: str) -> str:
    done = subprocess.run([_ip(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotPossibleHereError(
            f"ip {' '.join(arguments)}: {done.stderr.strip()}: this test needs root, and a kernel"
            " with network namespaces and veth"
        )
    return done.stdout


def _ip() -> str:
    found = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
    if found is None:
        raise NotPossibleHereError("this test needs ip: `make programs` installs it")
    return found
