"""Inspection of streams and consumers on a server, by the bare client and the monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nats.js.api import RawStreamMsg

from civitas_nats.subjects import consumer_name
from support.nats.nodes import Node, bare, body_of
from support.nats.server import NatsServer

TESTS = Path(__file__).parents[1]


def numbered(first: int, last: int) -> list[str]:
    """Return bodies that are consecutive numbers."""
    return [f"{number}" for number in range(first, last + 1)]


async def consumer_of(server: NatsServer, node: Node, agent: str = "worker") -> dict:
    """Return what the server says of an agent's consumer."""
    async with bare(server.url) as client:
        info = await client.jetstream().consumer_info(
            node.options.stream_name, consumer_name(agent)
        )
    return info.as_dict()


def state_of(server: NatsServer, name: str) -> dict[str, Any]:
    """Return the state of a stream: counts of messages and bytes, the first and last number."""
    state: dict[str, Any] = server.streams()[name]["state"]
    return state


def outstanding(server: NatsServer, stream: str, agent: str) -> int:
    """Count the messages that a server has given to an agent's reader, and waits to hear of."""
    consumers = server.streams()[stream]["consumer_detail"]
    [count] = [
        each["num_ack_pending"] for each in consumers if each["name"] == consumer_name(agent)
    ]
    return int(count)


async def stored(server: NatsServer, name: str) -> list[str]:
    """Return the bodies of all that is in a stream, in order."""
    async with bare(server.url) as client:
        stream = client.jetstream()
        state = (await stream.stream_info(name)).state
        numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
        return [body_of((await stream.get_msg(name, number)).data) for number in numbers]


async def stream_of(server: NatsServer, node: Node) -> dict:
    """Return the state of the stream."""
    return state_of(server, node.options.stream_name)


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
