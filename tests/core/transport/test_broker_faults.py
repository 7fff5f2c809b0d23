"""A broker that is silent, a loop that is blocked, and wires that raise anything or never end."""

from __future__ import annotations

import asyncio
import gc

import pytest

from civitas.errors import NotConnectedError, OutcomeUnknownError
from civitas.plugins import TransportContext
from civitas.transport import BrokerSettings, Dispatcher
from civitas.transport.broker.session import BrokerSession
from support.failing import PanicError
from support.memory_broker.broker import MemoryBroker
from support.memory_broker.node import PLACE, MemoryNode, outcomes
from support.nats.nodes import until
from support.virtual_time import block, now, on_virtual_time

DEFECTS = [
    OSError,
    ValueError,
    StopIteration,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    TimeoutError,
    PanicError,
]


# --- silence ------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_silent_broker_is_noticed_by_a_probe_alone_and_found_again() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker, probe_interval=1, probe_timeout=3) as node:
        await node.agent("a")
        broker.is_silent = True
        begun = now()
        await until(lambda: node.links == ["down"])
        assert 3 <= now() - begun < 4.1
        broker.is_silent = False
        await node.is_up_again()


@on_virtual_time
async def test_who_waits_for_a_silent_broker_is_told_in_time() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker, probe_interval=1, probe_timeout=3) as node:
        broker.is_silent = True
        begun = now()
        assert await outcomes(node.publish("far", "1")) == [OutcomeUnknownError]
        assert now() - begun < 4.1
        [late] = node.publish("far", "2")
        with pytest.raises(NotConnectedError, match=f"no answer from {PLACE} for 3 s"):
            await late
        broker.is_silent = False


@on_virtual_time
async def test_a_loop_that_was_blocked_is_not_taken_for_silence() -> None:
    broker = MemoryBroker(round_trip=0.1)
    async with MemoryNode(broker, probe_interval=0.5, probe_timeout=1) as node:
        for number in range(20):
            await asyncio.sleep(0.5 + 0.0371 * number)  # at any moment of a probe
            block(30)
        await node.transport.wait_ready()
        assert node.told == []


@on_virtual_time
async def test_much_that_waits_to_be_sent_does_not_hold_up_a_probe() -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.4)  # a probe waits for what is under way, and for its own batch

    broker = MemoryBroker()
    broker.faults["publish"] = slowly
    async with MemoryNode(broker, probe_interval=0.1, probe_timeout=1) as node:
        many = node.publish("far", *["." * 9_000] * 1_000)
        assert await outcomes(many) == [None] * 1_000
        assert len(broker.batches) > 8
        assert node.told == []


@on_virtual_time
async def test_each_loss_and_each_return_is_told_once_and_in_order() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as node:
        for number in range(1, 6):
            broker.stop()
            await until(lambda: len(node.told) % 2 == 1)
            await asyncio.sleep(10)
            broker.is_there = True
            await node.is_up_again(number)
            await asyncio.sleep(10)
    assert node.links == ["down", "up"] * 5


@on_virtual_time
async def test_a_connection_that_ends_right_behind_a_probe_is_not_back() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as node:
        broker.cuts_behind_probes = 5
        await until(lambda: broker.cuts_behind_probes == 0)
        await until(lambda: len(node.told) > 1)
        assert node.links == ["down", "up"]
        await node.transport.wait_ready()


@on_virtual_time
async def test_a_loss_is_told_before_the_wire_is_closed() -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.9)

    broker = MemoryBroker()
    broker.faults["close"] = slowly
    async with MemoryNode(broker, linger=1) as node:
        broker.cut()
        begun = now()
        await until(lambda: node.links == ["down"])
        assert now() - begun < 0.05
        await node.is_up_again()


# --- wires --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["connect", "subscribe", "unsubscribe", "publish", "receive"])
@pytest.mark.parametrize("defect", DEFECTS)
@on_virtual_time
async def test_whatever_a_wire_raises_ends_that_connection_alone(
    method: str, defect: type[BaseException], caplog
) -> None:
    async def fail() -> None:
        broker.faults.clear()
        raise defect("on purpose")

    broker = MemoryBroker()
    async with MemoryNode(broker) as node, MemoryNode(broker) as other:
        agent = await node.agent("a")
        await node.agent("b")
        broker.faults[method] = fail
        if method in ("connect", "receive", "subscribe"):
            next(wire for wire in broker.wires if "a" in wire.addresses).end()
        elif method == "unsubscribe":
            await node.transport.unsubscribe("b")
        else:
            assert await outcomes(node.publish("far", "x")) == [OutcomeUnknownError]
        await node.is_up_again()
        await asyncio.gather(*other.publish("a", "hello"))
        assert await agent.has(1) == ["hello"]
        assert node.failures == other.failures == []
    assert "no connection to memory://broker" in caplog.text
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize("defect", DEFECTS)
@on_virtual_time
async def test_whatever_a_wire_raises_when_it_is_closed_is_logged(
    defect: type[BaseException], caplog
) -> None:
    async def fail() -> None:
        raise defect("on purpose")

    broker = MemoryBroker()
    broker.faults["close"] = fail
    async with MemoryNode(broker) as node:
        broker.cut()
        await node.is_up_again()
    assert node.failures == []
    assert "did not close" in caplog.text


@pytest.mark.parametrize("defect", DEFECTS)
@on_virtual_time
async def test_whatever_is_raised_instead_of_a_wire_is_a_start_that_fails(
    defect: type[BaseException],
) -> None:
    broker = MemoryBroker()

    def make_wire() -> None:
        raise defect("on purpose")

    broker.make_wire = make_wire  # type: ignore[method-assign,assignment]
    node = MemoryNode(broker, connect_timeout=1)
    with pytest.raises(NotConnectedError, match="no connection to memory://broker"):
        await node.transport.start()
    assert node.failures == []


@on_virtual_time
async def test_a_wire_whose_close_hangs_is_left_after_linger() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    broker = MemoryBroker()
    broker.faults["close"] = hang
    node = MemoryNode(broker, linger=1)
    await node.transport.start()
    broker.cut()
    await node.is_up_again()
    [(_, lost), (_, found)] = node.told
    assert found - lost < 1.3
    begun = now()
    await node.transport.stop()
    assert now() - begun < 1.1
    assert len(asyncio.all_tasks()) == 1


# --- ends at any moment -------------------------------------------------------------------------


async def test_a_session_that_ends_in_any_turn_of_the_loop_leaves_nothing_unawaited() -> None:
    for turns in range(40):
        context = TransportContext()
        settings = BrokerSettings(place=PLACE)
        wire = MemoryBroker(round_trip=0).make_wire()
        session = BrokerSession(wire, settings, context, Dispatcher(context), lambda: None)
        running = asyncio.ensure_future(session.run(lambda: None))
        for _ in range(turns):
            await asyncio.sleep(0)
        await session.close()
        [ended] = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(ended, NotConnectedError)
    gc.collect()  # a coroutine that nobody has awaited warns when it goes, and that is an error
