"""Whole systems: nodes that leave, and the commands and queries of a primary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from civitas._cluster.codec import decode
from civitas._cluster.events import NodeLost
from civitas._cluster.protocol import Command, Counters, Fenced, Left, Query, Result
from civitas.messages import PRIMARY
from core.cluster.simulation import FAST, Network, SimulatedNode, System, deaths, three

SEEDS = st.integers(0, 10_000)
START = st.floats(0.0, 2.0)
LOSSES = st.sampled_from([0.0, 0.1, 0.2])
DEAD = FAST.bound + 1.0
"""Seconds after which the primary has noticed for sure that a node is silent."""


# --- leaving ------------------------------------------------------------------------------------


@given(seed=SEEDS)
def test_a_node_that_has_said_goodbye_is_not_let_in_again_by_late_messages(seed: int) -> None:
    system = System(seed, Network(delay=(0.01, 0.5), repeat=0.5))
    nodes = system.primary(), system.add("A", "a"), system.add("B", "b")
    system.joined(*nodes)
    nodes[1].membership.announce({}, leaving=True)
    nodes[1].membership.leave("it stopped")
    system.run(10.0)
    assert nodes[0].knows == {"B"}
    assert nodes[2].knows == {"P"}
    assert not deaths(nodes[0])


def test_a_node_that_leaves_lets_nobody_in_and_answers_no_more() -> None:
    system, primary, leaving, _ = three()
    leaving.membership.leave("it stopped")
    system.run(1.0)
    before = system.sent
    leaving.events.clear()
    primary.say(Query(7))
    system.add("C", "c").say(Left(leaving.id, 1, "no", fenced=True))
    assert system.sent == before + 2
    assert not leaving.events


# --- commands -----------------------------------------------------------------------------------


@given(seed=SEEDS, loss=LOSSES, repeat=st.sampled_from([0.0, 0.5]), lost=st.booleans())
def test_a_command_is_answered_once_or_fails_with_its_node(
    seed: int, loss: float, repeat: float, lost: bool
) -> None:
    system = System(seed)
    primary, worker = system.primary(), system.add("A", "a")
    system.joined(primary, worker)
    system.network.loss, system.network.repeat = loss, repeat
    if lost:
        worker.kill()
    asked = Command(1, "start", "a", 3)
    primary.membership.call(worker.id, asked, primary.time)
    for _ in range(20):
        system.run(1.0)
        worker.membership.answer(primary.id, Result(1, "", "RUNNING", 4))
    answers = primary.heard(Result)
    assert len(answers) == 1
    # Where pings are lost as well, a node that lives may be taken for dead before it answers.
    assert bool(answers[0].error) == lost or primary.heard(NodeLost)


def test_a_query_is_answered_with_the_counters() -> None:
    system, primary, worker, _ = three()
    primary.membership.call(worker.id, Query(3), primary.time)
    system.run(1.0)
    assert primary.heard(Counters) == [
        Counters(3, {"label": "A", "stalled": 0.0, "silent": {}, "gone": []})
    ]


def gone_of(
    asker: SimulatedNode, told: SimulatedNode, system: System
) -> dict[str, tuple[bool, str]]:
    """Return who has gone, as one node tells another: whether it died, and why."""
    asker.events.clear()
    asker.membership.call(told.id, Query(3), asker.time)
    system.run(1.0)
    [answer] = asker.heard(Counters)
    return {each["process"]: (each["died"], each["reason"]) for each in answer.counters["gone"]}


def test_each_node_tells_who_has_gone_until_one_of_that_name_comes() -> None:
    system, primary, a, b = three()
    b.membership.leave("it stopped")
    system.run(1.0)
    assert gone_of(a, primary, system) == {"B": (False, "it stopped")}
    assert gone_of(primary, a, system) == {"B": (False, "it stopped")}
    other = system.add("B", "b")
    system.joined(primary, a, other)
    assert gone_of(a, primary, system) == {}
    primary.kill()
    system.run(30.0)
    assert gone_of(other, a, system) == {PRIMARY: (True, "its pings have stopped")}


def test_a_primary_tells_who_owes_it_answers_and_for_how_long() -> None:
    system, primary, silent, worker = three()
    silent.pause()
    system.run(FAST.interval + FAST.timeout)
    worker.membership.call(primary.id, Query(3), worker.time)
    system.run(0.2)
    [told] = worker.heard(Counters)
    assert told.counters["silent"].keys() == {silent.id}
    assert FAST.timeout < told.counters["silent"][silent.id] < FAST.bound


def test_what_a_node_has_asked_fails_when_it_leaves() -> None:
    _, primary, worker, _ = three()
    worker.pause()
    primary.membership.call(worker.id, Query(3), primary.time)
    primary.membership.leave("it stopped")
    assert [event.error for event in primary.heard(Result)] == ["this node has left"]


def test_nodes_that_fence_each_other_do_not_answer_each_other_for_ever() -> None:
    system, _, left, right = three()
    left.fenced.add(right.membership.info.key)
    right.fenced.add(left.membership.info.key)
    before = len(system.said)
    left.say(Fenced("you are fenced"), f"_agency.node.{right.id}")
    system.run(2.0)
    said = [decode(frame)[1] for _, _, _, frame in system.said[before:]]
    assert len([message for message in said if isinstance(message, Fenced)]) == 1


def test_a_command_to_a_node_that_has_gone_fails_at_once() -> None:
    system, primary, worker, _ = three()
    worker.membership.leave("it stopped")
    system.run(0.5)
    primary.membership.call(worker.id, Command(5, "stop", "a", 0), primary.time)
    assert primary.heard(Result) == [Result(5, "its process has gone")]
    assert primary.heard(NodeLost)[0].reason == "it stopped"
