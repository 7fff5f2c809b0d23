"""Filling a connection with more than its server takes."""

from __future__ import annotations

from support.nats.nodes import Node, frame_of, within

LARGE = frame_of("." * 100_000)


async def fill(node: Node) -> None:
    """Publish large frames until one is refused."""
    while True:
        await within(node.transport.publish("far", LARGE), 3 * node.options.send_timeout)
