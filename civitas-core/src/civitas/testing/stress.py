"""What holds for a few frames, in volume: run with `--conformance-stress`, and part of no level."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Final

from civitas import envelope
from civitas.envelope import Origin
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.testing.outages import Broker
from civitas.testing.recovery import greet, outage, reached_in_order, until_answered
from civitas.testing.suite import for_stress
from civitas.transport import Transport

_FRAMES: Final = 5000
_WINDOW: Final = 256
"""Frames that a node has on their way to one agent, as with the runtime."""

_NODES: Final = 4
_SUBSCRIBERS: Final = 50
_ROUNDS: Final = 20
_OF_EACH: Final = 5


class StressBehaviours(Behaviours):
    """5,000 frames, 50 subscribers, 20 rounds, several nodes at once."""

    @for_stress
    @behaviour
    async def test_stress_frames_of_several_nodes(self, network: Network) -> None:
        """Four nodes publish 5,000 frames to one agent, in windows of 256: all come, in order.

        If this fails: as for the same with few frames; look for what is bounded.
        """
        nodes, receiver = await _several(network)
        windows = [asyncio.Semaphore(_WINDOW) for _ in nodes]
        origins = network.origins(len(nodes))
        came: dict[bytes, list[bytes]] = {each.node: [] for each in origins}
        places = {each.node: number for number, each in enumerate(origins)}

        async def take(frame: bytes) -> None:
            opened = envelope.open(frame)
            came[opened.node].append(opened.body)
            windows[places[opened.node]].release()

        await network.within(receiver.subscribe("worker", take), "subscribe()")
        await network.ready()
        each = _FRAMES // len(nodes)
        bodies = [b"%d" % number for number in range(each)]
        sending = (
            _send_in_windows(network, node, origin, bodies, window)
            for node, origin, window in zip(nodes, origins, windows, strict=True)
        )
        await asyncio.gather(*sending)
        await network.until(
            lambda: all(len(mine) >= each for mine in came.values()),
            f"{_FRAMES} frames of {len(nodes)} nodes",
        )
        assert all(mine == bodies for mine in came.values()), "not all came once, in order"

    @for_stress
    @behaviour
    async def test_stress_many_subscribers(self, network: Network) -> None:
        """Fifty agents of two processes get each its own frames from several nodes, in 20 rounds.

        If this fails: as for two addresses; look for what is kept for each of them.
        """
        nodes, receiver = await _several(network)
        homes = [receiver, nodes[-1]]
        inboxes: list[Arrivals] = []
        for number in range(_SUBSCRIBERS):
            inboxes += await network.listen(homes[number % 2], f"agent-{number}")
        origins = network.origins(len(nodes))
        for turn in range(_ROUNDS):
            sending = (
                _send_to_all(network, node, origin, inboxes, turn)
                for node, origin in zip(nodes, origins, strict=True)
            )
            await asyncio.gather(*sending)
        count = _ROUNDS * _OF_EACH
        for inbox in inboxes:
            arrived = await inbox.first(count * len(nodes))
            for origin in origins:
                opened = [envelope.open(frame) for frame in arrived]
                mine = [each.body for each in opened if each.node == origin.node]
                expected = [
                    _body(inbox, turn, n) for turn in range(_ROUNDS) for n in range(_OF_EACH)
                ]
                assert mine == expected, f"not all came to {inbox.address!r}, once and in order"

    @for_stress
    @behaviour
    async def test_stress_requests_of_several_nodes(self, network: Network) -> None:
        """Several nodes ask one agent 5,000 times, 100 at once: each gets its own answers.

        If this fails: as for a few requests; look for what is left of each of them.
        """
        nodes, receiver = await _several(network)
        await network.serve(receiver, "oracle")
        asking = (
            _ask_in_rounds(network, node, origin, _FRAMES // len(nodes))
            for node, origin in zip(nodes, network.origins(len(nodes)), strict=True)
        )
        await asyncio.gather(*asking)

    @for_stress
    @behaviour
    async def test_stress_lives(self, network: Network) -> None:
        """In 20 rounds a process starts, is reached, asks and stops, beside one that stays.

        If this fails: something of a stopped transport stays, in this process or at the broker.
        """
        steady = await network.start()
        await network.serve(steady, "steady")
        for turn in range(_ROUNDS):
            passing = await network.start() if self.capabilities.cross_process else steady
            [inbox] = await network.listen(passing, f"passing-{turn}")
            frames = [network.frame(b"%d" % number) for number in range(_SUBSCRIBERS)]
            for frame in frames:
                await network.within(steady.publish(inbox.address, frame), "publish()")
            assert await inbox.first(len(frames)) == frames, "not all came once, in order"
            request = passing.request("steady", network.frame(b"?"), 30.0)
            await network.within(request, f"an answer in round {turn + 1}")
            if passing is not steady:
                await network.stop(passing)

    @for_stress
    @behaviour
    async def test_stress_outages(self, network: Network, broker: Broker) -> None:
        """In 20 rounds the broker is killed and started again; after each everything is reached.

        If this fails: as for two outages; look for what grows with each of them.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, *(f"agent-{n}" for n in range(_OF_EACH)))
        await network.serve(receiver, "oracle")
        await greet(network, sender, inboxes)
        for turn in range(_ROUNDS):
            with outage(network, broker.kill, broker.start):
                pass  # it may be over before anybody notices
            await reached_in_order(network, sender, inboxes)
            what = f"an answer after outage {turn + 1}"
            await network.within(until_answered(network, sender), what)


async def _several(network: Network) -> tuple[list[Transport], Transport]:
    """Return several nodes, and one that receives: processes, or one that does all."""
    first, receiver = await network.pair()
    if not network.capabilities.cross_process:
        return [first], receiver
    return [first, *[await network.start() for _ in range(_NODES - 1)]], receiver


async def _send_in_windows(
    network: Network,
    node: Transport,
    origin: Origin,
    bodies: list[bytes],
    window: asyncio.Semaphore,
) -> None:
    for body in bodies:
        await network.within(window.acquire(), "the receiver to take what is on its way")
        await network.within(
            node.publish("worker", network.frame(body, origin=origin)), "publish()"
        )


async def _send_to_all(
    network: Network, node: Transport, origin: Origin, inboxes: list[Arrivals], turn: int
) -> None:
    for number in range(_OF_EACH):
        for inbox in inboxes:
            frame = envelope.seal(_body(inbox, turn, number), "conformance", origin)
            what = f"publish() in round {turn + 1}"
            await network.within(node.publish(inbox.address, frame), what)


def _all_bodies(inbox: Arrivals) -> list[bytes]:
    return [_body(inbox, turn, n) for turn in range(_ROUNDS) for n in range(_OF_EACH)]


def _body(inbox: Arrivals, turn: int, number: int) -> bytes:
    return b"%s %d %d" % (inbox.address.encode(), turn, number)


async def _ask_in_rounds(network: Network, node: Transport, origin: Origin, count: int) -> None:
    left: Iterator[int] = iter(range(count))
    while bodies := [b"%d" % number for number in islice(left, 100)]:
        asking = asyncio.gather(
            *(node.request("oracle", network.frame(each, origin=origin), 30.0) for each in bodies)
        )
        answers = await network.within(asking, "100 answers")
        found = [envelope.open(answer).body for answer in answers]
        assert found == bodies, "answers were mixed up"
