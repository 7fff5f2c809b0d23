"""Clocks of other nodes, which may step: by what it is noticed, and who hears of it."""

from __future__ import annotations

import pytest

from civitas._cluster.events import ClockSeen
from civitas._cluster.protocol import Hello, Ping, Pong, Welcome
from core.cluster.one_node import EPOCH, PRIMARY, WORKER, One
from core.cluster.simulation import SimulatedNode, three

STEP = 3.0


def seen(one: One) -> list[float]:
    return [event.offset for event in one.events if isinstance(event, ClockSeen)]


def primary() -> One:
    """A primary that watches a worker, and has just sent it a ping, number 1."""
    one = One("primary", process="supervisor").joined()
    one.hear(WORKER, Hello(WORKER, EPOCH + one.now))
    one.wait(1.1)
    one.forget()
    return one


def answer(one: One, ahead: float, took: float = 0.2, sequence: int = 1) -> None:
    """Answer a ping, by a clock that is ahead."""
    one.now += took - 0.1
    one.hear(WORKER, Pong(sequence, {}, 0.0, EPOCH + one.now - took / 2 + ahead))


def test_an_answer_to_a_ping_shows_that_a_clock_has_moved_and_its_node_hears_of_it() -> None:
    one = primary()
    answer(one, STEP)
    assert seen(one) == [pytest.approx(STEP, abs=0.06)]
    (ping,) = one.said(Ping, WORKER)
    assert ping.sequence == 0
    assert ping.offset == pytest.approx(STEP, abs=0.06)


@pytest.mark.parametrize(
    ("ahead", "took", "sequence"),
    [(0.05, 0.2, 1), (STEP, 2.0, 1), (STEP, 0.2, 0), (STEP, 0.2, 9)],
    ids=["it has not moved", "the answer lay for long", "of a probe", "of no ping"],
)
def test_not_every_answer_says_something_of_a_clock(
    ahead: float, took: float, sequence: int
) -> None:
    one = primary()
    answer(one, ahead, took, sequence)
    assert seen(one) == []


def test_an_answer_without_a_clock_says_nothing_of_it() -> None:
    one = primary()
    one.hear(WORKER, Pong(1, {}, 0.0))
    assert seen(one) == []


def test_every_ping_says_how_much_the_other_clock_is_ahead() -> None:
    one = primary()
    answer(one, STEP)
    one.forget()
    one.wait(1.0)
    (ping,) = one.said(Ping, WORKER)
    assert ping.offset == pytest.approx(STEP, abs=0.06)


def test_a_node_whose_clock_has_moved_says_hello_to_all_once() -> None:
    one = One().joined(PRIMARY)
    now = EPOCH + one.now
    one.hear(PRIMARY, Welcome(PRIMARY, now, now, ()))
    one.forget()
    for sequence, offset in enumerate([None, 0.05, STEP, STEP, STEP + 0.05], start=1):
        one.hear(PRIMARY, Ping(sequence, 5.0, offset))
    assert len(one.said(Hello)) == 1


def test_only_the_primary_judges_the_clock_of_a_node() -> None:
    one = One().joined(PRIMARY, WORKER)
    for sequence, offset in enumerate([0.0, STEP], start=1):
        one.hear(WORKER, Ping(sequence, 5.0, offset))
    assert one.said(Hello) == []


@pytest.mark.parametrize("whose", ["A", "P"])
def test_all_nodes_know_soon_how_a_clock_goes_that_has_stepped(whose: str) -> None:
    system, *nodes = three()
    system.nodes[whose].clock_ahead = STEP
    system.run(2.0)
    for node in nodes:
        for other in nodes:
            if other is not node:
                expected = other.clock_ahead - node.clock_ahead
                assert _offset(node, other) == pytest.approx(expected, abs=0.1)


def _offset(node: SimulatedNode, other: SimulatedNode) -> float:
    return [each.offset for each in node.heard(ClockSeen) if each.node == other.id][-1]


def test_clocks_that_stand_cost_no_hellos() -> None:
    system, _, one, other = three()
    before = _measurements(one, other)
    system.run(30.0)
    assert _measurements(one, other) == before


def _measurements(node: SimulatedNode, other: SimulatedNode) -> int:
    return len([each for each in node.heard(ClockSeen) if each.node == other.id])
