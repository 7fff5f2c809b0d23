"""MemoryNode: a transport with a memory broker, and what it has reported to its node."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable
from typing import Any, Final, Self

from civitas.plugins import Capabilities, TransportContext
from civitas.transport import BrokerSettings, BrokerTransport
from support.memory_broker.broker import MemoryBroker
from support.nats.nodes import Agent, frame_of, until

LARGEST: Final = 10_000
PLACE: Final = "memory://broker"


class MemoryNode:
    """A transport with the context of a node.

    Attributes:
        broker: where it connects to.
        transport: the transport; started within `async with`.
        told: what it reported about its link, "down" and "up", each with the time.
        drops: reasons of what it dropped.
        failures: what ended unexpectedly in it.

    Args:
        broker: the broker.
        settings: as for BrokerSettings.
    """

    def __init__(self, broker: MemoryBroker, **settings: Any) -> None:
        self.broker: Final = broker
        self.told: list[tuple[str, float]] = []
        self.drops: list[str] = []
        self.failures: list[BaseException] = []
        context = TransportContext(
            node=os.urandom(8).hex(),
            logger=logging.getLogger("civitas.tests.memory"),
            dropped=lambda reason, _: self.drops.append(reason),
            link_down=lambda _: self._tell("down"),
            link_up=lambda: self._tell("up"),
            failed=self.failures.append,
        )
        self.transport = BrokerTransport(
            "memory",
            broker.make_wire,
            BrokerSettings(place=PLACE, **settings),
            Capabilities(cross_process=True, max_message_bytes=LARGEST),
            context,
        )

    @property
    def links(self) -> list[str]:
        """What it reported about its link, without the times."""
        return [each for each, _ in self.told]

    async def agent(self, name: str) -> Agent:
        """Subscribe an agent, and return when it is reached."""
        agent = Agent()
        await self.transport.subscribe(name, agent)
        await self.transport.wait_ready()
        return agent

    def publish(self, address: str, *bodies: str) -> list[asyncio.Task[None]]:
        """Begin to publish frames, one behind the other in one turn of the loop."""
        send = self.transport.publish
        return [asyncio.ensure_future(send(address, frame_of(body))) for body in bodies]

    async def is_up_again(self, times: int = 1) -> None:
        """Wait until its link was lost and found so often."""
        await until(lambda: self.links == ["down", "up"] * times)

    def _tell(self, what: str) -> None:
        self.told.append((what, asyncio.get_running_loop().time()))

    async def __aenter__(self) -> Self:
        await self.transport.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.stop()
        assert self.failures == []


async def outcomes(work: list[asyncio.Task[None]]) -> list[type[BaseException] | None]:
    """Return what became of each: the class of its error, or None."""
    found = await asyncio.gather(*work, return_exceptions=True)
    return [None if each is None else type(each) for each in found]


async def raised_by(work: Awaitable[object]) -> BaseException | None:
    """Return what is raised, if anything; also when this very task is cancelled."""
    try:
        await work
    except BaseException as error:  # noqa: BLE001 - it is what is asked for
        return error
    return None
