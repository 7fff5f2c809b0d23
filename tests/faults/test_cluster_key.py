"""A system whose nodes share a key, on each broker: who has none moves nobody."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from civitas import envelope
from civitas._cluster.codec import CONTROL, DATA, encode
from civitas._cluster.protocol import (
    EVERYONE,
    NodeInfo,
    control_address,
    data_address,
)
from civitas._signing.settings import FORMER_NODE, NOT_AUTHENTICATED, REPLAYED
from civitas.client import Client
from civitas.envelope import Origin
from civitas.errors import CivitasError, NotConnectedError
from support.agents import until
from support.forged import every
from support.keyed import KEY, WIRES, Nodes, Stranger, Wire, nodes_on, wire_of

pytestmark = pytest.mark.slow

NEW = "the-next-key-of-this-system"

DURABLE = ("jetstream",)
"""Wires that give an agent's messages again by themselves."""


@pytest.fixture(params=WIRES)
def running_wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wire]:
    with wire_of(request.param, tmp_path) as running:
        yield running


@pytest.fixture
def wire(running_wire: Wire) -> dict[str, Any]:
    return running_wire.block


@pytest.fixture
async def nodes(wire: dict[str, Any]) -> AsyncIterator[Nodes]:
    async with nodes_on(wire) as made:
        yield made


async def three(nodes: Nodes, signed: str) -> None:
    for name in ("primary", "w1", "w2"):
        await nodes.start(name, cluster_key=KEY, signed_frames=signed)


@pytest.mark.parametrize("signed", ["control", "all"])
async def test_agents_of_nodes_with_one_key_ask_each_other(nodes: Nodes, signed: str) -> None:
    await three(nodes, signed)
    await nodes.talk()
    assert nodes.refused == {}


@pytest.mark.parametrize("signed", ["control", "all"])
async def test_whatever_a_stranger_says_without_the_key_has_no_effect(
    nodes: Nodes, wire: dict[str, Any], signed: str
) -> None:
    await three(nodes, signed)
    await nodes.talk()
    infos = [
        NodeInfo(node.components.origin.node.hex(), node.components.origin.generation, name, role)
        for name, node in nodes.all.items()
        for role in ["primary" if name == "primary" else "worker"]
    ]
    ghosts = [NodeInfo("ab" * 8, generation, "ghost", "primary") for generation in (0, 2**31)]
    sent = 0
    async with Stranger(wire) as stranger:
        for info, about in itertools.product([*infos, *ghosts], infos):
            origin = Origin(bytes.fromhex(info.node), info.generation)
            frames = [encode(each, origin) for each in every(CONTROL, info, about)]
            for address in (EVERYONE, control_address(about.node)):
                await stranger.say(address, *frames)
            data = [encode(each, origin) for each in every(DATA, info, about)]
            await stranger.say(data_address(about.node), *data)
            sent += 4 * len(frames) + len(data)  # three nodes hear what is said to everyone
        await until(lambda: nodes.dropped(NOT_AUTHENTICATED) >= sent)
    await nodes.talk()
    assert nodes.refused == {NOT_AUTHENTICATED: sent}
    assert all(node.failure is None for node in nodes.all.values())
    assert all(node.stats().restarts == 0 for node in nodes.all.values())


@pytest.mark.parametrize("signed", ["control", "all"])
async def test_control_frames_that_were_recorded_have_no_effect(
    nodes: Nodes, wire: dict[str, Any], signed: str
) -> None:
    primary = await nodes.start("primary", cluster_key=KEY, signed_frames=signed)
    mine = primary.components.origin.node.hex()
    own = (control_address(mine), data_address(mine))
    async with Stranger(wire) as stranger:
        await stranger.listen(EVERYONE, *own)
        await nodes.start("w1", cluster_key=KEY, signed_frames=signed)
        await nodes.start("w2", cluster_key=KEY, signed_frames=signed)
        await nodes.talk()
        await nodes.stop("w2")  # it says goodbye: whoever hears that again is not to believe it
        for address in own:
            await stranger.heard_at(address, 2)
        recorded, before = list(stranger.heard), nodes.dropped(REPLAYED)
        for address, frame in recorded:
            await stranger.say(address, frame)
        to_primary = sum(1 for address, _ in recorded if address != EVERYONE)
        await until(lambda: nodes.dropped(REPLAYED) >= before + to_primary)
    await nodes.talk()
    assert nodes.dropped(NOT_AUTHENTICATED) == 0
    assert all(node.failure is None for node in nodes.all.values())


@pytest.mark.parametrize(
    "running_wire", [each for each in WIRES if each not in DURABLE], indirect=True
)
async def test_an_agents_messages_that_were_recorded_are_not_handled_again(
    nodes: Nodes, wire: dict[str, Any]
) -> None:
    await three(nodes, "all")
    async with Stranger(wire) as stranger:
        await stranger.listen("w1")
        for number in range(5):
            await nodes.all["primary"].ask("w1", {"n": number}, timeout=10.0)
        messages = await stranger.heard_at("w1", 5)
        await stranger.say("w1", *messages)
        await until(lambda: nodes.dropped(REPLAYED) == len(messages))
        # Nor does the node that has the agent next.
        await nodes.stop("w1")
        await nodes.start("w1", cluster_key=KEY, signed_frames="all")
        await nodes.talk()
        before = nodes.dropped(FORMER_NODE)
        await stranger.say("w1", *messages)
        await until(lambda: nodes.dropped(FORMER_NODE) == before + len(messages))
        # Without the key nobody can make a message.
        plain = [envelope.unsigned(each) for each in messages]
        await stranger.say("w1", *plain)
        await until(lambda: nodes.dropped(NOT_AUTHENTICATED) == len(plain))
    assert set(nodes.agents["w1"].handled) == {"talk"}


async def test_what_is_said_while_a_connection_is_lost_and_found_is_believed(
    nodes: Nodes, running_wire: Wire
) -> None:
    await three(nodes, "all")
    await nodes.talk()
    gone = asyncio.Event()

    async def chat(name: str) -> None:
        for number in itertools.count():
            with suppress(CivitasError, TimeoutError):
                await nodes.all[name].ask("w2", {"n": number}, timeout=0.5)
                if gone.is_set():
                    return
            await asyncio.sleep(0)  # an error may come without a pause

    async with asyncio.timeout(60.0), asyncio.TaskGroup() as group:
        for name in ("primary", "w1"):
            group.create_task(chat(name))
        for _ in range(2):
            await asyncio.to_thread(running_wire.broker.kill)
            await asyncio.to_thread(running_wire.broker.start)
            await nodes.talk()
        gone.set()
    await nodes.talk()
    assert nodes.refused == {}


async def test_a_key_is_changed_while_the_system_runs(nodes: Nodes) -> None:
    await three(nodes, "all")
    await nodes.talk()
    for keys in ([KEY, NEW], [NEW, KEY], [NEW]):
        for name in ("w1", "w2", "primary"):
            await nodes.stop(name)
            await nodes.start(name, cluster_key=keys, signed_frames="all")
            await nodes.talk()
    assert nodes.dropped(NOT_AUTHENTICATED) == nodes.dropped(REPLAYED) == 0


@pytest.mark.parametrize("theirs", [None, NEW])
async def test_a_node_without_the_key_says_so_within_the_time_of_its_join(
    nodes: Nodes, theirs: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    await nodes.start("primary", cluster_key=KEY)
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(20.0):
            await nodes.start("w1", cluster_key=theirs)
    text = caplog.text
    assert "signed with another cluster_key" in text if theirs else "has no cluster_key" in text
    assert "no primary was found" in text
    assert KEY not in text
    assert NEW not in text


@pytest.mark.parametrize("theirs", [None, NEW])
async def test_a_client_without_the_key_hears_why_it_finds_no_system(
    nodes: Nodes, wire: dict[str, Any], theirs: str | None
) -> None:
    await nodes.start("primary", cluster_key=KEY)
    says = "not authenticated" if theirs else "has no cluster_key"
    with pytest.raises(NotConnectedError, match=f"can't believe: .*{says}"):
        await Client(wire, cluster_key=theirs).start()
