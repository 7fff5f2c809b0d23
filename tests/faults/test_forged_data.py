"""One or two frames in a member's name, at an agent or at a node: all messages go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from civitas import envelope
from civitas._cluster.codec import encode
from civitas._cluster.protocol import Leaving, data_address
from civitas.envelope import KIND_SYSTEM
from faults.test_hostile_list import infos, origin_of
from support.agents import until
from support.keyed import KEY, Nodes, Stranger, nodes_on, wire_of

pytestmark = pytest.mark.slow

SENDS = 50


@pytest.fixture(params=[None, KEY], ids=["no key", "key"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Nodes]:
    with wire_of("zmq", tmp_path) as wire:
        async with nodes_on(wire.block) as made:
            for name in ("primary", "w1"):
                await made.start(name, cluster_key=request.param)
            await made.talk()
            yield made


@pytest.mark.parametrize("number", [200, 10**6])
async def test_marks_of_a_stranger_make_no_message_vanish(nodes: Nodes, number: int) -> None:
    primary = infos(nodes)[0]
    mark = envelope.header("msgpack", origin_of(primary), kind=KIND_SYSTEM, number=number)
    async with Stranger(nodes.wire) as stranger:
        await stranger.say("w1", mark, mark, mark)
        handled = nodes.agents["w1"].handled
        before = handled.total()
        # It comes behind the marks, by the same address.
        await stranger.say("w1", b"no frame")
        await until(lambda: nodes.all["w1"].stats().dropped)
        for sent in range(SENDS):
            await nodes.all["primary"].send("w1", {"n": sent})
        await until(lambda: handled.total() == before + SENDS)
    assert nodes.all["w1"].stats().lost == {}


async def test_who_is_said_to_leave_by_another_is_reached_again(nodes: Nodes) -> None:
    primary, worker = infos(nodes)
    async with Stranger(nodes.wire) as stranger:
        await stranger.say(data_address(primary.node), encode(Leaving(""), origin_of(worker)))
        await stranger.say(data_address(primary.node), encode(Leaving("w1"), origin_of(worker)))
        await stranger.say(data_address(primary.node), b"no frame")
        await until(lambda: nodes.all["primary"].stats().dropped)
        await nodes.talk()
