"""What tests see of streams and consumers on a server, and of the bodies of frames."""

from __future__ import annotations

from pathlib import Path

from nats.js.api import RawStreamMsg

from civitas_nats.subjects import consumer_name
from support.nats.nodes import Node, bare
from support.nats.server import NatsServer

TESTS = Path(__file__).parents[1]


def numbered(first: int, last: int) -> list[str]:
    """Return bodies that tell their order."""
    return [f"{number}" for number in range(first, last + 1)]


async def consumer_of(server: NatsServer, node: Node, agent: str = "worker") -> dict:
    """Return what the server says of an agent's consumer."""
    async with bare(server.url) as client:
        info = await client.jetstream().consumer_info(
            node.options.stream_name, consumer_name(agent)
        )
    return info.as_dict()


async def stream_of(server: NatsServer, node: Node) -> dict:
    """Return the state of the stream."""
    return server.streams()[node.options.stream_name]["state"]


async def dead_letters(server: NatsServer, node: Node) -> list[RawStreamMsg]:
    """Return the dead letters, the oldest first."""
    async with bare(server.url) as client:
        stream = client.jetstream()
        name = node.options.dead_letter_stream
        state = (await stream.stream_info(name)).state
        return [
            await stream.get_msg(name, number)
            for number in range(state.first_seq, state.last_seq + 1)
        ]
