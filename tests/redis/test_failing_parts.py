"""What the transport has going on never ends in silence: its node hears of it."""

from __future__ import annotations

from support.failing import cancel
from support.redis.nodes import Node, until
from support.redis.server import RedisServer


async def test_the_keeper_of_the_session(server: RedisServer) -> None:
    async with Node(server.url) as node:
        cancel("civitas broker link")
        await until(lambda: node.failures)
        assert "'civitas broker link' has ended unexpectedly" in str(node.failures[0])
