"""How the adapter subscribes: many at once, again after an outage, and what is forbidden."""

from __future__ import annotations

import asyncio

import pytest

from civitas.errors import AccessDeniedError, NotConnectedError
from civitas.transport.broker.subscriptions import BATCH
from support.memory_broker.broker import MemoryBroker
from support.memory_broker.node import MemoryNode
from support.nats.nodes import Agent, until
from support.virtual_time import now, on_virtual_time

MANY = 3_000
SLACK = 2.0
"""Seconds that 3,000 addresses may take longer than an outage."""


async def is_heard(sender: MemoryNode, agent: Agent, address: str, body: str) -> None:
    await asyncio.gather(*sender.publish(address, body))
    await until(lambda: body in agent.bodies)


@on_virtual_time
async def test_three_thousand_addresses_are_back_two_seconds_after_an_outage_at_the_latest() -> (
    None
):
    broker = MemoryBroker(round_trip=0.01)
    node = MemoryNode(broker, connect_timeout=0.5)
    agents = [Agent() for _ in range(MANY)]
    for number, agent in enumerate(agents):
        await node.transport.subscribe(f"agent.{number}", agent)
    async with node, MemoryNode(broker) as other:
        broker.asked.clear()
        broker.stop()
        await asyncio.sleep(30)
        broker.is_there = True
        begun = now()
        await node.is_up_again()
        assert now() - begun < SLACK
        assert len(broker.asked) <= MANY / BATCH + 4
        await other.is_up_again()
        for number in (0, MANY // 2, MANY - 1):
            await is_heard(other, agents[number], f"agent.{number}", "hello")


@on_virtual_time
async def test_subscribing_again_may_take_longer_than_connecting_may() -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.3)

    broker = MemoryBroker()
    node = MemoryNode(broker, connect_timeout=0.5)
    async with node:
        for number in range(MANY):
            await node.transport.subscribe(f"agent.{number}", Agent())
        await node.transport.wait_ready()
        broker.faults["subscribe"] = slowly
        broker.cut()
        await node.is_up_again()
        [(_, lost), (_, found)] = node.told
        assert found - lost > 6 * 0.3
        assert len(broker.attempts) == 2


@on_virtual_time
async def test_a_start_and_a_wait_go_on_while_the_broker_confirms_and_no_longer() -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.3 if len(broker.asked) != stuck else 1_000)

    broker, stuck = MemoryBroker(), 0
    broker.faults["subscribe"] = slowly
    node = MemoryNode(broker, connect_timeout=0.5)
    for number in range(MANY):
        await node.transport.subscribe(f"agent.{number}", Agent())
    async with node:
        assert now() > MANY / BATCH * 0.3
        for number in range(MANY):
            await node.transport.subscribe(f"late.{number}", Agent())
        begun = now()
        await node.transport.wait_ready()
        assert now() - begun > MANY / BATCH * 0.3
        stuck = len(broker.asked) + 1
        await node.transport.subscribe("a", Agent())
        begun = now()
        with pytest.raises(NotConnectedError, match=r"tried for 0\.5 s"):
            await node.transport.wait_ready()
        assert now() - begun < 0.6


@on_virtual_time
async def test_a_link_is_up_only_when_all_is_subscribed_and_a_probe_sent_after_it_is_back() -> None:
    held = asyncio.Event()

    async def hold() -> None:
        if len(broker.asked) > 1:
            await held.wait()

    broker = MemoryBroker()
    async with MemoryNode(broker) as node, MemoryNode(broker) as other:
        agent = await node.agent("a")
        broker.asked.clear()
        broker.faults["subscribe"] = hold
        node_wire = next(wire for wire in broker.wires if "a" in wire.addresses)
        node_wire.end()
        await asyncio.sleep(20)
        assert node.links == ["down"]
        held.set()
        begun = now()
        await node.is_up_again()
        assert now() - begun < 0.1
        await is_heard(other, agent, "a", "hello")
        assert other.told == []


@on_virtual_time
async def test_what_changes_during_an_outage_and_while_it_is_subscribed_again_is_so() -> None:
    held = asyncio.Event()

    async def hold() -> None:
        if len(broker.asked) > 1:
            await held.wait()

    broker = MemoryBroker()
    async with MemoryNode(broker) as node, MemoryNode(broker) as other:
        for name in ("kept", "left_meanwhile", "left_late", "again"):
            await node.agent(name)
        broker.stop()
        await until(lambda: node.links == ["down"])
        await node.transport.unsubscribe("left_meanwhile")
        come = Agent()
        await node.transport.subscribe("come_meanwhile", come)
        await until(lambda: other.links == ["down"])
        other_again = asyncio.ensure_future(other.is_up_again())
        broker.asked.clear()
        broker.faults["subscribe"] = hold
        broker.is_there = True
        await until(lambda: len(broker.asked) >= 3)  # the probes' addresses, and then what is held
        late, again = Agent(), Agent()
        await node.transport.unsubscribe("left_late")
        await node.transport.subscribe("come_late", late)
        await node.transport.unsubscribe("again")
        await node.transport.subscribe("again", again)
        held.set()
        await node.transport.wait_ready()
        await other_again
        await is_heard(other, come, "come_meanwhile", "1")
        await is_heard(other, late, "come_late", "2")
        await is_heard(other, again, "again", "3")
        [mine] = [wire for wire in broker.wires if "kept" in wire.addresses]
        named = {each for each in mine.addresses if not each.startswith("_")}
        assert named == {"kept", "come_meanwhile", "come_late", "again"}
        assert node.links == ["down", "up"]


@on_virtual_time
async def test_an_unsubscription_reaches_the_broker() -> None:
    broker = MemoryBroker()
    async with MemoryNode(broker) as node:
        await node.agent("a")
        await node.transport.unsubscribe("a")
        await node.transport.unsubscribe("a")
        await node.transport.wait_ready()
        assert broker.forgotten == ["a"]


@on_virtual_time
async def test_an_address_that_is_subscribed_while_its_last_handler_ends_is_heard() -> None:
    held, begun = asyncio.Event(), asyncio.Event()

    async def handle(_: bytes) -> None:
        begun.set()
        try:
            await held.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(1)  # it takes its time
            raise

    broker = MemoryBroker()
    async with MemoryNode(broker) as node, MemoryNode(broker) as other:
        await node.transport.subscribe("a", handle)
        await node.transport.wait_ready()
        await asyncio.gather(*other.publish("a", "x"))
        await begun.wait()
        leaving = asyncio.ensure_future(node.transport.unsubscribe("a"))
        await asyncio.sleep(0)
        agent = await node.agent("a")
        await leaving
        await node.transport.wait_ready()
        await is_heard(other, agent, "a", "hello")


# --- what is forbidden --------------------------------------------------------------------------


@on_virtual_time
async def test_an_address_that_is_forbidden_is_told_by_wait_ready_and_harms_no_other(
    caplog,
) -> None:
    broker = MemoryBroker()
    broker.forbidden = {"forbidden"}
    names = [f"a{number}" for number in range(400)]
    async with MemoryNode(broker) as node, MemoryNode(broker) as other:
        broker.asked.clear()
        agents = {name: Agent() for name in [*names, "forbidden"]}
        for name, agent in agents.items():
            await node.transport.subscribe(name, agent)
        with pytest.raises(AccessDeniedError, match="may not subscribe to 'forbidden'"):
            await node.transport.wait_ready()
        assert len(broker.asked) < 20
        for name in (names[0], names[-1]):
            await is_heard(other, agents[name], name, "hello")
        await node.transport.unsubscribe("forbidden")
        await node.transport.wait_ready()
        assert node.told == []
    assert caplog.text.count("no frames come for 'forbidden'") == 1


@on_virtual_time
async def test_an_address_that_is_forbidden_no_longer_is_asked_for_when_subscribed_again() -> None:
    broker = MemoryBroker()
    broker.forbidden = {"a"}
    async with MemoryNode(broker) as node:
        await node.transport.subscribe("a", Agent())
        with pytest.raises(AccessDeniedError):
            await node.transport.wait_ready()
        broker.forbidden = set()
        await node.transport.unsubscribe("a")
        await node.agent("a")


@on_virtual_time
async def test_a_process_that_may_not_even_probe_is_not_let_in() -> None:
    async def refuse() -> None:
        raise AccessDeniedError("you may subscribe to nothing")

    broker = MemoryBroker()
    broker.faults["subscribe"] = refuse
    with pytest.raises(AccessDeniedError, match="you may subscribe to nothing"):
        await MemoryNode(broker, connect_timeout=60).transport.start()
    assert now() < 0.1
