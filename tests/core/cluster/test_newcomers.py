"""Membership: what a node waits for that is new, whose name another one may still have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from civitas._cluster.claims import Claims
from civitas._cluster.discovery import JOIN_TIMEOUT
from civitas._cluster.events import NodeLost, Received, Settled
from civitas._cluster.member_table import BoundedSet
from civitas._cluster.protocol import Admitted, Changed, Contested, Hello, Left, Welcome
from core.cluster.one_node import EPOCH, PRIMARY, WORKER, One, info


def test_a_newcomer_waits_as_long_as_it_is_found_out_whether_its_name_is_free() -> None:
    primary = One("primary", process="supervisor").joined(WORKER)
    newcomer = info("55", "far", process=WORKER.process)
    primary.hear(newcomer, Hello(newcomer, EPOCH + primary.now))
    assert primary.said(Contested, newcomer)
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Contested())
    one.wait(JOIN_TIMEOUT - 0.2)
    assert not one.membership.info.settled
    one.hear(PRIMARY, Welcome(PRIMARY, EPOCH + one.now, EPOCH + one.now, ()))
    one.membership.admit(PRIMARY.node, one.now)
    one.hear(PRIMARY, Admitted())
    assert one.membership.info.settled


def test_who_finds_it_out_and_goes_itself_is_not_waited_for_without_end() -> None:
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Contested())
    one.wait(JOIN_TIMEOUT + 0.2)
    assert one.membership.info.settled


def test_what_the_primary_knows_of_agents_that_are_done_comes_before_a_node_has_settled() -> None:
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Hello(PRIMARY, EPOCH + one.now))
    one.membership.admit(PRIMARY.node, one.now)
    one.hear(PRIMARY, Admitted(("near",)))
    kinds = [type(event) for event in one.events if isinstance(event, Received | Settled)]
    assert kinds == [Received, Settled]
    one.hear(WORKER, Hello(WORKER, EPOCH + one.now))
    one.forget()
    one.hear(WORKER, Admitted(("near",)))
    assert not one.events


@pytest.mark.parametrize("how", ["it takes a name of it", "its goodbye", "the primary's word"])
def test_a_silent_node_that_will_not_come_back_is_given_up(how: str) -> None:
    one = One().joined(PRIMARY, WORKER)
    members, silent = one.membership.members, one.membership.peers[WORKER.node]
    members.remove(silent, "silent", died=True, may_return=True)
    one.forget()
    if how == "its goodbye":
        one.hear(WORKER, Left(WORKER.node, WORKER.generation, how, fenced=False))
    elif how == "the primary's word":
        one.hear(PRIMARY, Left(WORKER.node, WORKER.generation, how, fenced=True))
    else:
        newcomer = info("55", "far")
        one.hear(newcomer, Hello(newcomer, EPOCH + one.now))
    (lost,) = [event for event in one.events if isinstance(event, NodeLost)]
    assert (lost.info.node, lost.final) == (WORKER.node, True)
    assert lost.died == (how != "its goodbye")
    assert not members.missing


def test_a_silent_node_whose_successor_is_in_already_is_given_up_at_once() -> None:
    one = One().joined(PRIMARY, WORKER)
    leaving = replace(WORKER, leaving=True, revision=WORKER.revision + 1)
    one.hear(WORKER, Changed(leaving, WORKER.revision))
    successor = info("55", "far")
    one.hear(successor, Hello(successor, EPOCH + one.now))
    members = one.membership.members
    members.remove(one.membership.peers[WORKER.node], "silent", died=True, may_return=True)
    assert not members.missing
    assert WORKER.key in one.fenced
    assert [event.final for event in one.events if isinstance(event, NodeLost)] == [True]


def test_a_primary_says_with_its_welcome_which_agents_are_done_though_its_loop_is_blocked() -> None:
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Welcome(PRIMARY, EPOCH + one.now, EPOCH + one.now, (), ("near",)))
    one.wait(JOIN_TIMEOUT + 0.2)
    kinds = [type(event) for event in one.events if isinstance(event, Received | Settled)]
    assert kinds == [Received, Settled]


def test_each_welcome_says_which_agents_are_done_also_to_a_member_whose_hello_names_none() -> None:
    """One that got a dead node's name becomes a member before it hears a welcome."""
    one = One(role="primary", process="supervisor").joined(WORKER)
    one.done.add("far")
    one.overhear(WORKER, Hello(WORKER.header, EPOCH + one.now))
    [welcome] = one.said(Welcome, WORKER)
    assert welcome.done == ("far",)


# --- what is remembered ---------------------------------------------------------------------------


def test_a_claim_is_probed_repeatedly_and_a_prolonged_one_waits() -> None:
    claims = Claims()
    claims.add(info("55"), b"nonce", WORKER.node, 0.0)
    claims.add(info("55"), b"nonce", WORKER.node, 1.0)
    (first,) = claims.to_probe(0.0)
    assert first[0] == WORKER.node
    assert claims.to_probe(0.1) == []
    assert claims.to_probe(0.2) == [first]
    claims.prolong(9.0)
    assert not claims.unanswered(2.0)
    assert [claim.holder for claim in claims.unanswered(9.0)] == [WORKER.node]
    assert not claims


def test_only_the_latest_keys_are_kept() -> None:
    keys = {b"old"}
    latest = BoundedSet(keys, limit=2)
    for key in (b"a", b"a", b"b"):
        latest.add(key)
    assert keys == {b"a", b"b"}
    assert b"a" in latest
    assert b"old" not in latest
