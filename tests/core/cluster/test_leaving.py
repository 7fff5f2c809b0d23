"""LeaveHandshake: who leaves waits for all that may send, as long as it is worth it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from civitas._cluster.leaving import ALL, RESEND, TIMEOUT, LeaveHandshake
from civitas._cluster.protocol import DataMessage, Leaving
from civitas.testing.simulation.world import World, installed


class Leaver:
    """A node that leaves; the test speaks for the others. Time is virtual."""

    def __init__(self, *nodes: str) -> None:
        self.nodes = list(nodes)
        self.said: list[tuple[str, DataMessage]] = []
        self.seen: dict[tuple[str, str], int] = {}
        self.handshake = LeaveHandshake(
            lambda node, message: self.said.append((node, message)),
            lambda node, agent: self.seen.get((node, agent), 0),
        )

    def leave(self, agent: str = ALL) -> asyncio.Task[tuple[list[str], list[str]]]:
        leaving = self.handshake.leave(agent, lambda: self.nodes)
        return asyncio.get_running_loop().create_task(leaving)

    def account(self, node: str, agent: str, number: int) -> None:
        self.seen[node, agent] = number
        self.handshake.accounted(node, agent, number)

    def told(self, node: str) -> int:
        return sum(each == (node, Leaving(ALL)) for each in self.said)


def in_virtual_time(test: Callable[[], Awaitable[Any]]) -> None:
    world = World(0)
    with installed(world):
        world.run(_awaited(test))


async def _awaited(test: Callable[[], Awaitable[Any]]) -> Any:
    return await test()


def now() -> float:
    return asyncio.get_running_loop().time()


async def turns() -> None:
    await asyncio.sleep(RESEND / 10)


def test_a_node_to_which_nobody_sends_leaves_at_once() -> None:
    async def test() -> None:
        began = now()
        assert await Leaver().leave() == ([], [])
        assert now() == pytest.approx(began, abs=0.01)

    in_virtual_time(test)


def test_it_waits_until_the_last_frame_of_each_sender_is_accounted_for() -> None:
    async def test() -> None:
        one = Leaver("x", "y")
        leaving = one.leave()
        await turns()
        assert one.said == [("x", Leaving(ALL)), ("y", Leaving(ALL))]
        one.handshake.last_number("x", "a", 3)
        one.handshake.last_number("x", "b", 1)
        one.handshake.ended("x", ALL)
        one.handshake.ended("y", ALL)
        one.account("x", "b", 1)
        one.account("x", "a", 2)
        await turns()
        assert not leaving.done()
        one.account("x", "a", 3)
        assert await leaving == ([], [])

    in_virtual_time(test)


def test_frames_that_were_there_before_their_last_number_was_told_are_not_waited_for() -> None:
    async def test() -> None:
        one = Leaver("x")
        leaving = one.leave()
        await turns()
        one.account("x", "a", 7)
        one.handshake.last_number("x", "a", 7)
        one.handshake.ended("x", ALL)
        assert await leaving == ([], [])

    in_virtual_time(test)


def test_who_does_not_answer_is_told_again_and_then_not_waited_for() -> None:
    async def test() -> None:
        one, began = Leaver("x", "silent"), now()
        leaving = one.leave()
        await turns()
        one.handshake.ended("x", ALL)
        assert await leaving == (["silent"], [])
        assert now() - began == pytest.approx(TIMEOUT, abs=0.01)
        assert one.told("x") == 1
        assert one.told("silent") == round(TIMEOUT / RESEND)

    in_virtual_time(test)


def test_frames_that_wait_for_room_are_not_waited_for_without_end() -> None:
    async def test() -> None:
        one, began = Leaver("x"), now()
        leaving = one.leave()
        await turns()
        one.handshake.last_number("x", "a", 5)
        one.handshake.ended("x", ALL)
        assert await leaving == ([], ["x"])
        assert now() - began == pytest.approx(TIMEOUT, abs=0.01)

    in_virtual_time(test)


def test_a_node_that_goes_is_not_waited_for() -> None:
    async def test() -> None:
        one = Leaver("x", "y")
        leaving = one.leave()
        await turns()
        one.handshake.last_number("x", "a", 5)
        one.handshake.ended("x", ALL)
        one.nodes.clear()
        one.handshake.node_lost("x")
        one.handshake.node_lost("y")
        assert await leaving == ([], [])

    in_virtual_time(test)


def test_agents_leave_each_by_itself() -> None:
    async def test() -> None:
        one = Leaver("x")
        first, second = one.leave("a"), one.leave("b")
        await turns()
        assert one.said == [("x", Leaving("a")), ("x", Leaving("b"))]
        one.handshake.last_number("x", "a", 2)
        one.handshake.ended("x", "a")
        one.handshake.ended("x", "b")
        assert await second == ([], [])
        assert not first.done()
        one.account("x", "a", 2)
        assert await first == ([], [])

    in_virtual_time(test)


def test_what_is_heard_when_nobody_leaves_is_passed_over() -> None:
    one = Leaver("x")
    one.handshake.ended("x", ALL)
    one.handshake.last_number("x", "a", 1)
    one.handshake.accounted("x", "a", 1)
    one.handshake.node_lost("x")
    assert one.said == []
