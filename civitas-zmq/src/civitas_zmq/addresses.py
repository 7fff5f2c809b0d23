"""Addresses of a proxy: which are valid, and the forms in which one binds and connects to them.

zmq_tcp(7) and zmq_ipc(7) describe what ZeroMQ accepts. Nothing here opens a socket of ZeroMQ:
`binding.py` does.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Sequence
from typing import Final

IPC: Final = "ipc://"

INPROC_PUB_ADDR: Final = "inproc://civitas.pub"
INPROC_SUB_ADDR: Final = "inproc://civitas.sub"
"""Where a proxy binds as well, for the process that runs it (zmq_inproc(7)). Only sockets of the
proxy's own context can connect there, so each proxy has names of its own."""

MAX_IPC_PATH: Final = 107
"""Bytes of a path in `sockaddr_un` on Linux, without the zero byte that ends it."""

_TCP: Final = re.compile(r"tcp://(\[[0-9A-Fa-f:.%\w]+\]|[^\s:;/\[\]]+):(\d{1,5})")
_ANY: Final = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


def check(address: str) -> str:
    """Return the address; it is `tcp://host:port` or `ipc://path`.

    Raises:
        ValueError: it is neither, or its path is too long.
    """
    path = ipc_path(address)
    if path is not None:
        size = len(os.fsencode(path))
        if not path or "\0" in path:
            raise ValueError(f"{address!r} names no file: write ipc:///run/user/1000/name")
        if size > MAX_IPC_PATH:
            raise ValueError(
                f"the path in {address!r} has {size} bytes; the system allows {MAX_IPC_PATH}"
            )
        return address
    match = _TCP.fullmatch(address)
    if match is None:
        raise ValueError(f"{address!r} is neither tcp://host:port nor ipc://path")
    if not 0 < int(match[2]) < 1 << 16:
        raise ValueError(f"port {match[2]} in {address!r} is not between 1 and 65535")
    return address


def ipc_path(address: str) -> str | None:
    """Return the path of an ipc address, `None` for another one; a path `@name` is no file."""
    return address.removeprefix(IPC) if address.startswith(IPC) else None


def to_connect(address: str) -> str:
    """Return the address to connect to: the loopback interface, where it means all interfaces."""
    host, port = _split(address)
    return f"tcp://{_ANY[host]}:{port}" if host in _ANY else address


def to_bind(address: str) -> str:
    """Return the address to bind: with a number for a host's name, which ZeroMQ does not bind.

    Raises:
        OSError: the host's name is unknown.
    """
    host, port = _split(address)
    if not host or host in _ANY or host.startswith("[") or _is_literal(host):
        return address
    return f"tcp://{socket.gethostbyname(host)}:{port}"


def host_name(address: str) -> str | None:
    """Return the host of an address if it is a name, which has to be resolved."""
    host = _split(address)[0]
    return None if not host or host in _ANY or _is_literal(host.strip("[]")) else host


def apart_from(addresses: Sequence[str], folder: str) -> list[str]:
    """Return addresses of the same kinds that nobody has: files in `folder`, or free ports.

    The ports are free on the loopback interface now; another program may take one.
    """
    sockets: list[socket.socket] = []
    found = []
    for number, address in enumerate(addresses):
        if ipc_path(address) is not None:
            found.append(f"{IPC}{folder}/{number}")
            continue
        family, host = (socket.AF_INET, "127.0.0.1")
        if is_ipv6(address):
            family, host = (socket.AF_INET6, "::1")
        sockets.append(free := socket.socket(family))
        free.bind((host, 0))
        shown = f"[{host}]" if family is socket.AF_INET6 else host
        found.append(f"tcp://{shown}:{free.getsockname()[1]}")
    for each in sockets:  # together, so that no port is given twice
        each.close()
    return found


def is_ipv6(address: str) -> bool:
    """Return whether the address names an IPv6 host."""
    return _split(address)[0].startswith("[")


def is_on_this_machine(address: str) -> bool:
    """Return whether only this machine can reach what is bound here."""
    host = _split(address)[0].strip("[]")
    if not host or host == "localhost":
        return True
    return _is_literal(host) and ipaddress.ip_address(host).is_loopback


def _split(address: str) -> tuple[str, str]:
    """Return host and port; both are empty for an ipc address."""
    match = _TCP.fullmatch(address)
    return (match[1], match[2]) if match else ("", "")


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
