"""The network: what arrives, in which order, and what does not."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from civitas import AgentProcess, ComponentSet, Message, Runtime, Supervisor, Worker
from civitas.components import build_component_set
from civitas.envelope import BATCH
from civitas.plugins import TransportContext
from civitas.testing.simulation.network import Conditions, SimulatedNetwork
from civitas.testing.simulation.plugin import network_of
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.transport import SimulatedTransport
from civitas.testing.simulation.world import World, installed


class Listener:
    """A transport reduced to what a network needs of it."""

    def __init__(
        self, network: SimulatedNetwork, process: SimulatedProcess, *, control: bool
    ) -> None:
        self.name = f"{process.label}{control}"
        self.process = process
        self.control = control
        self.frames: list[tuple[str, bytes]] = []
        self.links: list[str] = []
        network.endpoints.append(self)

    def listens(self, address: str) -> bool:
        return True

    def receive(self, address: str, frame: bytes) -> None:
        self.frames.append((address, frame))

    def link_changed(self, reason: str) -> None:
        self.links.append(reason)


class Pair:
    """Two processes on a network; `send` publishes a numbered frame from one."""

    def __init__(self, world: World, conditions: Conditions, *, control: bool = False) -> None:
        self.network = SimulatedNetwork(world, conditions)
        self.one = Listener(self.network, world.process("one"), control=control)
        self.two = Listener(self.network, world.process("two"), control=control)

    def send(self, number: int, address: str = "a") -> None:
        self.network.publish(self.one, address, b"%d" % number)

    @property
    def arrived(self) -> list[int]:
        return [int(frame) for _, frame in self.two.frames]


def play(conditions: Conditions, scenario: Callable[[Pair], Any], *, control: bool = False) -> Pair:
    world = World(1)
    pair = Pair(world, conditions, control=control)

    async def live() -> None:
        waited = scenario(pair)
        if waited is not None:
            await waited
        await asyncio.sleep(10.0)

    with installed(world):
        world.run(live())
    return pair


def send(count: int) -> Callable[[Pair], None]:
    def scenario(pair: Pair) -> None:
        for number in range(count):
            pair.send(number, f"to {number % 3}")

    return scenario


ROUGH = Conditions(delay=(0.0, 1.0), spike=0.2, longest_spike=2.0)


def test_frames_arrive_late_and_in_order() -> None:
    pair = play(ROUGH, send(100))
    assert pair.arrived == list(range(100))
    assert [int(frame) for _, frame in pair.one.frames] == list(range(100)), "also at the sender"


def test_frames_for_different_addresses_overtake_each_other_where_that_is_allowed() -> None:
    conditions = Conditions(delay=(0.0, 1.0), reordering=True)
    pair = play(conditions, send(100))
    assert pair.arrived != sorted(pair.arrived)
    for rest in range(3):
        same = [number for number in pair.arrived if number % 3 == rest]
        assert same == sorted(same)


def test_frames_are_lost_as_often_as_it_says() -> None:
    pair = play(Conditions(loss=0.3), send(1000))
    assert 600 < len(pair.arrived) < 800
    assert pair.network.lost == 1000 - len(pair.arrived)


def test_only_what_a_control_plane_says_arrives_twice() -> None:
    assert len(play(Conditions(repetition=0.5), send(100)).arrived) == 100
    twice = play(Conditions(repetition=0.5), send(100), control=True).arrived
    assert 120 < len(twice) < 180
    assert set(twice) == set(range(100))


@pytest.mark.parametrize("on_the_way", [False, True])
def test_a_partition_lets_nothing_through_not_even_what_is_on_the_way(on_the_way: bool) -> None:
    async def scenario(pair: Pair) -> None:
        if on_the_way:
            pair.send(1)
        cut = pair.network.part({"one"}, {"two"})
        if not on_the_way:
            pair.send(1)
        await asyncio.sleep(5.0)
        pair.network.heal(cut)
        pair.send(2)

    assert play(Conditions(delay=(1.0, 2.0)), scenario).arrived == [2]


def test_who_loses_its_link_hears_of_it_and_of_its_return() -> None:
    async def scenario(pair: Pair) -> None:
        pair.network.link_down(pair.two.process, "cut")
        pair.send(1)
        await asyncio.sleep(1.0)
        pair.network.link_up(pair.two.process)
        pair.send(2)

    pair = play(Conditions(), scenario)
    assert pair.two.links == ["cut", ""]
    assert pair.one.links == []
    assert pair.arrived == [2]


def test_all_hear_that_the_server_has_gone_and_when_it_is_back() -> None:
    async def scenario(pair: Pair) -> None:
        pair.network.server_down("killed")
        pair.send(1)
        await asyncio.sleep(1.0)
        pair.network.server_up()
        pair.send(2)

    pair = play(Conditions(), scenario)
    assert pair.one.links == pair.two.links == ["killed", ""]
    assert pair.arrived == [2]


def test_nothing_arrives_at_a_process_that_was_killed() -> None:
    def scenario(pair: Pair) -> None:
        pair.send(1)
        pair.two.process.kill()

    assert play(Conditions(), scenario).arrived == []


class Owner:
    """An agent's handler that keeps what comes."""

    def __init__(self) -> None:
        self.came: list[bytes] = []

    async def __call__(self, frame: bytes) -> None:
        self.came.append(frame)


def crowded(odds: float) -> tuple[list[bytes], set[bool]]:
    """Send 50 frames, of four tasks; return what came, and whether any went at once, and waited."""
    world = World(1)
    network = SimulatedNetwork(world, Conditions(crowding=odds))
    here, there = (
        SimulatedTransport(network, world.process(name), TransportContext(), number)
        for number, name in enumerate(("here", "there"))
    )
    owner, ways, numbers = Owner(), set(), itertools.count()

    async def send() -> None:
        for _ in range(50):
            frame = b"%d" % next(numbers)
            ways.add(at_once := here.publish_nowait("a", frame))
            if not at_once:
                await here.publish("a", frame)

    async def live() -> None:
        for each in (here, there):
            await each.start()
        await there.subscribe("a", owner)
        await asyncio.gather(*(send() for _ in range(4)))
        await asyncio.sleep(10.0)

    with installed(world):
        world.run(live())
    return owner.came, ways


@pytest.mark.parametrize(("odds", "ways"), [(0.0, {True}), (0.02, {True, False}), (1.0, {False})])
def test_who_finds_no_room_waits_and_is_not_overtaken(odds: float, ways: set[bool]) -> None:
    assert crowded(odds) == ([b"%d" % number for number in range(200)], ways)


class Sink(AgentProcess):
    """Keeps the numbers that it is sent, by who sent them."""

    async def on_start(self) -> None:
        self.came: dict[int, list[int]] = {}

    async def handle(self, message: Message) -> Message | None:
        if message.reply_to is not None:
            return self.reply({"n": message.payload["n"]})
        self.came.setdefault(message.payload["by"], []).append(message.payload["n"])
        return None


def test_a_crowded_system_sends_batches_and_nothing_is_lost_or_overtaken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four senders send 100 messages each, and ask in between; a window holds them up, too."""
    seen: set[tuple[bool, bool]] = set()
    hand_over = SimulatedTransport.publish_nowait

    def handed_over(transport: SimulatedTransport, address: str, frame: bytes) -> bool:
        taken = hand_over(transport, address, frame)
        seen.add((frame.startswith(BATCH), taken))
        return taken

    monkeypatch.setattr(SimulatedTransport, "publish_nowait", handed_over)
    world, sink = World(1), Sink("sink")

    def wired(process: str) -> ComponentSet:
        primary = process == "supervisor"
        return build_component_set({"type": "simulation"}, process=process, is_primary=primary)

    async def work() -> int:
        root = Supervisor("root", [])
        root.add_remote_child("sink")
        async with Runtime(root, components=wired("supervisor")) as runtime:
            await runtime.ask("sink", {"n": 0})
            network_of(world).conditions.crowding = 0.3

            async def send(by: int) -> int:
                answers = 0
                for number in range(100):
                    await runtime.send("sink", {"by": by, "n": number})
                    if number % 10 == by:
                        answer = await runtime.ask("sink", {"n": number})
                        answers += answer.payload["n"] == number
                return answers

            return sum(await asyncio.gather(*map(send, range(4))))

    async def host() -> None:
        await Worker([sink], process="w1", components=wired("w1")).start()

    async def live() -> int:
        working = world.process("supervisor").spawn(work())
        world.process("w1").spawn(host())
        while not working.done():
            await asyncio.sleep(0.1)
        return working.result()

    with installed(world):
        assert world.run(live()) == 40
    assert sink.came == {by: list(range(100)) for by in range(4)}
    assert seen == {(batch, taken) for batch in (False, True) for taken in (False, True)}
