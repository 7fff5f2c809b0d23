"""Ports of the loopback interface that are free."""

from __future__ import annotations

import itertools
import os
import random
import socket

_SHARES = 16
"""Parts into which the ports are divided, one for each worker of pytest-xdist."""


def _own_ports() -> list[int]:
    """Return the ports of this process.

    They are below those that the system gives to connections: a client that tries again and again
    to reach a server that is down could get the server's own port, and would then talk to itself.
    A worker's are its own: a server that a test has killed must find its port free when it starts
    again, and the port of one that is not started yet must stay without a listener.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    ports = list(range(12_000 + int(worker) % _SHARES, 32_000, _SHARES))
    random.Random(os.getpid()).shuffle(ports)  # beside another run of the suite
    return ports


_ports = itertools.cycle(_own_ports())


def free_port() -> int:
    """Return a port at which nobody listens now, and which this process was not given lately."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")
