"""When a membership has something to do: it says so, and nothing is missed by who believes it."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import _platform as platform
from civitas._cluster.discovery import IDLE, PAUSE
from civitas._cluster.protocol import Hello, Ping, Pong, Query
from core.cluster.one_node import EPOCH, PRIMARY, WATCH, WORKER, One
from core.cluster.simulation import Network, SimulatedNode, System, three


class Step(NamedTuple):
    """Something that happens to a node, and for how many seconds."""

    what: str
    node: str
    seconds: float


def happens(system: System, step: Step) -> None:
    """Let it happen, and let the time of it pass."""
    node = system.nodes[step.node]
    begin, end = {
        "pause": (node.pause, node.resume),
        "link": (node.lose_link, node.find_link),
        "kill": (node.kill, nothing),
        "leave": (lambda: node.membership.leave("enough"), nothing),
        "part": (lambda: system.network.part({step.node}, set("PABC")), system.network.heal),
        "proxy": (system.network.stand_still, system.network.go_on),
        "clock": (lambda: step_clock(node), nothing),
        "ask": (lambda: ask(node), nothing),
        "nothing": (nothing, nothing),
    }[step.what]
    begin()
    system.run(step.seconds)
    end()


def nothing() -> None:
    pass


def step_clock(node: SimulatedNode) -> None:
    node.clock_ahead += 3.0


def ask(node: SimulatedNode) -> None:
    for number, other in enumerate(node.membership.peers):
        node.membership.call(other, Query(number), node.time)


WHAT = ("pause", "link", "kill", "leave", "part", "proxy", "clock", "ask", "nothing")
# Whether a node that stood still for about `PAUSE` knows it depends on when it had its last turn.
SECONDS = st.floats(0.05, PAUSE - IDLE - 0.1) | st.floats(PAUSE + 0.1, 8.0)
STEPS = st.builds(Step, st.sampled_from(WHAT), st.sampled_from("PABC"), SECONDS)


@given(
    seed=st.integers(0, 10_000),
    starts=st.tuples(*[st.floats(0.0, 3.0)] * 4),
    names=st.sampled_from([("A", "B"), ("same", "same")]),
    loss=st.sampled_from([0.0, 0.2]),
    repeat=st.sampled_from([0.0, 0.3]),
    steps=st.lists(STEPS, max_size=6),
)
def test_a_membership_that_is_ticked_when_it_is_due_says_what_one_says_that_is_ticked_all_the_time(
    seed: int,
    starts: tuple[float, ...],
    names: tuple[str, str],
    loss: float,
    repeat: float,
    steps: list[Step],
) -> None:
    def run(*, only_when_due: bool) -> System:
        numbers = random.Random(seed)
        with platform.replaced(replace(platform.MACHINE, random_bytes=numbers.randbytes)):
            return played(only_when_due=only_when_due)

    def played(*, only_when_due: bool) -> System:
        system = System(seed, Network(loss=loss, repeat=repeat), only_when_due=only_when_due)
        one, other = (
            system.add(x, x.lower(), process=name) for x, name in zip("AB", names, strict=True)
        )
        nodes = system.primary(), one, other, system.add("C")
        for node, start in zip(nodes, starts, strict=True):
            system.after(start, node.join)
        system.run(2.0)
        for step in steps:
            happens(system, step)
        system.run(10.0)
        return system

    due, always = run(only_when_due=True), run(only_when_due=False)
    assert due.said == always.said
    assert [node.events for node in due.nodes.values()] == [
        node.events for node in always.nodes.values()
    ]
    assert due.ticks < always.ticks / 3


def test_a_settled_worker_has_a_turn_from_time_to_time_and_nothing_else_to_do() -> None:
    one = One().joined(PRIMARY)
    assert one.membership.next_due() == one.now + IDLE


def test_a_primary_that_is_ticked_when_it_is_due_pings_as_often_as_it_should() -> None:
    primary = One("primary").joined()
    primary.hear(WORKER, Hello(WORKER, EPOCH + primary.now))
    until, pings = primary.now + 10.0, []
    while primary.now < until:
        primary.now = primary.membership.next_due()
        primary.membership.tick(primary.now)
        for ping in primary.said(Ping, WORKER):
            pings.append(primary.now)
            primary.hear(WORKER, Pong(ping.sequence, {}, 0.0))
        primary.forget()
    times = [later - earlier for earlier, later in pairwise(pings)]
    assert times == pytest.approx([WATCH.interval] * 9)


def test_who_has_left_has_turns_and_nothing_else_to_do() -> None:
    one = One().joined(PRIMARY)
    one.membership.leave("enough")
    one.wait(30.0)
    assert one.membership.next_due() == one.now + IDLE


def test_three_nodes_that_have_settled_are_ticked_only_when_there_is_something_to_do() -> None:
    system, *_ = three()
    before = system.ticks
    system.run(60.0)
    assert system.ticks - before < 60.0 * (3 / IDLE + 12)
