"""Announcements: what is lost of them heals, and their cost is that of what has changed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civitas._cluster.announcements import (
    FIRST_BEACON,
    SLOWEST_BEACON,
    Announcements,
    check_announceable,
)
from civitas._cluster.events import NodeSeen
from civitas._cluster.pieces import LEAST_FRAME
from civitas._cluster.protocol import Challenge, Changed, Hello, Left, Missed, NodeInfo
from civitas.errors import ConfigurationError
from core.cluster.one_node import EPOCH, PRIMARY, WORKER, One, info
from core.cluster.simulation import FAST, Network, SimulatedNode, System, alive, deaths, three

DEAD = FAST.bound + 0.5
"""Seconds after which the primary has noticed for sure that a node is silent."""

HEALED = 30.0
"""Seconds after the last fault in which beacons and what follows from them have healed it."""


def assert_all_know_all(system: System) -> None:
    for label in alive(system):
        others = {each: system.nodes[each].states for each in alive(system) - {label}}
        assert system.nodes[label].knows_agents == others


# --- whatever is lost heals -----------------------------------------------------------------------


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    many=st.sampled_from([3, 60]),
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    repeat=st.sampled_from([0.0, 0.3]),
    changes=st.lists(
        st.tuples(st.sampled_from("PABC"), st.integers(0, 59), st.floats(0.0, 2.0)), max_size=12
    ),
    cuts=st.lists(st.tuples(st.sets(st.sampled_from("PABC")), st.floats(0.5, 8.0)), max_size=3),
)
def test_when_the_faults_have_ended_all_know_the_agents_of_all(
    seed: int,
    many: int,
    loss: float,
    repeat: float,
    changes: list[tuple[str, int, float]],
    cuts: list[tuple[set[str], float]],
) -> None:
    system = System(seed, Network(loss=loss, repeat=repeat, largest=LEAST_FRAME))
    for label in "PABC":
        agents = " ".join(f"{label}{number}" for number in range(many))
        node = system.primary(agents=agents) if label == "P" else system.add(label, agents)
        node.join()
    for side, seconds in cuts:
        system.network.part(side, set("PABC") - side)
        for label, number, wait in changes:
            system.nodes[label].change(**{f"{label}{number % many}": "STOPPED"})
            system.run(wait)
        system.run(seconds)
        system.network.heal()
    for label, number, wait in changes:
        system.nodes[label].change(**{f"{label}{number % many}": f"after {wait:.3f}"})
        system.run(wait / 10)
    system.network.calm()
    system.run(HEALED)
    assert_all_know_all(system)


def test_the_only_announcement_of_a_change_is_lost_and_all_know_it_nevertheless() -> None:
    system, primary, worker, other = three()
    system.network.part({"A"}, {"P", "B"})
    worker.change(a="STOPPED")
    system.run(0.1)
    system.network.heal()
    system.run(2 * FIRST_BEACON + 0.5)
    for node in (primary, other):
        assert node.knows_agents["A"] == {"a": ("STOPPED", 0)}


def test_two_workers_that_gave_each_other_up_meet_again_without_any_event() -> None:
    system, primary, worker, other = three()
    system.network.part({"A"}, {"B"})
    for one, gone in ((worker, other), (other, worker)):
        one.membership.members.peers[gone.id].suspect(system.now)
    system.run(1.0)
    assert worker.knows == other.knows == {"P"}
    system.network.heal()
    system.run(SLOWEST_BEACON + 1.0)
    assert "B" in worker.knows
    assert "A" in other.knows
    assert deaths(primary) == []


def test_a_lost_leaving_is_heard_by_the_next_beacon() -> None:
    system, primary, worker, _ = three()
    system.network.part({"A"}, {"P", "B"})
    worker.membership.announce({}, leaving=True)
    system.run(0.1)
    system.network.heal()
    system.run(2 * FIRST_BEACON + 0.5)
    assert primary.membership.peers[worker.id].info.leaving


def test_of_two_settled_holders_of_one_name_the_older_one_stays() -> None:
    system = System()
    older = system.add("A", "a", process="same", node="ff" * 8, generation=1)
    newer = system.add("B", "b", process="same", node="00" * 8, generation=2)
    system.network.part({"A"}, {"B"})
    system.joined(older, newer)
    assert older.settled
    assert newer.settled
    system.network.heal()
    system.run(SLOWEST_BEACON + 1.0)
    assert alive(system) == {"A"}


def test_a_death_that_the_primary_has_told_in_vain_is_asked_for() -> None:
    system, primary, worker, other = three()
    worker.kill()
    system.run(DEAD - 0.9)
    system.network.part({"P"}, {"B"})
    system.run(0.9)
    system.network.heal()
    assert "A" not in primary.knows
    assert "A" in other.knows
    system.run(HEALED)
    assert other.knows == {"P"}


# --- what a node does -----------------------------------------------------------------------------


def test_a_settled_node_shows_itself_soon_after_a_change_and_then_ever_more_slowly() -> None:
    one = One().joined(PRIMARY)
    one.membership.announce({"near": ("STOPPED", 2)})
    one.forget()
    one.wait(1.0)
    revision = one.membership.info.revision
    beacon = Changed(one.membership.info, revision)
    assert beacon.info.agents == {}
    assert one.said(Changed) == [beacon] * 2
    one.wait(40.0)
    assert len(one.said(Changed)) == pytest.approx(2 + 3 + 40 / SLOWEST_BEACON, abs=2)


def test_a_beacon_of_a_stranger_is_answered_with_a_hello_to_it() -> None:
    one = One().joined(PRIMARY)
    one.hear(WORKER, Changed(WORKER.header, WORKER.revision))
    assert [hello.info for hello in one.said(Hello, WORKER)] == [one.membership.info]
    assert WORKER.node not in one.membership.peers


def test_a_beacon_of_a_node_that_has_left_does_not_let_it_in_again() -> None:
    one = One().joined(PRIMARY, WORKER)
    one.hear(WORKER, Left(WORKER.node, WORKER.generation, "it stopped", fenced=False))
    one.forget()
    one.hear(WORKER, Changed(WORKER.header, 0))
    assert WORKER.node not in one.membership.peers
    assert [type(each) for _, each in one.sent] == [Challenge], "if it lives, it proves itself"


def test_who_has_missed_a_change_says_what_it_knows_and_gets_what_has_changed_since() -> None:
    known = info("44", "a b", settled=True, revision=3)
    one = One().joined(known)
    later = info("44", "b", settled=True, revision=6)
    one.hear(known, Changed(later, 5))
    assert one.said(Missed, known) == [Missed(3)]
    assert not one.events
    one.hear(known, Changed(later, 5))
    assert len(one.said(Missed, known)) == 1  # the answer is on its way
    one.hear(known, Changed(info("44", "a b", settled=True, revision=6), 3))
    assert [event.info.revision for event in one.events if isinstance(event, NodeSeen)] == [6]


def test_an_older_whole_never_overwrites_a_newer_change() -> None:
    whole = info("44", "a", settled=True, revision=2)
    one = One().joined(whole)
    changed = NodeInfo(
        whole.node, 5, whole.process, "worker", {"a": ("STOPPED", 0)}, True, revision=3
    )
    one.hear(whole, Changed(changed, 2))
    one.hear(whole, Hello(whole, EPOCH + one.now))
    assert one.membership.peers[whole.node].agents == {"a": ("STOPPED", 0)}


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), max_size=3)))
def test_whoever_knows_any_revision_knows_the_whole_with_what_has_changed_since(
    changes: list[dict[str, int]],
) -> None:
    announced = Announcements(info("44", "a b"))
    known = {announced.info.revision: announced.whole.agents}
    for change in changes:
        announced.change({name: ("running", count) for name, count in change.items()})
        known[announced.info.revision] = announced.whole.agents
    for revision, agents in known.items():
        since = announced.since(revision)
        assert since.since == revision
        assert since.info.revision == announced.info.revision
        assert {**agents, **since.info.agents} == announced.whole.agents
    assert announced.since(0).info.agents == announced.whole.agents


# --- what it costs --------------------------------------------------------------------------------


def cost_of_ends(many: int) -> tuple[int, int]:
    """Return the bytes that are said, and the agents that the others hear of, as `many` end."""
    system = System()
    primary, other = system.primary(), system.add("B")
    worker = system.add("A", " ".join(f"a{number:05}" for number in range(many)))
    system.joined(primary, worker, other)
    system.bytes = 0
    for node in (primary, other):
        node.events.clear()
    for name in tuple(worker.states):
        worker.change(**{name: "STOPPED"})
    system.run(0.5)
    assert_all_know_all(system)
    return system.bytes, heard(primary) + heard(other)


def heard(node: SimulatedNode) -> int:
    return sum(len(event.info.agents) for event in node.heard(NodeSeen))


def test_the_cost_of_agents_that_end_one_after_the_other_grows_with_their_number() -> None:
    small, large = cost_of_ends(100), cost_of_ends(400)
    assert small[1] == 200
    assert large[1] == 800
    assert large[0] < 5 * small[0]


# --- nodes that can't be announced ----------------------------------------------------------------


def test_a_node_with_more_agents_than_others_take_is_refused_with_the_reason() -> None:
    agents = dict.fromkeys((f"{number:0200}" for number in range(100_000)), ("RUNNING", 0))
    with pytest.raises(ConfigurationError, match=r"100,000 agents .* more processes"):
        check_announceable(NodeInfo("44" * 8, 1, "w", "worker", agents), None)
    few = dict(list(agents.items())[:50_000])
    check_announceable(NodeInfo("44" * 8, 1, "w", "worker", few), LEAST_FRAME)


def test_a_transport_of_too_small_messages_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigurationError, match="max_message_bytes"):
        check_announceable(info("44", "a"), LEAST_FRAME - 1)


def test_a_beacon_that_is_hastened_comes_soon_and_however_often_no_closer_to_the_last() -> None:
    mine = Announcements(NodeInfo("01" * 8, 1, "one", "worker"))
    mine.hasten(0.0)  # before the first one is planned
    now, beacons = 0.0, []
    while now < 20.0:
        if mine.beacon(now) is not None:
            beacons.append(now)
        if now > 10.0:
            mine.hasten(now)
        now += 0.01
    pauses = [later - before for before, later in pairwise(beacons)]
    slow = [pause for pause, at in zip(pauses, beacons, strict=False) if at < 6.0]
    fast = [pause for pause, at in zip(pauses, beacons, strict=False) if at > 10.5]
    assert max(slow) > 3.0
    assert min(pauses) >= FIRST_BEACON - 0.02
    assert max(fast) <= FIRST_BEACON + 0.02
