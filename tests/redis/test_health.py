"""A server that is away is a reason not to be ready, and none to be ended."""

from __future__ import annotations

import asyncio

import pytest

from civitas import Runtime
from support.agents import until
from support.probing import Probed, probe, probed_until
from support.redis.server import RedisServer

pytestmark = pytest.mark.slow


async def told(runtime: Runtime, *texts: str) -> Probed:
    """Ask until `/ready` says so; `/live` has to stay as it is meanwhile."""
    answer = await asyncio.to_thread(probed_until, runtime.health_url, "/ready", *texts)
    assert (await asyncio.to_thread(probe, runtime.health_url, "/live")).status == 200
    return answer


async def test_before_the_start_and_after_a_loss(server: RedisServer) -> None:
    runtime = Runtime.from_config_dict(
        {
            "transport": {
                "type": "redis",
                "url": server.url,
                "connect_timeout": 60,
                "probe_interval": 0.2,
                "probe_timeout": 1,
            },
            "health": {"listen": 0},
            "supervision": {"name": "root"},
        }
    )
    server.kill()
    starting = asyncio.create_task(runtime.start())
    await until(lambda: bool(runtime.health_url))
    answer = await told(runtime, "this process is starting")
    assert answer.status == 503
    assert "it has not joined the system" in answer.text
    server.start()
    await starting
    assert (await told(runtime, "ready")).status == 200
    for lose, find in ((server.kill, server.start), (server.pause, server.resume)):
        lose()
        answer = await told(
            runtime, "\nthe control plane's transport is not connected: ", "the transport is not"
        )
        assert answer.status == 503
        find()
        assert (await told(runtime, "ready\n")).status == 200
    await runtime.stop()
