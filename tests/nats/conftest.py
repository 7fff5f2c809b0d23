"""Servers for the tests of this folder. One starts within the time of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.nats.server import NatsServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server without JetStream."""
    with NatsServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
def jetstream(tmp_path: Path) -> Iterator[NatsServer]:
    """A server with JetStream."""
    with NatsServer(tmp_path / "server", jetstream=True) as running:
        yield running
