"""Each attack on a system of three nodes, on every wire, with and without a key: it goes on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgpack
import pytest

from civitas import Message, envelope
from civitas._cluster.codec import CONTROL, DATA, encode
from civitas._cluster.protocol import (
    EVERYONE,
    Command,
    Crashed,
    Fenced,
    Hello,
    Left,
    NodeInfo,
    Refused,
    control_address,
    data_address,
)
from civitas.envelope import KIND_MESSAGE, KIND_REPLY, KIND_SYSTEM, Origin
from civitas.serializer import MsgpackSerializer
from civitas.testing.collisions import colliding_keys
from support.forged import every
from support.keyed import KEY, WIRES, Nodes, Stranger, nodes_on, wire_of

pytestmark = pytest.mark.slow

ROLES: Final = {"primary": "primary", "w1": "worker", "w2": "worker"}
LARGE: Final = 900_000
"""Bytes of the largest frames: what every broker carries."""

Attack = Callable[[Stranger, Nodes], Awaitable[None]]


def ghost(role: str = "worker", *, generation: int = 0, name: str = "ghost") -> NodeInfo:
    agents = {name: ("RUNNING", 0)}
    return NodeInfo(os.urandom(8).hex(), generation, name, role, agents, settled=True)


def origin_of(info: NodeInfo) -> Origin:
    return Origin(bytes.fromhex(info.node), info.generation)


def infos(nodes: Nodes) -> list[NodeInfo]:
    """What is known of the nodes by who listens."""
    origins = {name: node.components.origin for name, node in nodes.all.items()}
    return [
        NodeInfo(
            each.node.hex(), each.generation, name, "primary" if name == "primary" else "worker"
        )
        for name, each in origins.items()
    ]


# --- the attacks ----------------------------------------------------------------------------------


async def older_nodes_refuse(stranger: Stranger, nodes: Nodes) -> None:
    """Nodes of generation 0, which are not there, claim every name and refuse its holder."""
    for about in infos(nodes):
        claimed = ghost(about.role, name=about.process)
        for message in (Refused(claimed, "I am older"), Hello(claimed, 0.0)):
            await stranger.say(control_address(about.node), encode(message, origin_of(claimed)))
        await stranger.say(EVERYONE, encode(Hello(claimed, 0.0), origin_of(claimed)))


async def ends_are_declared(stranger: Stranger, nodes: Nodes) -> None:
    """A second primary says hello, fences all, says that all have left, and commands."""
    for role in ("primary", "worker"):
        false = ghost(role, name="another")
        for about in infos(nodes):
            for message in (
                Hello(false, 0.0),
                Fenced("superseded"),
                Left(about.node, about.generation, "dead", fenced=True),
                Crashed(about.process, 2**31, "Error", "forged"),
                Command(1, "stop", about.process, 2**31),
            ):
                frame = encode(message, origin_of(false))
                await stranger.say(control_address(about.node), frame)
                await stranger.say(EVERYONE, frame)


async def everything_is_said_by_strangers(stranger: Stranger, nodes: Nodes) -> None:
    """Each control and data message, about each node, by a node that is not there."""
    for about in infos(nodes):
        false = ghost()
        for address, kinds in (
            (control_address(about.node), CONTROL),
            (EVERYONE, CONTROL),
            (data_address(about.node), DATA),
            (about.process, DATA),
        ):
            for message in every(kinds, false, about):
                await stranger.say(address, encode(message, origin_of(false)))


async def answers_are_asked_for_at_agents(stranger: Stranger, nodes: Nodes) -> None:
    """Questions whose answers would go to agents, and to system addresses."""
    for here, there in (("w1", "w2"), ("w2", "w1"), ("primary", "primary")):
        message = Message(sender="w9", recipient=here, payload={"n": "forged"}, reply_to=there)
        body = MsgpackSerializer().serialize(message)
        sealed = envelope.seal(body, "msgpack", origin_of(ghost()), kind=KIND_MESSAGE)
        for where in (there, EVERYONE, "_reply", "_reply.x"):
            await stranger.say(here, envelope.with_reply_to(sealed, where))


async def answers_are_forged(stranger: Stranger, nodes: Nodes) -> None:
    """Answers to the first requests of each node, as one would number them."""
    body = MsgpackSerializer().serialize(
        Message(type="reply", sender="w1", payload={"by": "forged"})
    )
    for about in infos(nodes):
        for number in range(200):
            sealed = envelope.seal(body, "msgpack", origin_of(ghost()), kind=KIND_REPLY)
            where = f"_reply.{about.node}"
            await stranger.say(where, envelope.with_reply_to(sealed, f"{where}.{number}"))


@cache
def colliding_map() -> bytes:
    keys = colliding_keys(15)
    return b"\xdf" + len(keys).to_bytes(4, "big") + b"".join(msgpack.packb(k) + b"\0" for k in keys)


async def keys_collide(stranger: Stranger, nodes: Nodes) -> None:
    """Maps whose keys have one hash, to agents and to system addresses."""
    for about in infos(nodes):
        for address, kind in (
            (about.process, KIND_MESSAGE),
            (control_address(about.node), KIND_SYSTEM),
            (data_address(about.node), KIND_SYSTEM),
        ):
            frame = envelope.seal(colliding_map(), "msgpack", origin_of(ghost()), kind=kind)
            await stranger.say(address, frame)


async def small_values_are_many(stranger: Stranger, nodes: Nodes) -> None:
    """As many empty maps as a frame has bytes."""
    maps = b"\xdd" + LARGE.to_bytes(4, "big") + b"\x80" * LARGE
    for about in infos(nodes):
        for address in (control_address(about.node), data_address(about.node), EVERYONE):
            for name in ("Hello", "Counters"):
                body = b"\x92" + msgpack.packb(name) + b"\x81" + msgpack.packb("info") + maps
                frame = envelope.seal(body, "msgpack", origin_of(ghost()), kind=KIND_SYSTEM)
                await stranger.say(address, frame)


async def thousands_say_hello(stranger: Stranger, nodes: Nodes) -> None:
    """Nodes that are not there say hello, each once."""
    hellos = []
    for number in range(3_000):
        false = ghost(("worker", "client", "primary")[number % 3], name=f"ghost-{number}")
        hellos.append((EVERYONE, encode(Hello(false, 0.0), origin_of(false))))
    await say_all(stranger, hellos)


async def all_is_said_again(stranger: Stranger, nodes: Nodes) -> None:
    """Whatever was said on the wire so far, by anybody."""
    await say_all(stranger, stranger.heard[:2_000])


async def say_all(stranger: Stranger, frames: list[tuple[str, bytes]]) -> None:
    """Say many things, a hundred at the same time."""
    for begin in range(0, len(frames), 100):
        await asyncio.gather(*(stranger.say(*each) for each in frames[begin : begin + 100]))


ATTACKS: Final[list[Attack]] = [
    older_nodes_refuse,
    ends_are_declared,
    everything_is_said_by_strangers,
    answers_are_asked_for_at_agents,
    answers_are_forged,
    keys_collide,
    small_values_are_many,
    thousands_say_hello,
    all_is_said_again,
]


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    with wire_of(request.param, tmp_path) as wire:
        yield wire.block


@pytest.fixture(params=["no key", "control", "all"])
async def nodes(request: pytest.FixtureRequest, wire: dict[str, Any]) -> AsyncIterator[Nodes]:
    """Three nodes that have found each other."""
    assert len(colliding_map()) < LARGE
    keyed = {"cluster_key": KEY, "signed_frames": request.param}
    async with nodes_on(wire) as made:
        for name in ROLES:
            await made.start(name, **({} if request.param == "no key" else keyed))
        await made.talk()
        yield made


async def test_a_system_goes_on_answering_through_every_attack(
    nodes: Nodes, wire: dict[str, Any]
) -> None:
    async with Stranger(wire) as stranger:
        await stranger.listen(
            EVERYONE,
            *[control_address(each.node) for each in infos(nodes)],
            *[data_address(each.node) for each in infos(nodes)],
        )
        for attack in ATTACKS:
            attacking = asyncio.ensure_future(attack(stranger, nodes))
            while not attacking.done():
                await nodes.talk()
            await attacking
            await nodes.talk()
            harm = {name: node.failure for name, node in nodes.all.items() if node.failure}
            assert not harm, attack.__name__
            assert not any(node.stats().restarts for node in nodes.all.values()), attack.__name__
    answered = [agent.handled[None] for agent in nodes.agents.values()]
    assert not any(answered), "an answer came to an agent as a message"
    processes = {"supervisor", "w1", "w2"}
    for node in nodes.all.values():
        stats = node.stats()
        assert processes - {stats.process} <= {peer.process for peer in stats.peers}
