"""Ports of the loopback interface that are free."""

from __future__ import annotations

import itertools
import os
import random
import socket

# Below the ports that the system gives to connections: a client that tries again and again to reach
# a server that is down could get the server's own port, and would then talk to itself. In an order
# of this process's own: tests run in several.
_ports = itertools.cycle(random.Random(os.getpid()).sample(range(12_000, 32_000), 4_000))


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
