"""Authority: each message has one rule: about whom, at which address, believed from whom."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from civitas._cluster.authority import RULES, Address, Speaker, believed, taken
from civitas._cluster.protocol import (
    Admitted,
    Challenge,
    Changed,
    Command,
    Contested,
    ControlMessage,
    Counters,
    Crashed,
    Fenced,
    Hello,
    Left,
    Missed,
    Ping,
    Pong,
    Query,
    Refused,
    Result,
    Welcome,
)
from core.cluster.one_node import PRIMARY, WORKER, info

STRANGER = info("77")


def speaker(role: str | None = None, *, missing: bool = False) -> Speaker:
    agents = {"far"} if role else set()
    process = WORKER.process if role else None
    return Speaker(WORKER.node, WORKER.key, role, missing, process=process, agents=agents)


ANYONE = speaker()
PROVED = ANYONE._replace(proved=True)
MISSING = speaker(missing=True)
MEMBER = speaker("worker")
HEAD = Speaker(PRIMARY.node, PRIMARY.key, "primary", process="supervisor")

BY_PROOF = [Hello(WORKER, 0.0), Welcome(WORKER, 0.0, 0.0, ()), Refused(WORKER, "taken")]
OF_MEMBERS = [
    Admitted(),
    Missed(1),
    Pong(1, {}, 0.0),
    Crashed("far", 1, "E", "t"),
    Query(1),
    Result(1, ""),
    Counters(1, {}),
]


def test_each_message_has_one_rule() -> None:
    assert set(RULES) == set(get_args(ControlMessage))


@pytest.mark.parametrize("message", BY_PROOF, ids=lambda each: type(each).__name__)
def test_a_stranger_is_believed_by_a_proof_only(message: ControlMessage) -> None:
    assert believed(message, PROVED)
    assert not believed(message, ANYONE)
    assert not believed(message, MISSING)


@pytest.mark.parametrize("message", [*BY_PROOF, Changed(WORKER)], ids=lambda m: type(m).__name__)
def test_a_node_speaks_of_itself_only_and_stays_what_it_is(message: ControlMessage) -> None:
    assert believed(message, MEMBER)
    assert not believed(message, HEAD)
    assert not believed(message, MEMBER._replace(key=info("44", generation=4).key))
    assert not believed(message, MEMBER._replace(role="client"))
    assert not believed(message, MEMBER._replace(process="another"))


@pytest.mark.parametrize("message", [Challenge(b"c", b"p"), Contested(b"p")])
def test_what_makes_a_node_speak_or_wait_needs_a_proof(message: ControlMessage) -> None:
    assert believed(message, PROVED)
    assert not believed(message, ANYONE)
    assert not believed(message, MISSING)


def test_a_node_speaks_only_of_agents_that_it_has_announced() -> None:
    for message in (Pong(1, {"near": ("crashed", 9)}, 0.0), Crashed("near", 9, "E", "t")):
        assert not believed(message, MEMBER)
        assert believed(message, MEMBER._replace(agents={"far", "near"}))


@pytest.mark.parametrize("message", OF_MEMBERS, ids=lambda each: type(each).__name__)
def test_what_members_say_is_believed_of_no_other_node(message: ControlMessage) -> None:
    assert believed(message, MEMBER)
    assert not believed(message, ANYONE)
    assert not believed(message, MISSING)


def test_only_the_primary_commands_and_only_it_says_that_another_node_has_gone() -> None:
    for message in (Command(1, "stop", "near", 0), Left(STRANGER.node, 5, "gone", fenced=True)):
        assert believed(message, HEAD)
        assert not believed(message, MEMBER)
        assert not believed(message, ANYONE)
    goodbye = Left(WORKER.node, 5, "it stopped", fenced=False)
    assert [believed(goodbye, each) for each in (MEMBER, MISSING, ANYONE)] == [True, True, False]
    assert not believed(replace(goodbye, fenced=True), MEMBER), "nobody fences itself"


def test_every_member_may_want_an_agent_restarted_and_nobody_else() -> None:
    wanted = Command(1, "restart", "near", 0)
    assert [believed(wanted, each) for each in (HEAD, MEMBER, MISSING, ANYONE, PROVED)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not taken(wanted, to_everyone=True)


def test_a_node_is_fenced_by_one_that_it_knows_or_knew() -> None:
    assert [believed(Fenced("no"), each) for each in (MEMBER, MISSING, ANYONE)] == [
        True,
        True,
        False,
    ]


def test_what_concerns_one_node_is_taken_at_its_own_address_only() -> None:
    to_all = {kind.__name__ for kind, rule in RULES.items() if rule.taken_at is not Address.OWN}
    assert to_all == {"Hello", "Changed", "Left", "Piece"}
    assert taken(Ping(1, 0.0), to_everyone=False)
    assert not taken(Ping(1, 0.0), to_everyone=True)
    assert not taken(Left(WORKER.node, 5, "gone", fenced=False), to_everyone=False)
