"""Probes: probes and credit between two nodes, and whatever else comes to their address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import envelope
from civitas._bus.batching import OutgoingBatches
from civitas._cluster.codec import encode
from civitas._cluster.probes import Probes
from civitas._cluster.protocol import Credit, DataMessage, Ping, Probe, ProbeAnswer, data_address
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import NotConnectedError
from civitas.transport import InProcessTransport

HERE = Origin(b"\x01" * 8, 1)
THERE = Origin(b"\x02" * 8, 1)
DEADLINE = 10.0


class End:
    """One end of the data messages, and what came to it."""

    def __init__(self, transport: InProcessTransport, origin: Origin = HERE) -> None:
        self.node = origin.node.hex()
        self.heard: list[tuple[str, DataMessage]] = []
        self.dropped: list[tuple[str, bytes]] = []
        self.failures: list[BaseException] = []
        self.strangers: set[str] = set()
        self.probes = Probes(
            transport,
            OutgoingBatches(transport, DEADLINE, print, self.failures.append),
            origin,
            self._hear,
            self._knows,
            lambda reason, frame: self.dropped.append((reason, frame)),
            self.failures.append,
        )

    def _hear(self, node: str, message: DataMessage) -> bool:
        self.heard.append((node, message))
        return True

    def _knows(self, node: str) -> bool:
        return node not in self.strangers

    def hear(self, name: object, fields: object) -> None:
        body = msgpack.packb([name, fields])
        self.probes.take(envelope.seal(body, "msgpack", THERE, kind=KIND_SYSTEM))


@asynccontextmanager
async def two() -> AsyncIterator[tuple[End, End]]:
    transport = InProcessTransport()
    await transport.start()
    here, there = End(transport), End(transport, THERE)
    for end in (here, there):
        await end.probes.start()
    try:
        yield here, there
    finally:
        for end in (here, there):
            await end.probes.stop()
        await transport.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)


async def test_a_probe_is_answered() -> None:
    async with two() as (here, there):
        here.probes.send(there.node, Probe(fresh=True))
        await until(lambda: here.heard)
        assert there.heard == [(here.node, Probe(fresh=True))]
        assert here.heard == [(there.node, ProbeAnswer())]


async def test_the_probe_of_a_node_that_is_not_known_is_not_answered_before_it_is() -> None:
    async with two() as (here, there):
        there.strangers.add(here.node)
        here.probes.send(there.node, Probe(fresh=True))
        await until(lambda: there.heard)
        there.strangers.clear()
        here.probes.send(there.node, Probe())
        await until(lambda: here.heard)
        assert there.heard == [(here.node, Probe(fresh=True)), (here.node, Probe())]
        assert here.heard == [(there.node, ProbeAnswer())]


async def test_credit_reaches_the_node_that_it_is_for() -> None:
    async with two() as (here, there):
        there.probes.send(here.node, Credit("agent", 64))
        await until(lambda: here.heard)
        assert here.heard == [(there.node, Credit("agent", 64))]
        assert not there.heard


async def test_what_was_said_before_the_end_is_sent() -> None:
    async with two() as (here, there):
        here.probes.send(there.node, Credit("agent", 64))
        await here.probes.stop()
        await until(lambda: there.heard)
        assert there.heard == [(here.node, Credit("agent", 64))]


async def test_a_transport_that_fails_once_does_not_end_the_sending() -> None:
    transport = InProcessTransport()
    await transport.start()
    failures: list[Exception] = [NotConnectedError("the link is down"), ValueError("a defect")]
    publish = transport.publish

    async def failing(address: str, data: bytes) -> None:
        if failures:
            raise failures.pop(0)
        await publish(address, data)

    transport.publish = failing  # type: ignore[method-assign]
    here = End(transport)
    await here.probes.start()
    for _ in range(3):
        here.probes.send(here.node, Probe())
    await until(lambda: here.heard)
    await here.probes.stop()
    await transport.stop()
    assert [message for _, message in here.heard] == [Probe(), ProbeAnswer()]


async def test_an_end_that_was_reached_before_and_one_without_a_beginning_do_nothing() -> None:
    transport = InProcessTransport()
    await transport.start()
    here = End(transport)
    await here.probes.stop()
    await here.probes.start()
    await here.probes.stop()
    await here.probes.stop()
    await transport.stop()


@given(st.binary(max_size=100))
def test_garbage_is_survived_and_counted(garbage: bytes) -> None:
    here = End(InProcessTransport())
    assert here.probes.take(garbage)
    assert here.probes.take(envelope.seal(garbage, "msgpack", THERE, kind=KIND_SYSTEM))
    assert here.dropped[0] == ("malformed system frame", garbage)
    assert not here.heard


VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)


@given(
    st.sampled_from(["Probe", "ProbeAnswer", "Credit", "Ping", "other", 3, None]),
    st.dictionaries(st.sampled_from(["fresh", "last", "agent", "number", "other"]), VALUES),
)
def test_values_that_do_not_fit_are_dropped(name: object, fields: dict[str, object]) -> None:
    here = End(InProcessTransport())
    here.hear(name, fields)
    assert len(here.heard) + len(here.dropped) == 1
    for _, message in here.heard:
        if isinstance(message, Credit):
            assert isinstance(message.agent, str)
            assert type(message.number) is int
        else:
            assert type(message.last) is bool


@pytest.mark.parametrize("frame", ["a message", "a control message"])
def test_what_is_no_data_message_is_dropped(frame: str) -> None:
    here = End(InProcessTransport())
    here.probes.take(
        envelope.seal(msgpack.packb(["ProbeAnswer", {}]), "msgpack", THERE)
        if frame == "a message"
        else encode(Ping(1, 1.0), THERE)
    )
    assert not here.heard
    assert len(here.dropped) == 1


async def test_the_last_number_is_reported_where_the_agent_is() -> None:
    transport = InProcessTransport()
    await transport.start()
    heard: list[bytes] = []

    async def agent(frame: bytes) -> None:
        heard.append(frame)

    await transport.subscribe("agent", agent)
    here = End(transport)
    await here.probes.start()
    here.probes.send_last_number("agent", 77)
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
    end = End(transport)
    await end.probes.start()
    end.probes.send(THERE.node.hex(), Probe())
    await transport.sending.wait()
    async with asyncio.timeout(DEADLINE):
        await end.probes.stop()
    await transport.stop()


class AtOnce(InProcessTransport):
    """Takes frames at once while it has `room`; notes what it was given, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.room = True
        self.given: list[bytes] = []
        self.may_go = asyncio.Event()
        self.may_go.set()

    def publish_nowait(self, address: str, data: bytes) -> bool:
        if self.room:
            self.given.append(data)
        return self.room

    async def publish(self, address: str, data: bytes) -> None:
        await self.may_go.wait()
        self.given.append(data)


async def test_what_the_transport_takes_at_once_is_sent_in_the_same_turn() -> None:
    transport = AtOnce()
    await transport.start()
    here = End(transport)
    here.probes.send(THERE.node.hex(), Credit("agent", 1))
    assert transport.given == []
    await here.probes.start()
    await until(lambda: transport.given)
    here.probes.send(THERE.node.hex(), Credit("agent", 2))
    assert transport.given == [encode(Credit("agent", each), HERE) for each in (1, 2)]
    await here.probes.stop()
    here.probes.send(THERE.node.hex(), Credit("agent", 3))
    assert len(transport.given) == 2
    await transport.stop()


async def test_nothing_overtakes_what_waits_for_the_transport() -> None:
    transport = AtOnce()
    await transport.start()
    here = End(transport)
    await here.probes.start()
    transport.room = False
    transport.may_go.clear()
    here.probes.send(THERE.node.hex(), Credit("agent", 1))
    transport.room = True
    here.probes.send(THERE.node.hex(), Credit("agent", 2))  # behind one that is queued
    for _ in range(3):
        await asyncio.sleep(0)
    here.probes.send(THERE.node.hex(), Credit("agent", 3))  # and behind one that is in hand
    assert transport.given == []
    transport.may_go.set()
    await until(lambda: len(transport.given) == 3)
    assert transport.given == [encode(Credit("agent", each), HERE) for each in (1, 2, 3)]
    await here.probes.stop()
    await transport.stop()


async def test_what_waits_for_room_when_it_is_stopped_is_still_sent() -> None:
    transport = AtOnce()
    await transport.start()
    here = End(transport)
    await here.probes.start()
    transport.room = False
    transport.may_go.clear()
    here.probes.send(THERE.node.hex(), Credit("agent", 1))
    for _ in range(3):
        await asyncio.sleep(0)  # it is in the hand of the task that sends
    stopping = asyncio.create_task(here.probes.stop())
    for _ in range(3):
        await asyncio.sleep(0)
    transport.may_go.set()
    await stopping
    assert transport.given == [encode(Credit("agent", 1), HERE)]
    await transport.stop()
