"""How the adapter connects: time limits, backoff, and who is not let in."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from civitas.errors import AccessDeniedError, ConfigurationError, NotConnectedError
from support.memory_broker.broker import MemoryBroker
from support.memory_broker.node import PLACE, MemoryNode, raised_by
from support.nats.nodes import until
from support.virtual_time import now, on_virtual_time


async def never() -> None:
    await asyncio.Event().wait()


@on_virtual_time
async def test_each_attempt_to_connect_has_a_limit_and_another_one_follows() -> None:
    broker = MemoryBroker()
    broker.faults["connect"] = never
    async with asyncio.TaskGroup() as group:
        node = MemoryNode(broker, connect_timeout=5)
        starting = group.create_task(raised_by(node.transport.start()))
    error = starting.result()
    assert isinstance(error, NotConnectedError)
    assert "5 s" in str(error)
    assert PLACE in str(error)
    assert now() < 5.1

    broker.faults.clear()
    async with node:
        broker.faults["connect"] = never
        broker.cut()
        lost = now()
        await until(lambda: len(broker.attempts) == 5)
        broker.faults.clear()
        await node.is_up_again()
    begun = [each for each in broker.attempts if each > lost]
    pauses = [b - a for a, b in pairwise(begun)]
    assert all(5 <= pause < 5 + 1.6 for pause in pauses), pauses


@on_virtual_time
async def test_the_pause_before_an_attempt_grows_differs_and_is_short_again() -> None:
    broker, lives = MemoryBroker(), []
    async with MemoryNode(broker) as node:
        for number in range(1, 4):
            broker.attempts.clear()
            broker.stop()
            lost = now()
            await until(lambda: len(broker.attempts) == 12)
            broker.is_there = True
            await node.is_up_again(number)
            begun = [lost, *broker.attempts]
            lives.append([b - a for a, b in pairwise(begun)])
    for pauses in lives:
        assert pauses[0] < 0.12
        assert max(pauses[:3]) < 0.42
        assert all(0.7 < pause < 1.55 for pause in pauses[4:]), pauses
    assert len({round(pause, 3) for pauses in lives for pause in pauses[4:11]}) > 10, lives


@on_virtual_time
async def test_a_start_waits_for_a_broker_that_comes_and_reports_no_link() -> None:
    broker = MemoryBroker()
    broker.is_there = False
    node = MemoryNode(broker, connect_timeout=60)
    starting = asyncio.ensure_future(node.transport.start())
    await until(lambda: len(broker.attempts) > 8)
    broker.is_there = True
    await starting
    assert node.told == []
    await node.transport.stop()


@on_virtual_time
async def test_a_login_that_is_refused_fails_a_start_at_once_with_the_words_of_the_broker() -> None:
    broker = MemoryBroker()
    broker.lets_in = False
    with pytest.raises(AccessDeniedError, match="wrong password"):
        await MemoryNode(broker, connect_timeout=60).transport.start()
    assert now() < 0.1
    assert broker.closed == len(broker.attempts) == 1


@on_virtual_time
async def test_a_login_that_is_refused_later_is_logged_once_and_tried_again(caplog) -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as node:
        broker.lets_in = False
        broker.cut()
        await until(lambda: len(broker.attempts) > 5)
        error = await raised_by(*node.publish("far", "x"))
        assert isinstance(error, NotConnectedError)
        assert "wrong password" in str(error)
        broker.lets_in = True
        await node.is_up_again()
    assert caplog.text.count("wrong password") == 1


@on_virtual_time
async def test_what_can_not_be_right_fails_a_start_at_once() -> None:
    async def refuse() -> None:
        raise ConfigurationError("tls.ca is no certificate")

    broker = MemoryBroker()
    broker.faults["connect"] = refuse
    with pytest.raises(ConfigurationError, match=r"tls\.ca is no certificate"):
        await MemoryNode(broker, connect_timeout=60).transport.start()
    assert now() < 0.1


@on_virtual_time
async def test_a_start_that_fails_leaves_nothing_and_another_one_works() -> None:
    broker = MemoryBroker()
    broker.is_there = False
    node = MemoryNode(broker, connect_timeout=2)
    with pytest.raises(NotConnectedError, match="connection refused"):
        await node.transport.start()
    assert len(asyncio.all_tasks()) == 1
    assert broker.closed == len(broker.attempts)
    broker.is_there = True
    async with node:
        await node.agent("a")


@on_virtual_time
async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    broker = MemoryBroker()
    broker.faults["connect"] = never
    starting = asyncio.ensure_future(MemoryNode(broker).transport.start())
    await asyncio.sleep(0.1)
    starting.cancel()
    await asyncio.wait((starting,))
    assert len(asyncio.all_tasks()) == 1
    assert broker.closed == 1


@on_virtual_time
async def test_a_stop_ends_a_start_that_is_under_way() -> None:
    broker = MemoryBroker()
    broker.faults["connect"] = never
    node = MemoryNode(broker)
    starting = asyncio.ensure_future(node.transport.start())
    await asyncio.sleep(0.1)
    await node.transport.stop()
    with pytest.raises(NotConnectedError, match="stopped"):
        await starting
    assert now() < 0.2
    assert len(asyncio.all_tasks()) == 1


@on_virtual_time
async def test_a_start_that_comes_through_while_it_is_stopped_has_failed() -> None:
    """The stop waits for a handler; meanwhile the broker answers."""
    broker = MemoryBroker()
    node = MemoryNode(broker)
    held = asyncio.Event()

    async def handle(_: bytes) -> None:
        await held.wait()

    await node.transport.subscribe("slow", handle)
    node.transport.dispatcher.deliver("slow", b"a frame")
    starting = asyncio.ensure_future(node.transport.start())
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(node.transport.stop())
    with pytest.raises(NotConnectedError, match="stopped"):
        await starting
    assert not stopping.done()
    held.set()
    await stopping
    assert broker.wires == []
    assert isinstance(await raised_by(node.transport.wait_ready()), NotConnectedError)


@on_virtual_time
async def test_it_may_be_stopped_twice_also_at_once_and_started_again() -> None:
    broker = MemoryBroker()
    node = MemoryNode(broker)
    await node.transport.stop()
    for _ in range(2):
        await node.transport.start()
        await node.agent("a")
        await asyncio.gather(node.transport.stop(), node.transport.stop())
        await node.transport.stop()
        assert broker.wires == []


@pytest.mark.parametrize("after", [0.1, 0.6], ids=["while a handler ends", "while it is closed"])
@on_virtual_time
async def test_a_start_during_a_stop_comes_after_it(after: float) -> None:
    async def slowly(*_: bytes) -> None:
        await asyncio.sleep(0.5)

    broker = MemoryBroker()
    broker.faults["close"] = slowly
    node = MemoryNode(broker)
    await node.transport.start()
    await node.transport.subscribe("slow", slowly)
    node.transport.dispatcher.deliver("slow", b"a frame")
    ending = asyncio.ensure_future(node.transport.stop())
    await asyncio.sleep(after)
    await node.transport.start()
    assert ending.done()
    await node.agent("a")
    assert len(broker.wires) == 1
    await node.transport.stop()


@on_virtual_time
async def test_a_stop_that_is_cancelled_closes_the_connection_all_the_same() -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.5)

    broker = MemoryBroker()
    broker.faults["close"] = slowly
    node = MemoryNode(broker)
    await node.transport.start()
    ending = asyncio.ensure_future(node.transport.stop())
    await until(lambda: broker.closed)
    ending.cancel()
    await asyncio.sleep(1)
    assert len(asyncio.all_tasks()) == 1


@on_virtual_time
async def test_who_waits_for_readiness_is_told_of_a_stop_at_once() -> None:
    broker = MemoryBroker()
    node = MemoryNode(broker, connect_timeout=60)
    async with node:
        broker.stop()
        await until(lambda: node.links == ["down"])
        waiting = asyncio.ensure_future(node.transport.wait_ready())
        await asyncio.sleep(0)
    begun = now()
    assert isinstance(await raised_by(waiting), NotConnectedError)
    assert now() - begun < 0.2
