"""Sends and asks to agents of other nodes: what is counted of those that end early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from civitas._bus.accounting import number_of
from civitas._bus.bus import MessageBus
from civitas._bus.routes import RemoteRoute
from civitas.components import build_component_set
from civitas.errors import OutcomeUnknownError
from civitas.messages import Message, compose
from support.routing import LONG, SHORT, started

FAR = "far"


class Wire:
    """Takes what is published to an agent of another node, once there is room, and keeps it."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        """The numbers of the frames."""
        self.room = asyncio.Event()
        self.room.set()
        self.confirmed = asyncio.Event()
        self.confirmed.set()
        self.error: Exception | None = None

    async def __call__(self, frame: bytes) -> None:
        await self.room.wait()
        self.taken.append(number_of(frame))
        try:
            await self.confirmed.wait()
        except asyncio.CancelledError as error:
            raise error from OutcomeUnknownError("not confirmed")
        if self.error is not None:
            raise self.error


def send(bus: MessageBus) -> Coroutine[None, None, None]:
    return bus.send(compose("me", FAR, {}, "message", None))


def ask(bus: MessageBus, timeout: float = LONG) -> Coroutine[None, None, Message]:
    return bus.ask(compose("me", FAR, {}, "message", None), timeout)


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


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
        asking = await started(ask(bus))
        route = bus.routes.get(FAR)
        assert route is not None
        bus.routes.remove(route, "it has gone")
        with pytest.raises(OutcomeUnknownError):
            await asking
        assert bus.sent == 1


Verb = Callable[[MessageBus], Coroutine[None, None, Any]]
both = pytest.mark.parametrize("verb", [send, ask])


async def fails_and_keeps_its_number(
    bus: MessageBus, wire: Wire, verb: Verb, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        await verb(bus)
    wire.error = None
    wire.confirmed.set()
    await send(bus)
    assert wire.taken == [1, 2]
    assert bus.sent == 2


@both
async def test_who_is_cancelled_before_the_frame_left_leaves_no_gap(verb: Verb) -> None:
    wire = Wire()
    async with bus_to(wire) as bus:
        wire.room.clear()
        for task in [await started(verb(bus)) for _ in range(3)]:
            await cancelled(task)
        wire.room.set()
        await send(bus)
        assert wire.taken == [1]
        assert bus.sent == 1


@both
async def test_what_may_have_left_when_its_sender_was_cancelled_keeps_its_number(
    verb: Verb,
) -> None:
    wire = Wire()
    async with bus_to(wire) as bus:
        wire.confirmed.clear()
        await cancelled(await started(verb(bus)))
        wire.confirmed.set()
        await send(bus)
        assert wire.taken == [1, 2]
        assert bus.sent == 2


@both
async def test_what_has_an_unknown_outcome_keeps_its_number(verb: Verb) -> None:
    wire = Wire()
    async with bus_to(wire) as bus:
        wire.error = OutcomeUnknownError("not confirmed")
        await fails_and_keeps_its_number(bus, wire, verb, OutcomeUnknownError)


async def test_an_ask_that_was_cancelled_after_it_left_counts_as_sent() -> None:
    wire = Wire()
    async with bus_to(wire) as bus:
        await cancelled(await started(ask(bus)))
        await send(bus)
        assert wire.taken == [1, 2]
        assert bus.sent == 2


async def test_an_ask_whose_time_ends_before_its_confirmation_keeps_its_number() -> None:
    wire = Wire()
    async with bus_to(wire) as bus:
        wire.confirmed.clear()
        await fails_and_keeps_its_number(bus, wire, lambda bus: ask(bus, SHORT), TimeoutError)
