"""What is handed to the client without waiting: it arrives, in order with what has waited."""

from __future__ import annotations

from itertools import count

from civitas.messages import RESERVED_PREFIX
from civitas_nats.handing_over import YIELD_ABOVE
from support.nats.nodes import Node, durable, frame_of, until

SYSTEM = f"{RESERVED_PREFIX}test"


def at_once(node: Node, address: str, body: str) -> bool:
    return node.transport.publish_nowait(address, frame_of(body))


async def test_frames_that_are_handed_over_at_once_keep_their_order_with_those_that_wait(server):
    async with Node(server.url) as here, Node(server.url) as there:
        agent = await there.agent("worker")
        await there.transport.wait_ready()
        bodies = [f"{number}".ljust(1000, ".") for number in range(200)]
        ways = set()
        for body in bodies:
            ways.add(taken := at_once(here, "worker", body))
            if not taken:
                await here.send("worker", body)
        assert await agent.has_done(len(bodies)) == bodies
        assert ways == {True, False}


async def test_nothing_is_handed_over_at_once_above_what_the_client_is_to_send_first(server):
    async with Node(server.url) as node:
        body = "." * 1000
        taken = next(number for number in count() if not at_once(node, "worker", body))
        assert YIELD_ABOVE / 2 <= taken * len(frame_of(body)) <= 2 * YIELD_ABOVE


async def test_nothing_is_handed_over_at_once_that_publish_would_refuse(server):
    async with Node(server.url) as node:
        assert not at_once(node, "worker", "." * (node.options.max_message_bytes + 1))
        server.pause()
        await until(lambda: node.told == ["down"])
        assert not at_once(node, "worker", "while the link is down")
        server.resume()
        await until(lambda: node.told == ["down", "up"])
        assert at_once(node, "worker", "when it is up")
    assert not at_once(node, "worker", "after the stop")


async def test_what_a_stream_is_to_keep_is_never_handed_over_at_once(jetstream, unique):
    async with durable(jetstream.url, unique) as node:
        assert not at_once(node, "worker", "kept")
        assert at_once(node, SYSTEM, "not kept")
