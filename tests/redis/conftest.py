"""Servers for the tests of this folder. One starts within the time of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import Certificates, tls_files
from support.redis.server import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server for one test, which may do to it what it likes."""
    with RedisServer(tmp_path / "server") as running:
        yield running


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Files for encrypted connections."""
    return tls_files(tmp_path_factory.mktemp("certificates"))
