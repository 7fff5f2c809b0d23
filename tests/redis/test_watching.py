"""`civitas top` and `civitas restart` on redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.deployment import agent, systems
from support.redis.server import RedisServer
from support.watching import restarts_and_deaths_are_seen

pytestmark = pytest.mark.slow


def test_a_system_is_watched(tmp_path: Path, server: RedisServer) -> None:
    options = {"type": "redis", "url": server.url, "probe_interval": 0.2}
    with systems(tmp_path / "system", options) as build:
        frame = restarts_and_deaths_are_seen(build(agent("far", "w1")))
        assert frame["far"]["backlog"] is None
