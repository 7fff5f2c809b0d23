"""What the tests of the zmq transport share: free ports, transports and what they receive."""

from __future__ import annotations

import socket
from typing import Any

from civitas_zmq.options import ZMQOptions


def free_address() -> str:
    """Return a tcp address where nobody listens, of which no other test is told."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def options_for(**options: Any) -> ZMQOptions:
    """Return options with free addresses."""
    return ZMQOptions(**{"pub_addr": free_address(), "sub_addr": free_address(), **options})
