"""Several memberships over a simulated network: who meets, who stays, who is declared dead."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from civitas._cluster.events import Evicted, Settled
from core.cluster.simulation import FAST, Network, System, alive, deaths, three

SEEDS = st.integers(0, 10_000)
START = st.floats(0.0, 2.0)
LOSSES = st.sampled_from([0.0, 0.1, 0.2])
DEAD = FAST.bound + 1.0
"""Seconds after which the primary has noticed for sure that a node is silent."""


# --- meeting ------------------------------------------------------------------------------------


@given(
    seed=SEEDS,
    starts=st.lists(START, min_size=2, max_size=5),
    loss=LOSSES,
    repeat=st.sampled_from([0.0, 0.3]),
)
def test_nodes_that_stay_connected_all_meet_and_settle(
    seed: int, starts: list[float], loss: float, repeat: float
) -> None:
    system = System(seed, Network(loss=loss, repeat=repeat))
    nodes = [system.primary()]
    nodes += [system.add(f"W{i}", f"agent{i}") for i in range(len(starts) - 1)]
    for node, start in zip(nodes, starts, strict=True):
        system.after(start, node.join)
    system.after(5.0, system.network.calm)
    system.run(20.0)
    for node in nodes:
        assert node.settled
        assert not node.evicted
    assert nodes[0].knows == {node.label for node in nodes[1:]}
    for node in nodes[1:]:
        assert "P" in node.knows
        if not loss:
            assert node.knows == {other.label for other in nodes if other is not node}


def test_a_node_settles_only_when_both_routes_to_each_other_one_are_proved() -> None:
    system, _, _, _ = three()
    late = system.add("C", "c")
    for node in system.nodes.values():
        assert all(peer.proved for peer in node.membership.peers.values())
    late.join()
    system.run(0.05)
    assert not late.settled
    system.run(1.0)
    assert late.settled


def test_a_worker_that_was_alone_is_found_by_a_primary_whose_hellos_were_all_lost() -> None:
    system = System()
    worker, primary = system.add("A", "a"), system.primary()
    system.network.part({"A"}, {"P"})
    system.joined(worker, primary)
    assert worker.settled
    assert worker.heard(Settled) == [Settled(alone=True)]
    system.network.heal()
    system.run(6.0)
    assert worker.knows == {"P"}
    assert primary.knows == {"A"}


def test_a_node_that_starts_while_its_link_is_down_claims_its_name_only_when_it_is_back() -> None:
    system = System()
    holder, primary = system.add("A", "a", process="same"), system.primary()
    system.joined(holder, primary)
    late = system.add("B", "b", process="same")
    late.join()
    late.lose_link()
    system.run(10.0)
    assert not late.settled
    late.find_link()
    system.run(5.0)
    assert late.evicted
    assert alive(system) == {"A", "P"}


# --- one name, two nodes ------------------------------------------------------------------------


@given(
    seed=SEEDS,
    starts=st.tuples(START, START, START, START),
    loss=LOSSES,
    names=st.sampled_from([("w", "x", "w", "y"), ("v", "x y", "w", "y z"), ("w", "x", "w", "x")]),
    generations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    ids=st.permutations(["00" * 8, "ff" * 8]),
)
@example(
    seed=1,
    starts=(0.625, 1.0625, 1.0, 1.0625),
    loss=0.2,
    names=("w", "x", "w", "y"),
    generations=(1, 1),
    ids=["00" * 8, "ff" * 8],
)
def test_of_two_nodes_that_claim_one_name_exactly_one_stays(
    seed: int,
    starts: tuple[float, float, float, float],
    loss: float,
    names: tuple[str, str, str, str],
    generations: tuple[int, int],
    ids: list[str],
) -> None:
    system = System(seed, Network(loss=loss))
    first = system.add("A", names[1], process=names[0], node=ids[0], generation=generations[0])
    second = system.add("B", names[3], process=names[2], node=ids[1], generation=generations[1])
    nodes = [first, second, system.primary(), system.add("C", "u")]
    for node, start in zip(nodes, starts, strict=True):
        system.after(start, node.join)
    system.after(8.0, system.network.calm)
    system.run(25.0)
    assert alive(system) in ({"A", "P", "C"}, {"B", "P", "C"})
    winner = "A" if "A" in alive(system) else "B"
    if not loss:
        assert nodes[2].knows == {winner, "C"}
        assert nodes[3].knows == {winner, "P"}


@given(seed=SEEDS, gap=st.floats(3.0, 6.0), loss=LOSSES)
def test_a_live_holder_keeps_its_name_whoever_comes_later(
    seed: int, gap: float, loss: float
) -> None:
    system = System(seed, Network(loss=loss))
    holder, primary = system.add("A", "x", node="ff" * 8), system.primary()
    late = system.add("B", "y", process="A", node="00" * 8, generation=9)
    system.joined(primary, holder)
    system.after(gap, late.join)
    system.after(8.0, system.network.calm)
    system.run(25.0)
    assert alive(system) == {"A", "P"}
    assert not late.heard(Evicted)[0].fenced


@given(seed=SEEDS, resumes=st.floats(0.0, 12.0))
def test_of_a_paused_holder_and_its_successor_exactly_one_stays(seed: int, resumes: float) -> None:
    system = System(seed)
    primary, holder, third = system.primary(), system.add("A", "a"), system.add("C", "c")
    system.joined(primary, holder, third)
    holder.pause()
    successor = system.add("B", "a", process="A", generation=2)
    successor.join()
    system.run(resumes)
    holder.resume()
    system.run(25.0)
    assert alive(system) in ({"A", "P", "C"}, {"B", "P", "C"})
    if resumes > DEAD:
        assert alive(system) == {"B", "P", "C"}


@given(seed=SEEDS, resumes=st.floats(5.0, 12.0), by_link=st.booleans())
def test_a_superseded_primary_that_comes_back_does_not_take_its_successor_along(
    seed: int, resumes: float, by_link: bool
) -> None:
    system = System(seed)
    old, worker, other = system.primary(), system.add("A", "a"), system.add("B", "b")
    system.joined(old, worker, other)
    (old.lose_link if by_link else old.pause)()
    system.run(1.0)
    new = system.primary("Q", generation=2)
    new.join()
    system.run(resumes)
    assert new.knows == {"A", "B"}
    (old.find_link if by_link else old.resume)()
    system.run(20.0)
    assert alive(system) == {"Q", "A", "B"}
    assert not deaths(new)
    assert worker.membership.members.primary is not None
    assert worker.membership.members.primary.info.node == new.id


def test_two_primaries_of_a_network_that_was_parted_become_one() -> None:
    system = System()
    old, new = system.primary(), system.primary("Q", generation=2)
    system.network.part({"P"}, {"Q"})
    system.joined(old, new)
    assert alive(system) == {"P", "Q"}
    system.network.heal()
    system.run(8.0)
    assert alive(system) == {"P"}


def test_a_newcomer_that_gives_up_does_not_bring_down_the_silent_holder_of_its_name() -> None:
    system, primary, holder, _ = three()
    holder.pause()
    late = system.add("C", "c", process="A")
    late.join()
    system.run(0.5)
    late.membership.leave("it was stopped")
    late.kill()
    system.run(0.7)
    holder.resume()
    system.run(5.0)
    assert "A" in primary.knows
    assert not holder.evicted
    assert "C" not in primary.knows


# --- the dead, and those who only seemed to be ---------------------------------------------------


def test_a_node_that_was_paused_for_too_long_is_fenced_everywhere_and_told_so() -> None:
    system, primary, paused, other = three()
    paused.pause()
    system.run(DEAD)
    assert deaths(primary) == deaths(other) == ["A"]
    assert paused.membership.info.key in primary.fenced & other.fenced
    paused.resume()
    system.run(1.0)
    assert [event.fenced for event in paused.heard(Evicted)] == [True]
    system.run(10.0)
    assert primary.knows == {"B"}


def test_a_node_that_was_paused_for_less_stays() -> None:
    system, primary, paused, other = three()
    paused.pause()
    system.run(1.2)
    paused.resume()
    system.run(10.0)
    assert not deaths(primary)
    assert not deaths(other)
    assert not paused.evicted


@pytest.mark.parametrize("how", ["pause", "link", "jump"])
@pytest.mark.parametrize("away", [2.0, 10.0, 60.0])
def test_a_primary_that_was_away_itself_declares_nobody_dead(how: str, away: float) -> None:
    system, primary, *workers = three()
    if how == "pause":
        primary.pause()
        system.run(away)
        primary.resume()
    elif how == "link":
        primary.lose_link()
        system.run(away)
        primary.find_link()
    else:
        primary.skew += away
    system.run(15.0)
    assert not deaths(primary)
    assert not primary.fenced
    assert primary.knows == {"A", "B"}
    for worker in workers:
        assert "P" in worker.knows
        assert not worker.evicted


@given(
    seed=SEEDS,
    outages=st.lists(st.tuples(st.sampled_from("PAB"), st.floats(0.1, 8.0)), max_size=6),
)
def test_nobody_is_fenced_while_all_links_are_down(
    seed: int, outages: list[tuple[str, float]]
) -> None:
    system = System(seed)
    nodes = system.primary(), system.add("A", "a"), system.add("B", "b")
    system.joined(*nodes)
    for node in nodes:
        node.lose_link()
    system.run(30.0)
    for label, wait in outages:  # they come back one after the other, and some go again
        node = system.nodes[label]
        if node.linked:
            node.lose_link()
        else:
            node.find_link()
        system.run(wait if not any(n.linked for n in nodes) else min(wait, 0.3))
    for node in nodes:
        if not node.linked:
            node.find_link()
    system.run(20.0)
    assert not any(node.fenced for node in nodes)
    assert alive(system) == {"P", "A", "B"}
    assert nodes[0].knows == {"A", "B"}


def test_a_claim_is_not_decided_by_an_outage_of_the_judge() -> None:
    system, primary, holder, other = three()
    late = system.add("C", "c", process="A")
    late.join()
    system.run(0.05)
    for judge in (primary, other):
        judge.pause()
    system.run(10.0)
    for judge in (primary, other):
        judge.resume()
    system.run(10.0)
    assert holder.stays
    assert not late.stays


def test_a_worker_learns_from_the_primary_who_went_while_its_link_was_down() -> None:
    system = System()
    primary, gone, away = system.primary(), system.add("A", "a"), system.add("B", "patient")
    system.joined(primary, gone, away)
    away.lose_link()
    gone.kill()
    system.run(DEAD)
    away.find_link()
    system.run(3.0)
    assert "P" in away.knows
    assert deaths(away) == ["A"]
    assert deaths(primary) == ["A"]


def test_a_worker_that_died_without_a_primary_is_noticed_when_there_is_one_again() -> None:
    system, primary, gone, left = three()
    primary.kill()
    gone.kill()
    system.run(30.0)
    assert deaths(left) == ["P"]
    new = system.primary("Q", generation=2)
    new.join()
    system.run(8.0)
    assert left.knows == {"Q"}
    assert new.knows == {"B"}


def test_a_node_is_watched_as_closely_as_the_agents_that_it_tells_of_later() -> None:
    system = System()
    primary, worker = system.primary(), system.add("A")
    system.joined(primary, worker)
    worker.membership.announce(agents={"a": ("running", 0)})
    system.run(1.0)
    worker.kill()
    system.run(DEAD)
    assert deaths(primary) == ["A"]


def test_nobody_is_taken_for_dead_while_it_is_the_proxy_that_stands_still() -> None:
    system, primary, *workers = three()
    for seconds in (1.0, 10.0):
        system.network.stand_still()
        system.run(seconds)
        system.network.go_on()
        system.run(10.0)
        assert deaths(primary) == []
        assert alive(system) == {"P", "A", "B"}
        assert all(len(node.knows) == 2 for node in (primary, *workers))


def test_who_dies_while_the_proxy_stands_still_is_noticed_when_it_goes_on() -> None:
    system, primary, worker, _ = three()
    system.network.stand_still()
    system.run(5.0)
    worker.kill()
    system.run(5.0)
    system.network.go_on()
    assert deaths(primary) == []
    system.run(DEAD)
    assert deaths(primary) == ["A"]
