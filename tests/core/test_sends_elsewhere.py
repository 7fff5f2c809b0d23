"""Sends and asks to agents of other nodes: what is counted of those that end early."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from civitas._bus.accounting import number_of
from civitas._bus.bus import MessageBus
from civitas._bus.routes import RemoteRoute
from civitas.components import build_component_set
from civitas.errors import OutcomeUnknownError
from civitas.messages import compose
from support.routing import LONG, started

FAR = "far"


class Wire:
    """Takes what is published to an agent of another node, and keeps it."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        """The numbers of the frames."""

    async def __call__(self, frame: bytes) -> None:
        self.taken.append(number_of(frame))


@asynccontextmanager
async def bus_to(wire: Wire) -> AsyncIterator[MessageBus]:
    """A bus that has a route to an agent of another node."""
    components = build_component_set()
    components.identify("node")
    bus = components.bus
    await bus.transport.start()
    await bus.transport.subscribe(FAR, wire)
    bus.routes.add(RemoteRoute(FAR, "01" * 8, "worker"))
    yield bus
    await bus.transport.stop()


async def test_an_ask_that_is_cut_off_when_its_route_closes_counts_as_sent() -> None:
    async with bus_to(Wire()) as bus:
        ask = await started(bus.ask(compose("me", FAR, {}, "message", None), LONG))
        route = bus.routes.get(FAR)
        assert route is not None
        bus.routes.remove(route, "it has gone")
        with pytest.raises(OutcomeUnknownError):
            await ask
        assert bus.sent == 1
