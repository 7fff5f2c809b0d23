"""Membership: what one node does at what it hears, with a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas._cluster.claims import conflict, prevails
from civitas._cluster.discovery import PRIMARY_WINDOW
from civitas._cluster.events import (
    ClockSeen,
    Evicted,
    NodeLost,
    NodeSeen,
    Received,
    Settled,
)
from civitas._cluster.protocol import (
    Admitted,
    Changed,
    Command,
    ControlMessage,
    Counters,
    Crashed,
    Fenced,
    Hello,
    Left,
    NodeInfo,
    Ping,
    Pong,
    Query,
    Refused,
    Result,
    Welcome,
)
from civitas.envelope import Origin
from core.cluster.one_node import EPOCH, ME, PRIMARY, WORKER, One, info

# --- finding each other ---------------------------------------------------------------------------


def test_a_node_says_hello_again_and_again_and_ever_more_slowly() -> None:
    one = One()
    one.membership.join(one.now)
    one.wait(0.2)
    assert len(one.said(Hello)) == 3
    one.wait(0.8)
    assert len(one.said(Hello)) == 6


@pytest.mark.parametrize(
    ("role", "others", "settles"), [("primary", [], 0.25), ("worker", [], 1.0), ("client", [], 1.0)]
)
def test_a_node_that_finds_nobody_settles_after_its_window(
    role: str, others: list[NodeInfo], settles: float
) -> None:
    one = One(role)
    one.membership.join(one.now)
    one.wait(settles - 0.1)
    assert not one.membership.info.settled
    one.wait(0.15)
    assert one.events == [Settled(alone=role != "primary")]
    assert one.said(Changed)[0].info.settled


def test_a_worker_settles_as_soon_as_both_routes_to_the_primary_are_proved() -> None:
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Welcome(PRIMARY, EPOCH + one.now, EPOCH + one.now, ()))
    one.membership.admit(PRIMARY.node, one.now)
    assert one.said(Admitted, PRIMARY)
    assert not one.membership.info.settled
    one.hear(PRIMARY, Admitted())
    assert one.events[-1] == Settled(alone=False)


def test_a_worker_waits_for_those_whom_the_primary_knows_but_not_for_ever() -> None:
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Welcome(PRIMARY, EPOCH + one.now, EPOCH + one.now, ("55" * 8,)))
    one.membership.admit(PRIMARY.node, one.now)
    one.hear(PRIMARY, Admitted())
    one.wait(2.9)
    assert not one.membership.info.settled
    one.wait(0.2)
    assert one.membership.info.settled


def test_the_clock_of_another_node_is_judged_by_the_middle_of_the_round_trip() -> None:
    one = One()
    one.membership.join(one.now)
    asked = EPOCH + one.now
    one.now += 0.4
    one.hear(WORKER, Welcome(WORKER, asked, asked + 10.2, ()))
    (seen,) = [event for event in one.events if isinstance(event, ClockSeen)]
    assert seen.offset == pytest.approx(10.0)


def test_an_answer_that_lay_for_long_says_nothing_of_a_clock() -> None:
    one = One()
    one.membership.join(one.now)
    asked = EPOCH + one.now
    one.wait(8.0)
    one.hear(WORKER, Welcome(WORKER, asked, asked, ()))
    assert not [event for event in one.events if isinstance(event, ClockSeen)]


def test_a_node_that_has_not_joined_yet_answers_nobody() -> None:
    one = One()
    for message in (Hello(WORKER, 0.0), Ping(1, 1.0), Fenced("you are")):
        one.hear(WORKER, message)
    assert not one.sent
    assert not one.events


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "other", "mine_stays"),
    [
        (info("22", settled=True), info("11"), True),
        (info("22"), info("33", settled=True), False),
        (info("22"), info("33", generation=1), True),
        (info("22"), info("11", generation=9), False),
        (info("22", settled=True), info("11", settled=True, generation=6), True),
        (info("22", settled=True), info("33", settled=True, generation=4), False),
        (info("22", settled=True), info("11", settled=True), False),
    ],
)
def test_of_two_claims_the_settled_the_older_the_lower_one_prevails(
    mine: NodeInfo, other: NodeInfo, mine_stays: bool
) -> None:
    assert prevails(mine, other) == mine_stays
    assert prevails(other, mine) != mine_stays


def test_a_conflict_names_both_nodes_and_what_they_both_want() -> None:
    assert conflict(info("22", "a"), info("22", "a")) is None
    assert conflict(info("22", "a"), info("33", "b")) is None
    process = conflict(info("22", process="same"), info("33", process="same"))
    agent = conflict(info("22", "a b"), info("33", "b c"))
    assert process is not None
    assert agent is not None
    for text, name in ((process, "'same'"), (agent, "'b'")):
        assert name in text
        assert "22222222" in text
        assert "33333333" in text


def test_a_settled_node_refuses_whoever_wants_its_name() -> None:
    one = One().joined()
    late = info("11", "near")
    one.hear(late, Hello(late, EPOCH))
    assert one.said(Refused, late)
    assert late.node not in one.membership.peers


@pytest.mark.parametrize(("settled", "evicted"), [(False, True), (True, False)])
def test_a_refusal_by_a_third_node_counts_only_for_a_newcomer(settled: bool, evicted: bool) -> None:
    one = One()
    if settled:
        one.joined()
    else:
        one.membership.join(one.now)
    one.hear(PRIMARY, Refused(PRIMARY, "taken"))
    one.wait(PRIMARY_WINDOW + 0.1)
    assert (Evicted("taken", fenced=False) in one.events) == evicted


def test_a_evicted_node_falls_silent() -> None:
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Refused(PRIMARY, "taken"))
    one.wait(PRIMARY_WINDOW + 0.1)
    one.sent.clear()
    late = info("33", "near")
    one.hear(late, Hello(late, EPOCH))
    one.hear(PRIMARY, Ping(1, 1.0))
    one.wait(5.0)
    assert not one.sent
    assert not one.membership.info.settled
    assert len([event for event in one.events if isinstance(event, Evicted)]) == 1


def test_a_third_node_probes_the_holder_and_refuses_in_its_name_when_it_answers() -> None:
    one = One().joined(PRIMARY, WORKER)
    late = info("55", "far")
    one.hear(late, Hello(late, EPOCH))
    one.wait(0.5)
    assert len(one.said(Ping, WORKER)) >= 3
    one.hear(WORKER, Pong(0, {}, 0.0))
    assert not one.said(Refused, late), "an answer to another ping may be an old one"
    one.hear(WORKER, Pong(one.said(Ping, WORKER)[0].sequence, {}, 0.0))
    assert one.said(Refused, late)
    assert late.node not in one.membership.peers


def test_a_silent_holder_is_superseded_and_fenced() -> None:
    one = One("primary", process="supervisor").joined(WORKER)
    late = info("55", "far")
    one.hear(late, Hello(late, EPOCH))
    one.wait(1.6)
    assert set(one.membership.peers) == {late.node}
    assert WORKER.key in one.fenced
    assert [(left.node, left.fenced) for left in one.said(Left)] == [(WORKER.node, True)]
    one.hear(WORKER, Pong(1, {}, 0.0))
    assert one.said(Fenced, WORKER)


# --- odd words ------------------------------------------------------------------------------------

STRANGER = info("77")
ODD = [
    Ping(-1, 0.0),
    Ping(2**63 - 1, 1e300),
    Ping(1, -5.0),
    Pong(10**6, {}, 0.0),
    Pong(-1, {"far": ("crashed", 9)}, -1.0),
    Admitted(),
    Result(1, "", "RUNNING", 0),
    Counters(1, {}),
    Query(1),
    Command(1, "start", "near", 0),
    Crashed("near", 1, "E", "t"),
    Left(WORKER.node, 5, "gone", fenced=True),
    Left(PRIMARY.node, 5, "gone", fenced=False),
    Left(ME, 5, "gone", fenced=True),
    Left("no node", 0, "gone", fenced=True),
    Refused(STRANGER, "go away"),
    Hello(WORKER, 0.0),
    Welcome(PRIMARY, 0.0, 0.0, ("x",)),
    Changed(info("44", "near", settled=True)),
    Changed(STRANGER),
]


@given(st.lists(st.tuples(st.sampled_from([STRANGER, WORKER]), st.sampled_from(ODD)), max_size=8))
def test_odd_and_forged_words_change_nothing_that_matters(
    words: list[tuple[NodeInfo, ControlMessage]],
) -> None:
    one = One().joined(PRIMARY, WORKER)
    for teller, message in words:
        if teller is WORKER and isinstance(message, Left) and message.node == WORKER.node:
            continue  # its own to say
        one.hear(teller, message)
        one.wait(0.1)
    assert set(one.membership.peers) == {PRIMARY.node, WORKER.node}
    assert not one.fenced
    serious = (Evicted, NodeLost, Result, Counters)
    assert not [event for event in one.events if isinstance(event, serious)]
    received = [event.message for event in one.events if isinstance(event, Received)]
    assert not [message for message in received if isinstance(message, Command)]


def test_a_node_info_of_another_generation_than_the_frames_is_not_believed() -> None:
    one = One().joined()
    stale = info("44", generation=4)
    one.membership.receive(Origin(bytes.fromhex(stale.node), 5), Hello(stale, EPOCH), one.now)
    assert not one.membership.peers


def test_only_the_primary_declares_others_dead() -> None:
    one = One().joined(PRIMARY, WORKER)
    left = Left(WORKER.node, WORKER.generation, "no answer", fenced=True)
    one.hear(STRANGER, left)
    assert WORKER.node in one.membership.peers
    one.hear(PRIMARY, left)
    assert one.events == [NodeLost(WORKER.header, "no answer", died=True)]
    assert one.fenced == {WORKER.key}


def test_a_hello_that_was_overtaken_by_its_goodbye_lets_nobody_in_again() -> None:
    one = One().joined(PRIMARY)
    cookie = one.cookie_for(WORKER)
    one.hear(WORKER, Hello(WORKER, EPOCH))
    one.membership.link_up(one.now)
    nonce = one.said(Hello)[-1].nonce
    one.hear(WORKER, Left(WORKER.node, WORKER.generation, "it stopped", fenced=False))
    one.forget()
    for said in (Hello(WORKER, EPOCH, proof=cookie), Welcome(WORKER, EPOCH, EPOCH, (), (), nonce)):
        one.overhear(WORKER, said)
    assert set(one.membership.peers) == {PRIMARY.node}
    assert not one.sent


def test_a_node_in_whose_name_somebody_has_said_goodbye_proves_itself_again() -> None:
    one = One().joined(PRIMARY, WORKER)
    one.overhear(WORKER, Left(WORKER.node, WORKER.generation, "it stopped", fenced=False))
    one.overhear(WORKER, Changed(WORKER.header, WORKER.revision))
    assert set(one.membership.peers) == {PRIMARY.node}
    one.hear(WORKER, Hello(WORKER, EPOCH))
    assert set(one.membership.peers) == {PRIMARY.node, WORKER.node}


@pytest.mark.parametrize("by_link", [False, True], ids=["pause", "link"])
def test_a_claim_that_ran_out_while_the_judge_heard_nothing_is_not_decided(by_link: bool) -> None:
    one = One().joined(PRIMARY, WORKER)
    late = info("55", "far")
    one.hear(late, Hello(late, EPOCH))
    if by_link:
        one.membership.link_down()
        one.wait(10.0)
        one.membership.link_up(one.now)
    else:
        one.now += 10.0
    one.wait(1.0)
    assert WORKER.node in one.membership.peers
    assert not one.fenced
    one.hear(WORKER, Pong(one.said(Ping, WORKER)[-1].sequence, {}, 0.0))
    assert one.said(Refused, late)


def test_a_node_answers_a_ping_with_the_states_of_its_agents() -> None:
    one = One().joined(PRIMARY)
    one.hear(PRIMARY, Ping(7, 3.0))
    pong = Pong(7, {"near": ("running", 2)}, 1.5, EPOCH + one.now)
    assert one.said(Pong, PRIMARY) == [pong]


def test_a_primary_that_says_how_patient_to_be_is_missed_after_that() -> None:
    one = One().joined(PRIMARY)
    one.hear(PRIMARY, Ping(1, 3.0))
    one.hear(PRIMARY, Ping(0, 0.0))
    one.wait(2.9)
    assert not one.events
    one.wait(0.3)
    assert one.events == [NodeLost(PRIMARY, "its pings have stopped", died=True, final=False)]


def test_what_the_primary_hears_of_an_agent_it_tells() -> None:
    one = One("primary", process="supervisor").joined(WORKER)
    one.hear(WORKER, Crashed("far", 3, "ValueError", "no"))
    one.hear(WORKER, Pong(0, {"far": ("crashed", 3)}, 0.5))
    assert one.events == [
        Received(WORKER.header, Crashed("far", 3, "ValueError", "no")),
        Received(WORKER.header, Pong(0, {"far": ("crashed", 3)}, 0.5)),
    ]


def test_only_the_primary_commands() -> None:
    one = One().joined(PRIMARY, WORKER)
    one.hear(WORKER, Command(1, "stop", "near", 0))
    one.hear(PRIMARY, Command(2, "stop", "near", 0))
    assert one.events == [Received(PRIMARY, Command(2, "stop", "near", 0))]


def test_an_answer_counts_once_and_only_from_the_node_that_was_asked() -> None:
    other = info("55", settled=True)
    one = One("primary", process="supervisor").joined(WORKER, other)
    one.membership.call(WORKER.node, Command(1, "start", "far", 0), one.now)
    one.hear(other, Result(1, "", "RUNNING", 1))
    assert not one.events
    one.hear(WORKER, Result(1, "", 4))
    one.hear(WORKER, Result(1, "", 4))
    assert one.events == [Result(1, "", 4)]


def test_a_question_is_asked_again_until_it_is_withdrawn() -> None:
    other = info("55", settled=True)
    one = One("primary", process="supervisor").joined(other)
    one.membership.call(other.node, Query(1), one.now)
    one.wait(2.5)
    assert len(one.said(Query, other)) == 3
    one.membership.calls.withdraw(1)
    one.wait(2.0)
    assert len(one.said(Query, other)) == 3


def test_a_node_that_is_met_is_told_of_once() -> None:
    one = One().joined()
    for _ in range(3):
        one.hear(WORKER, Hello(WORKER, EPOCH + one.now))
    assert [event for event in one.events if isinstance(event, NodeSeen)] == [NodeSeen(WORKER)]
