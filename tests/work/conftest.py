"""The transports whose work is counted. Both ends of each are in one event loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.nats.server import NatsServer
from support.system import Place

TRANSPORTS = ("in_process", "zmq", "nats")

LARGEST = 4 << 20
"""Bytes of a frame that is sent over NATS, whose own default is less than the bodies here."""

WORKER_THEN_PRIMARY = (1, 0)


@pytest.fixture(params=TRANSPORTS)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A transport; the first agent is in a worker, where the transport reaches one."""
    monkeypatch.setattr("civitas._cluster.discovery.CLAIM_WINDOW", 0.005)
    if request.param == "zmq":
        ends = {f"{end}_addr": f"ipc://{tmp_path}/{end}" for end in ("pub", "sub")}
        yield Place({"type": "zmq", **ends}, WORKER_THEN_PRIMARY)
    elif request.param == "nats":
        with NatsServer(tmp_path / "server", max_payload=2 * LARGEST) as server:
            block = {"type": "nats", "servers": server.url, "max_message_bytes": LARGEST}
            yield Place(block, WORKER_THEN_PRIMARY)
    else:
        yield Place({"type": request.param})
