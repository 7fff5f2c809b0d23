"""Intruders that join in order, listen, and wait: what they say then ends nobody either."""

from __future__ import annotations

from dataclasses import replace

import pytest

from civitas._cluster import member_table
from civitas._cluster.codec import decode, encode
from civitas._cluster.drop_reports import SHOWN, WAITING, DropReports
from civitas._cluster.events import Evicted, Impersonated, NodeLost
from civitas._cluster.pieces import ControlCodec
from civitas._cluster.protocol import (
    Admitted,
    Changed,
    Fenced,
    Hello,
    Left,
    Missed,
    Piece,
    Refused,
    Welcome,
)
from civitas.envelope import Origin
from civitas.errors import DeserializationError, FrameError
from core.cluster.one_node import EPOCH, PRIMARY, WORKER, One, info
from core.cluster.simulation import three
from core.cluster.test_strangers import WATCHED, settled

MEMBER = Origin(bytes.fromhex(WORKER.node), WORKER.generation)


@pytest.mark.parametrize("role", ["primary", "worker"])
def test_nobody_doubts_itself_since_an_intruder_falls_silent(role: str) -> None:
    friend = WATCHED if role == "primary" else PRIMARY
    one = settled(friend, role=role)
    first, second = info("55", "x", process="first"), info("66", "x", process="second")
    for each in (first, second):
        one.hear(each, Hello(each, EPOCH, b"nonce"))
    one.wait(2.0)  # the first one does not answer, and the second one takes its name
    assert set(one.membership.peers) == {friend.node, second.node}
    one.overhear(second, Fenced("you are superseded"))
    one.hear(second, Refused(replace(second, agents={"near": ("RUNNING", 0)}), "I am older"))
    assert not [event for event in one.events if isinstance(event, Evicted)]


@pytest.mark.parametrize("word", [Refused(info("55"), "taken"), Fenced("superseded")])
def test_who_joins_is_not_ended_by_a_listener_when_the_primary_lets_it_in(
    word: Refused | Fenced,
) -> None:
    one = One()
    one.membership.join(one.now)
    one.hear(info("55"), replace(word, proof=one.nonce))
    one.hear(PRIMARY, Welcome(PRIMARY, EPOCH + one.now, EPOCH + one.now, ()))
    one.membership.admit(PRIMARY.node, one.now)
    one.hear(PRIMARY, Admitted())
    one.wait(3.5)
    assert one.membership.info.settled
    assert not [event for event in one.events if isinstance(event, Evicted)]


def test_who_joins_is_refused_by_those_whom_the_primary_knows() -> None:
    holder = info("55", "near", settled=True)
    one = One()
    one.membership.join(one.now)
    one.hear(PRIMARY, Welcome(PRIMARY, EPOCH + one.now, EPOCH + one.now, (holder.node,)))
    one.hear(holder, Refused(holder, "taken"))
    assert one.events[-1] == Evicted("taken", fenced=False)


@pytest.mark.parametrize("victim", ["A", "P"])
def test_a_goodbye_in_the_name_of_a_node_that_lives_does_not_keep_it_out(victim: str) -> None:
    system, *nodes = three()
    lives = system.nodes[victim]
    goodbye = Left(lives.id, lives.origin.generation, "it stopped", fenced=False)
    frame = encode(goodbye, lives.origin)
    for node in nodes:
        node.take(frame, to_everyone=True)
    assert lives.heard(Impersonated)
    system.run(2.0)
    for node in nodes:
        assert node.knows == {"P", "A", "B"} - {node.label}
        assert not node.heard(Evicted)


def test_what_a_primary_says_of_others_is_no_goodbye_of_its_own() -> None:
    system, primary, worker, _ = three()
    worker.kill()
    system.run(5.0)
    said = [frame for _, who, _, frame in system.said if who == "P"]
    left = next(each for each in reversed(said) if isinstance(decode(each)[1], Left))
    primary.take(left, to_everyone=True)
    assert not primary.heard(Impersonated)


def test_a_goodbye_that_only_one_node_hears_heals_by_beacons() -> None:
    system, primary, worker, _ = three()
    goodbye = Left(worker.id, worker.origin.generation, "it stopped", fenced=False)
    primary.take(encode(goodbye, worker.origin), to_everyone=True)
    assert "A" not in primary.knows
    system.run(5.0)
    assert "A" in primary.knows


def test_the_nonce_that_all_hear_lets_nobody_in() -> None:
    one = One().joined(PRIMARY)
    one.overhear(WORKER, Hello(WORKER, EPOCH, b"nonce", one.nonce))
    assert WORKER.node not in one.membership.peers


@pytest.mark.parametrize("node", ["AB" * 8, " ab" * 4, "ab" * 7, "ab" * 9, "zz" * 8])
def test_a_node_id_is_written_in_one_way(node: str) -> None:
    with pytest.raises(DeserializationError):
        decode(encode(Changed(replace(WORKER, node=node)), MEMBER))
    with pytest.raises(DeserializationError, match="200 characters"):
        decode(encode(Changed(replace(WORKER, process="x" * 201)), MEMBER))


def test_members_that_nobody_can_reach_make_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(member_table, "LIMIT", 3)
    one = settled(PRIMARY)
    ghosts = [info(f"5{number}", process=f"ghost {number}") for number in range(2)]
    for ghost in ghosts:
        one.hear(ghost, Hello(ghost, EPOCH))
    one.hear(WORKER, Hello(WORKER, EPOCH))
    assert WORKER.node not in one.membership.peers, "they have only just come"
    for _ in range(6):
        one.wait(1.0)
        one.hear(PRIMARY, Changed(PRIMARY, PRIMARY.revision))
    one.hear(WORKER, Hello(WORKER, EPOCH))
    assert WORKER.node in one.membership.peers
    (lost,) = [event for event in one.events if isinstance(event, NodeLost)]
    assert lost.info.node == ghosts[0].node


def test_who_asks_again_and_again_is_told_all_only_now_and_then() -> None:
    one = settled(PRIMARY, WORKER)
    for _ in range(50):
        one.overhear(WORKER, Missed(0))
        one.overhear(WORKER, Hello(WORKER.header, EPOCH, b"nonce"))
    answers = [message for _, message in one.sent if isinstance(message, Changed | Welcome)]
    assert len(answers) == 1


def test_a_refusal_has_no_more_agents_than_the_one_that_is_contested() -> None:
    one = One(agents=" ".join(f"agent{number}" for number in range(500))).joined(PRIMARY)
    late = info("55", "agent7 agent8")
    one.hear(late, Hello(late, EPOCH))
    assert set(one.said(Refused, late)[0].info.agents) == {"agent7"}


def stranger(*_: object) -> bool:
    return False


def test_beacons_of_strangers_and_large_ones_are_not_kept() -> None:
    codec = ControlCodec(Origin(b"\x55" * 8, 5))
    frames = [encode(Changed(replace(WORKER.header, process=name)), MEMBER) for name in ("a", "b")]
    for is_member, kept in ((stranger, False), (bool, True)):
        first, second = (
            codec.read(frame, 0.0, is_member, stranger, to_everyone=True)
            for frame in (frames[0], frames[0])
        )
        assert first is not None
        assert second is not None
        assert (first[1] is second[1]) == kept


def test_the_pieces_of_a_member_are_those_of_its_generation() -> None:
    codec = ControlCodec(Origin(b"\x55" * 8, 5))
    piece = encode(Piece(1, 0, 2, b"x"), Origin(MEMBER.node, MEMBER.generation + 1))
    one = One().joined(PRIMARY, WORKER)
    membership = one.membership
    with pytest.raises(FrameError, match="has not proved itself"):
        codec.read(piece, 0.0, membership.members.is_member, membership.proves, to_everyone=False)


def test_what_is_dropped_while_the_loop_is_blocked_is_counted_and_takes_no_memory() -> None:
    calls: list[tuple[object, ...]] = []
    dropped: list[tuple[str, bytes]] = []
    reports = DropReports(lambda *call: calls.append(call), lambda *each: dropped.append(each))
    for _ in range(3 * WAITING):
        reports.drop("malformed", b"x" * 1_000_000)
    assert len(calls) == WAITING
    for tell, *told in calls:
        tell(*told)  # type: ignore[operator]
    assert len(dropped) == 3 * WAITING
    assert max(len(frame) for _, frame in dropped) == SHOWN
    reports.drop("malformed", b"y")
    assert len(calls) == WAITING + 1
