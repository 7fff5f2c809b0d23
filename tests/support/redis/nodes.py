"""Nodes with a transport: what it reported to the node, and what it dropped."""

from __future__ import annotations

import logging
import os
from typing import Any, Final, Self

from civitas.plugins import TransportContext
from civitas_redis_example.options import RedisOptions
from civitas_redis_example.plugin import make_transport
from support.nats.nodes import Agent, frame_of, until, within

QUICK: Final[dict[str, Any]] = {"probe_interval": 0.1, "probe_timeout": 1.0}
"""Options with which a fault is over soon."""

NOTICED: Final = 15.0
"""Seconds that a test waits, on a busy machine, for what these options do in little more than 1."""

__all__ = ["NOTICED", "Agent", "Node", "frame_of", "until", "within"]


class Node:
    """A transport with the context of a node, and what it reported to the node.

    Attributes:
        process: its process name.
        url: the server, as it was given.
        given: the other options that were.
        transport: the transport; started within `async with`.
        told: what it reported about its link, "down" and "up".
        drops: what it counted as dropped: reasons and frames.
        failures: what ended unexpectedly in it.

    Args:
        url: the server.
        options: more options; see `QUICK` for what they are otherwise.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.process: Final = f"node {os.urandom(4).hex()}"
        self.url: Final = url
        self.given: Final = options
        self.told: list[str] = []
        self.drops: list[tuple[str, bytes]] = []
        self.failures: list[BaseException] = []
        self.transport = make_transport(
            RedisOptions(**{**QUICK, "url": url, **options}),
            TransportContext(
                process=self.process,
                node=os.urandom(8).hex(),
                logger=logging.getLogger("civitas.tests.redis"),
                dropped=lambda reason, frame: self.drops.append((reason, frame)),
                link_down=lambda _: self.told.append("down"),
                link_up=lambda: self.told.append("up"),
                failed=self.failures.append,
            ),
        )

    async def agent(self, name: str) -> Agent:
        """Subscribe an agent, and return when it is reached."""
        agent = Agent()
        await within(self.transport.subscribe(name, agent))
        await within(self.transport.wait_ready())
        return agent

    async def send(self, address: str, *bodies: str) -> None:
        """Publish frames, one after the other."""
        for body in bodies:
            await within(self.transport.publish(address, frame_of(body)))

    async def lost_and_found(self) -> None:
        """Wait until it has told once that its link is lost, and once that it is back."""
        await until(lambda: self.told == ["down", "up"])

    async def __aenter__(self) -> Self:
        await within(self.transport.start())
        return self

    async def __aexit__(self, *_: object) -> None:
        await within(self.transport.stop())
