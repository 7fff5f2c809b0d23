"""What becomes of frames on their way to a broker: their order, and what their senders are told."""

from __future__ import annotations

import asyncio

import pytest

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import (
    AccessDeniedError,
    MessageRoutingError,
    MessageTooLargeError,
    NotConnectedError,
    OutcomeUnknownError,
)
from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX
from support.memory_broker.broker import MemoryBroker
from support.memory_broker.node import LARGEST, MemoryNode, outcomes, raised_by
from support.nats.nodes import body_of, frame_of, until
from support.virtual_time import now, on_virtual_time

ORIGIN = Origin(b"8 bytes!", 1)


@on_virtual_time
async def test_publishes_and_requests_that_are_in_flight_together_keep_their_order() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as sender, MemoryNode(broker) as receiver:
        agent = await receiver.agent("a")
        work: list[asyncio.Future[object]] = []
        for number in range(300):
            frame = frame_of(str(number))
            way = sender.transport
            one = way.request("a", frame, 1) if number % 3 else way.publish("a", frame)
            work.append(asyncio.ensure_future(one))
        await agent.has(300)
        assert agent.bodies == [str(number) for number in range(300)]
        await asyncio.gather(*work, return_exceptions=True)


@on_virtual_time
async def test_many_senders_share_round_trips() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as node:
        begun = now()
        await asyncio.gather(*node.publish("far", *map(str, range(1_000))))
        assert now() - begun < 0.05


@on_virtual_time
async def test_a_request_is_answered_across_and_within_a_process() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as one, MemoryNode(broker) as other:

        async def answer(frame: bytes) -> None:
            address = envelope.open(frame).reply_to
            reply = envelope.seal(b"yes", "msgpack", ORIGIN, kind=envelope.KIND_REPLY)
            published_at = address.rpartition(".")[0]
            await other.transport.publish(published_at, envelope.with_reply_to(reply, address))

        await other.transport.subscribe("a", answer)
        await other.transport.wait_ready()
        for node in (one, other):
            reply = await node.transport.request("a", frame_of(), 5)
            assert body_of(reply) == "yes"


@on_virtual_time
async def test_what_is_for_an_agent_of_the_process_does_not_wait_for_a_broker() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as node:
        agent = await node.agent("a")
        broker.stop()
        await until(lambda: node.links == ["down"])
        await asyncio.gather(*node.publish("a", "hello"))
        assert agent.bodies == ["hello"]
        assert broker.batches == []


@on_virtual_time
async def test_what_is_too_large_is_refused_before_it_is_sent() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as node:
        with pytest.raises(MessageTooLargeError):
            await node.transport.publish("far", bytes(LARGEST + 1))
        assert broker.batches == []


# --- not sent, or unknown -----------------------------------------------------------------------


@on_virtual_time
async def test_what_is_published_without_a_connection_was_not_sent() -> None:
    broker = MemoryBroker()
    node = MemoryNode(broker)
    assert await outcomes(node.publish("far", "x")) == [NotConnectedError]
    async with node:
        broker.stop()
        await until(lambda: node.links == ["down"])
        begun = now()
        assert await outcomes(node.publish("far", "x")) == [NotConnectedError]
        assert now() == begun
    assert await outcomes(node.publish("far", "x")) == [NotConnectedError]
    assert broker.batches == []


@on_virtual_time
async def test_when_a_connection_ends_what_was_handed_over_is_unknown_and_what_waits_not_sent() -> (
    None
):
    broker = MemoryBroker()
    async with MemoryNode(broker) as node:
        under_way = node.publish("far", "1", "2")
        await asyncio.sleep(0.001)
        waiting = node.publish("far", "3", "4")
        await asyncio.sleep(0.001)
        broker.cut()
        assert await outcomes(under_way) == [OutcomeUnknownError] * 2
        assert await outcomes(waiting) == [NotConnectedError] * 2
        await node.is_up_again()
        sent = [body_of(frame) for batch in broker.batches for frame in batch]
        assert sent == ["1", "2"]


@on_virtual_time
async def test_what_a_wire_says_it_has_not_sent_was_not_sent() -> None:
    async def refuse() -> None:
        raise NotConnectedError("the socket is closed")

    broker = MemoryBroker()
    broker.faults["publish"] = refuse
    async with MemoryNode(broker) as node:
        assert await outcomes(node.publish("far", "1", "2")) == [NotConnectedError] * 2
        await node.is_up_again()


@on_virtual_time
async def test_a_stop_lets_go_what_waits_and_tells_who_waits_longer() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker, linger=0.5) as node, MemoryNode(broker) as receiver:
        agent = await receiver.agent("a")
        sent = node.publish("a", "1", "2")
        await asyncio.sleep(0)
        await node.transport.stop()
        assert await outcomes(sent) == [None, None]
        assert await agent.has(2) == ["1", "2"]
        await node.transport.start()
        broker.is_silent = True
        sent = node.publish("a", "3")
        await asyncio.sleep(0)
        begun = now()
        await node.transport.stop()
        assert now() - begun < 2
        assert await outcomes(sent) == [OutcomeUnknownError]
        broker.is_silent = False


# --- cancelled ----------------------------------------------------------------------------------


@on_virtual_time
async def test_a_publish_that_is_cancelled_as_it_waits_is_sent_in_its_turn_all_the_same() -> None:
    """It has a number by then, and one that never comes would be counted as lost."""
    broker = MemoryBroker()
    async with MemoryNode(broker) as node:
        first = node.publish("far", "0")
        await asyncio.sleep(0.001)
        many = [
            asyncio.ensure_future(raised_by(node.transport.publish("far", frame_of(str(number)))))
            for number in range(1, 100)
        ]
        await asyncio.sleep(0.001)
        for each in many[::2]:
            each.cancel()
        told = await asyncio.gather(*first, *many)
        cancelled = [each for each in told if each is not None]
        assert [type(each) for each in cancelled] == [asyncio.CancelledError] * 50
        assert all(isinstance(each.__cause__, OutcomeUnknownError) for each in cancelled)
        sent = [body_of(frame) for batch in broker.batches for frame in batch]
        assert sent == [str(number) for number in range(100)]
        assert node.told == []


@on_virtual_time
async def test_a_publish_that_is_cancelled_as_it_is_under_way_says_so_and_wedges_nothing() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as node, MemoryNode(broker) as receiver:
        agent = await receiver.agent("a")
        task = asyncio.ensure_future(raised_by(node.transport.publish("a", frame_of("1"))))
        await asyncio.sleep(0.001)
        task.cancel()
        error = await task
        assert isinstance(error, asyncio.CancelledError)
        assert isinstance(error.__cause__, OutcomeUnknownError)
        await asyncio.gather(*node.publish("a", "2"))
        assert await agent.has(2) == ["1", "2"]
        await node.transport.wait_ready()
        assert node.told == []


# --- refused ------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_publish_that_is_forbidden_is_an_error_of_its_own_and_the_connection_stays() -> (
    None
):
    broker = MemoryBroker()
    broker.forbidden = {"forbidden"}
    async with MemoryNode(broker) as node:
        work = [
            *node.publish("far", "1"),
            *node.publish("forbidden", "2"),
            *node.publish("far", "3"),
        ]
        assert await outcomes(work) == [None, AccessDeniedError, None]
        await node.transport.wait_ready()
        assert node.told == []


@on_virtual_time
async def test_a_broker_that_knows_of_no_subscriber_is_heard_where_it_matters() -> None:
    broker = MemoryBroker()
    broker.knows_subscribers = True
    async with MemoryNode(broker) as node:
        work = node.publish("far", "1")
        assert await outcomes(work) == [MessageRoutingError]
        assert await outcomes(node.publish(f"{RESERVED_PREFIX}news", "2")) == [None]
        assert await outcomes(node.publish(f"{REPLY_PREFIX}gone", "3")) == [None]
        assert node.drops == ["reply without a request"]
