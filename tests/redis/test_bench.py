"""`civitas bench` on redis: channels of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from civitas_redis_example.options import RedisOptions
from civitas_redis_example.plugin import civitas_transports
from support.commands import COMMAND, completed
from support.redis.server import RedisServer

[SPEC] = civitas_transports()


async def test_a_system_apart_has_channels_below_those_of_the_system() -> None:
    assert SPEC.apart is not None
    async with SPEC.apart(RedisOptions(prefix="a:"), "bench-1") as own:
        assert own.prefix == "a:bench-1:"


@pytest.mark.slow
def test_it_measures(tmp_path: Path, server: RedisServer) -> None:
    tree = {"name": "root", "children": [{"agent": {"name": "a", "type": "not.There"}}]}
    topology = {"transport": {"type": "redis", "url": server.url}, "supervision": tree}
    (tmp_path / "topology.yaml").write_text(json.dumps(topology))
    done = completed(COMMAND, "bench", "--quick", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    small, _, large = json.loads(done.stdout)["sizes"]
    assert small["rate"] > 0
    assert "max_message_bytes" in large["skipped"]
