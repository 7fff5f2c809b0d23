"""Probes: probes and credit between two nodes, and whatever else comes to their address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from civitas import envelope
from civitas._cluster.probes import Probes
from civitas._cluster.protocol import data_address
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import NotConnectedError
from civitas.transport import InProcessTransport

HERE = Origin(b"\x01" * 8, 1)
THERE = Origin(b"\x02" * 8, 1)
DEADLINE = 10.0


class Post:
    """A probes and what it was told."""

    def __init__(self, transport: InProcessTransport, origin: Origin = HERE) -> None:
        self.node = origin.node.hex()
        self.heard: list[tuple[bytes, bool]] = []
        self.probed: list[str] = []
        self.credit: list[tuple[Any, ...]] = []
        self.dropped: list[tuple[str, bytes]] = []
        self.probes = Probes(
            transport,
            origin,
            lambda node, fresh: self.heard.append((node, fresh)),
            self.probed.append,
            lambda *credit: self.credit.append(credit),
            lambda reason, frame: self.dropped.append((reason, frame)),
        )

    def hear(self, *values: object, origin: Origin = THERE) -> None:
        body = msgpack.packb(values)
        self.probes.take(envelope.seal(body, "msgpack", origin, kind=KIND_SYSTEM))


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Post, Post]]:
    transport = InProcessTransport()
    await transport.start()
    here, there = Post(transport), Post(transport, THERE)
    for post in (here, there):
        await post.probes.start()
    try:
        yield here, there
    finally:
        for post in (here, there):
            await post.probes.stop()
        await transport.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)


async def test_a_probe_is_answered() -> None:
    async with two() as (here, there):
        here.probes.probe(there.node, fresh=True)
        await until(lambda: here.probed)
        assert there.heard == [(HERE.node, True)]
        assert here.probed == [there.node]


async def test_credit_reaches_the_node_that_it_is_for() -> None:
    async with two() as (here, there):
        there.probes.grant(HERE.node, "agent", 64)
        await until(lambda: here.credit)
        assert here.credit == [(there.node, "agent", 64)]
        assert not there.credit


async def test_what_was_said_before_the_end_is_sent() -> None:
    async with two() as (here, there):
        here.probes.grant(THERE.node, "agent", 64)
        await here.probes.stop()
        await until(lambda: there.credit)
        assert there.credit == [(here.node, "agent", 64)]


async def test_a_transport_that_fails_once_does_not_end_the_courier() -> None:
    transport = InProcessTransport()
    await transport.start()
    failures: list[Exception] = [NotConnectedError("the link is down"), ValueError("a defect")]
    publish = transport.publish

    async def failing(address: str, data: bytes) -> None:
        if failures:
            raise failures.pop(0)
        await publish(address, data)

    transport.publish = failing  # type: ignore[method-assign]
    here = Post(transport)
    await here.probes.start()
    for _ in range(3):
        here.probes.probe(here.node, fresh=True)
    await until(lambda: here.heard)
    await here.probes.stop()
    await transport.stop()
    assert len(here.heard) == 1


async def test_an_end_that_was_reached_before_and_one_without_a_beginning_do_nothing() -> None:
    transport = InProcessTransport()
    await transport.start()
    here = Post(transport)
    await here.probes.stop()
    await here.probes.start()
    await here.probes.stop()
    await here.probes.stop()
    await transport.stop()


@given(st.binary(max_size=100))
def test_garbage_is_survived_and_counted(garbage: bytes) -> None:
    here = Post(InProcessTransport())
    assert here.probes.take(garbage)
    assert here.probes.take(envelope.seal(garbage, "msgpack", THERE, kind=KIND_SYSTEM))
    assert here.dropped[0] == ("malformed system frame", garbage)
    assert not here.heard
    assert not here.credit


@given(
    st.sampled_from(["probe", "answer", "credit", "other", 3, None]),
    st.lists(
        st.none() | st.integers(-9, 9) | st.text(max_size=3) | st.lists(st.none()), max_size=3
    ),
)
def test_values_that_do_not_fit_change_no_window(kind: object, values: list[object]) -> None:
    here = Post(InProcessTransport())
    here.hear(kind, *values)
    for credit in here.credit:
        assert isinstance(credit[1], str)
        assert type(credit[2]) is int
    fits = kind == "answer" or (kind == "probe" and len(values) == 1) or here.credit
    assert bool(here.dropped) != bool(fits)


def test_a_message_at_the_couriers_address_is_no_word_of_a_courier() -> None:
    here = Post(InProcessTransport())
    here.probes.take(envelope.seal(msgpack.packb(["answer"]), "msgpack", THERE))
    assert not here.probed
    assert len(here.dropped) == 1


async def test_the_last_number_is_told_where_the_agent_is() -> None:
    transport = InProcessTransport()
    await transport.start()
    heard: list[bytes] = []

    async def agent(frame: bytes) -> None:
        heard.append(frame)

    await transport.subscribe("agent", agent)
    here = Post(transport)
    await here.probes.start()
    here.probes.tell_last("agent", 77)
    await until(lambda: heard)
    opened = envelope.open(heard[0])
    assert (opened.kind, opened.number, opened.node) == (KIND_SYSTEM, 77, HERE.node)
    await here.probes.stop()
    await transport.stop()


def test_each_node_hears_at_an_address_of_its_own() -> None:
    assert data_address(HERE.node.hex()) != data_address(THERE.node.hex())


class Swallowing(InProcessTransport):
    """Keeps a cancellation to itself, as client libraries do when it meets a timeout of theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.sending = asyncio.Event()

    async def publish(self, address: str, data: bytes) -> None:
        self.sending.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def test_it_stops_also_when_a_transport_swallows_its_cancellation() -> None:
    transport = Swallowing()
    await transport.start()
    post = Post(transport)
    await post.probes.start()
    post.probes.probe(THERE.node, fresh=True)
    await transport.sending.wait()
    async with asyncio.timeout(DEADLINE):
        await post.probes.stop()
    await transport.stop()
