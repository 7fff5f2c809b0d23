"""Strangers, and members that say more than they may: nobody is let in, or ended, by a word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from civitas._cluster import member_table
from civitas._cluster.codec import encode
from civitas._cluster.discovery import UNCERTAIN, YOUNG
from civitas._cluster.events import Evicted, NodeLost, NodeSeen, Objected
from civitas._cluster.protocol import (
    Challenge,
    Changed,
    Contested,
    ControlMessage,
    Fenced,
    Hello,
    Left,
    NodeInfo,
    Ping,
    Refused,
    Welcome,
    control_address,
)
from civitas.envelope import Origin
from core.cluster.one_node import EPOCH, ME, PRIMARY, WORKER, One, info

STRANGER = info("77")
WATCHED = info("44", "distant", settled=True)
"""A worker that a primary pings every five seconds."""

WORDS = [
    Hello(STRANGER, 0.0, b"nonce"),
    Hello(STRANGER, 0.0, b"nonce", b"a guess"),
    Changed(STRANGER),
    Ping(1, 1.0),
    Welcome(STRANGER, 0.0, 0.0, ()),
    Contested(),
    Challenge(b"cookie", b"a guess"),
    Refused(STRANGER, "no"),
    Fenced("no"),
    Left(STRANGER.node, STRANGER.generation, "it stopped", fenced=False),
]


def settled(*others: NodeInfo, role: str = "worker") -> One:
    """A node that has been in touch with these for long."""
    one = One(role, process="supervisor" if role == "primary" else "mine").joined(*others)
    for _ in range(int(YOUNG) + 5):
        one.wait(1.0)
        for other in others:
            one.hear(other, Changed(other.header, other.revision))
        if PRIMARY in others:
            one.hear(PRIMARY, Ping(1, 3.0))
        one.hear_pings()
    one.forget()
    return one


@pytest.mark.parametrize("word", WORDS, ids=lambda each: type(each).__name__)
def test_what_strangers_say_is_answered_by_less_than_a_frame_and_nothing_is_kept(
    word: ControlMessage,
) -> None:
    one = One(agents=" ".join(f"agent{n}" for n in range(1000))).joined(PRIMARY)
    members = one.membership.members
    for number in range(1, 2000):
        node = number.to_bytes(8, "big").hex()
        said = word
        if isinstance(word, Hello | Changed | Welcome | Refused):
            said = replace(word, info=replace(word.info, node=node))
        elif isinstance(word, Left):
            said = replace(word, node=node)
        one.overhear(replace(STRANGER, node=node), said)
    assert set(one.membership.peers) == {PRIMARY.node}
    kept = [members.claims, members.missing, members.departed, one.fenced, one.events]
    assert not any(kept)
    assert len(one.sent) < 2000
    mine = Origin(bytes.fromhex(ME), 5)
    assert all(len(encode(message, mine)) < 400 for _, message in one.sent)


def test_a_newcomer_is_let_in_when_it_has_shown_that_it_hears_what_is_said_to_it() -> None:
    one = One().joined(PRIMARY)
    one.overhear(WORKER, Hello(WORKER.header, EPOCH, b"nonce"))
    (challenge,) = one.said(Challenge, WORKER)
    assert challenge.proof == b"nonce"
    one.overhear(WORKER, Hello(WORKER, EPOCH, b"nonce", challenge.cookie))
    assert NodeSeen(WORKER) in one.events
    assert one.said(Welcome, WORKER)[0].proof == b"nonce"


def test_a_challenge_is_answered_when_it_repeats_what_this_node_has_said() -> None:
    one = One()
    one.membership.join(one.now)
    nonce = one.said(Hello)[0].nonce
    one.overhear(WORKER, Challenge(b"cookie", b"other"))
    assert not one.said(Hello, WORKER)
    one.overhear(WORKER, Challenge(b"cookie", nonce))
    (hello,) = one.said(Hello, WORKER)
    assert (hello.proof, set(hello.info.agents)) == (b"cookie", {"near"})


@pytest.mark.parametrize("role", ["worker", "primary"])
def test_a_node_in_touch_gives_way_to_no_claim_however_old_and_refuses_it(role: str) -> None:
    one = settled(PRIMARY if role == "worker" else WATCHED, role=role)
    older = info("11", "near", generation=0, settled=True)
    one.hear(older, Refused(older, "I am older", b"nonce"))
    assert not [event for event in one.events if isinstance(event, Evicted)]
    assert one.said(Refused, older)[0].proof == b"nonce"
    assert [event for event in one.events if isinstance(event, Objected)]


@pytest.mark.parametrize("why", ["it has just settled", "its link was lost", "no primary"])
def test_a_node_that_may_have_been_cut_off_gives_way_to_an_older_one(why: str) -> None:
    one = One().joined(PRIMARY) if why == "it has just settled" else settled(PRIMARY)
    if why == "its link was lost":
        one.membership.link_down()
        one.membership.link_up(one.now)
    elif why == "no primary":
        one.hear(PRIMARY, Left(PRIMARY.node, PRIMARY.generation, "it stopped", fenced=False))
    older = info("11", "near", generation=0, settled=True)
    one.hear(older, Refused(older, "I am older"))
    assert Evicted("I am older", fenced=False) in one.events


def test_where_messages_are_authenticated_the_older_of_two_settled_nodes_stays() -> None:
    one = settled(PRIMARY)
    assert not one.membership.proves(b"", WORKER.key, one.now)
    keyed = One(authenticated=True).joined(PRIMARY)
    keyed.wait(YOUNG)
    older = info("11", "near", generation=0, settled=True)
    keyed.hear(older, Refused(older, "I am older"))
    assert Evicted("I am older", fenced=False) in keyed.events


def test_a_member_fences_nobody_who_is_in_touch_but_the_primary_does() -> None:
    one = settled(PRIMARY, WORKER)
    one.hear(WORKER, Fenced("go"))
    assert not one.events
    one.hear(PRIMARY, Fenced("go"))
    assert one.events == [Evicted("go", fenced=True)]


def test_a_node_that_stood_still_believes_those_whom_it_knows_that_it_was_superseded() -> None:
    one = settled(PRIMARY, WORKER)
    one.now += 10.0
    one.hear(WORKER, Fenced("you were silent"))
    assert Evicted("you were silent", fenced=True) in one.events


def test_the_doubt_of_a_node_ends() -> None:
    one = settled(WATCHED, role="primary")
    one.membership.link_up(one.now)
    end = one.now + UNCERTAIN
    while one.now < end:
        one.wait(0.5)
        one.hear_pings()
    one.forget()
    one.hear(WORKER, Fenced("go"))
    assert not one.events


def test_there_is_one_primary() -> None:
    one = settled(WATCHED, role="primary")
    second = info("11", process="another", role="primary")
    one.hear(second, Hello(second, EPOCH))
    assert "has a primary" in one.said(Refused, second)[0].reason
    assert set(one.membership.peers) == {WATCHED.node}
    worker = settled(PRIMARY)
    worker.hear(second, Hello(second, EPOCH))
    worker.wait(0.1)
    assert worker.said(Contested, second)
    assert worker.said(Ping, PRIMARY)
    assert worker.membership.members.primary is worker.membership.peers[PRIMARY.node]


def test_a_member_gets_no_name_of_another_by_announcing_it() -> None:
    other = info("55", "other", settled=True)
    one = settled(PRIMARY, WORKER, other)
    grown = info("55", "other far", settled=True, revision=9)
    one.hear(other, Changed(grown, 0))
    assert not one.events
    assert set(one.membership.peers[other.node].agents) == {"other"}


def test_a_member_does_not_become_the_primary_by_saying_so() -> None:
    one = settled(WORKER)
    head = replace(WORKER, role="primary", revision=9)
    for said in (Changed(head), Hello(head, EPOCH), Welcome(head, EPOCH, EPOCH, ())):
        one.hear(WORKER, said)
    assert one.membership.members.primary is None


def test_a_node_id_under_another_generation_is_a_strangers() -> None:
    one = settled(PRIMARY, WORKER)
    false = replace(PRIMARY, generation=PRIMARY.generation + 1)
    one.hear(false, Left(WORKER.node, WORKER.generation, "gone", fenced=True))
    one.hear(false, Hello(false, EPOCH))
    assert not [event for event in one.events if isinstance(event, NodeLost)]
    assert one.membership.peers[PRIMARY.node].info == PRIMARY


def test_a_full_system_says_so_to_who_wants_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_table, "LIMIT", 2)
    one = settled(PRIMARY, WORKER)
    late = info("55")
    one.hear(late, Hello(late, EPOCH))
    assert "nodes" in one.said(Refused, late)[0].reason
    one.hear(late, Welcome(late, EPOCH, EPOCH, ()))
    assert late.node not in one.membership.peers
    assert control_address(late.node) in {address for address, _ in one.sent}
