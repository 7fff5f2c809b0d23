"""Pieces: a large message arrives whole however its pieces come, and what is kept has limits."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas._cluster.codec import LARGEST_FRAME, decode, encode
from civitas._cluster.pieces import (
    AGE,
    BEACONS,
    LARGEST_MESSAGE,
    LEAST_FRAME,
    OF_ALL,
    OF_ALL_BYTES,
    OF_ONE_NODE,
    Assembly,
    ControlCodec,
    split,
)
from civitas._cluster.protocol import Changed, Hello, Piece, Ping, Welcome
from civitas.envelope import Origin
from civitas.errors import CivitasError, FrameError
from core.cluster.one_node import info

ME, OTHER = Origin(b"\x44" * 8, 5), Origin(b"\x55" * 8, 5)
NODE = info("44", " ".join(f"agent{number}" for number in range(200)))
LARGE = Hello(NODE, 0.0)


class Reader:
    """Reads what comes, at a time that the test moves."""

    def __init__(self) -> None:
        self.codec = ControlCodec(OTHER)
        self.now = 0.0
        self.members: set[str] = {NODE.node}

    def read(self, *frames: bytes, to_everyone: bool = True) -> list[object]:
        read = [
            self.codec.read(each, self.now, self.is_member, self.proves, to_everyone=to_everyone)
            for each in frames
        ]
        return [said[1] for said in read if said is not None]

    def is_member(self, node: bytes) -> bool:
        return node[:8].hex() in self.members

    def proves(self, proof: bytes, node: bytes, now: float) -> bool:
        return proof == b"proof"


@given(largest=st.integers(LEAST_FRAME, 9_000), seed=st.integers(0, 1_000), twice=st.booleans())
def test_a_message_is_whole_again_in_whatever_order_its_pieces_come(
    largest: int, seed: int, twice: bool
) -> None:
    frames = ControlCodec(ME, largest).frames(LARGE)
    assert all(len(frame) <= largest for frame in frames)
    frames += frames[: len(frames) // 2 if twice else 0]
    random.Random(seed).shuffle(frames)
    assert Reader().read(*frames) == [LARGE]


def test_what_fits_a_frame_is_one() -> None:
    assert ControlCodec(ME, LEAST_FRAME).frames(Ping(1, 0.0)) == [encode(Ping(1, 0.0), ME)]
    assert len(ControlCodec(ME, 10**9).frames(LARGE)) == 1


def test_no_frame_is_larger_than_a_system_frame_whatever_the_transport_carries() -> None:
    many = info("44", " ".join(f"agent{number:06}" for number in range(50_000)))
    frames = ControlCodec(ME, 10**9).frames(Hello(many, 0.0))
    assert len(frames) > 1
    assert all(len(frame) <= LARGEST_FRAME for frame in frames)
    assert Reader().read(*frames) == [Hello(many, 0.0)]


def test_a_beacon_that_is_repeated_is_read_as_it_was_and_one_that_differs_as_it_is() -> None:
    beacons = [Changed(replace(NODE.header, revision=n), n) for n in (1, 1, 2, 1)]
    assert Reader().read(*(encode(each, ME) for each in beacons)) == beacons


def test_beacons_of_more_nodes_than_are_kept_are_read_all_the_same() -> None:
    nodes = [Origin(number.to_bytes(8), 5) for number in range(BEACONS + 1)]
    reader = Reader()
    for _ in range(2):
        read = reader.read(*(encode(Changed(NODE.header, 1), node) for node in nodes))
        assert len(read) == len(nodes)


def test_a_frame_above_the_limit_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(FrameError, match="bytes"):
        decode(encode(Piece(1, 0, 2, b"x" * LARGEST_FRAME), ME))


def test_two_messages_that_come_at_once_are_not_mixed() -> None:
    codec = ControlCodec(ME, LEAST_FRAME)
    other = Hello(NODE, 1.0)
    both = zip(codec.frames(LARGE), codec.frames(other), strict=True)
    assert Reader().read(*(frame for pair in both for frame in pair)) == [LARGE, other]


def test_a_message_without_one_of_its_pieces_never_is_and_the_next_one_comes() -> None:
    codec, reader = ControlCodec(ME, LEAST_FRAME), Reader()
    assert reader.read(*codec.frames(LARGE)[1:]) == []
    assert reader.read(*codec.frames(LARGE)) == [LARGE]


def test_the_pieces_of_a_stranger_are_not_kept_unless_it_has_proved_itself() -> None:
    codec, reader = ControlCodec(ME, LEAST_FRAME), Reader()
    reader.members = set()
    with pytest.raises(FrameError, match="has not proved itself"):
        reader.read(*codec.frames(LARGE))
    proved = replace(LARGE, proof=b"proof")
    assert reader.read(*codec.frames(proved)) == [proved]


def test_pieces_that_came_by_different_addresses_are_not_put_together() -> None:
    first, *others = ControlCodec(ME, LEAST_FRAME).frames(LARGE)
    reader = Reader()
    assert reader.read(first, to_everyone=False) == []
    assert reader.read(*others) == []


def test_the_rule_of_the_address_is_that_of_the_whole() -> None:
    frames = ControlCodec(ME, LEAST_FRAME).frames(Welcome(NODE, 0.0, 0.0, ()))
    with pytest.raises(FrameError, match="Welcome is not taken"):
        Reader().read(*frames)
    assert len(Reader().read(*frames, to_everyone=False)) == 1


@pytest.mark.parametrize("inner", ["another sender", "a piece", "no message"])
def test_pieces_of_what_is_no_message_of_their_sender_are_refused(inner: str) -> None:
    whole = {
        "another sender": encode(Changed(NODE), OTHER),
        "a piece": encode(Piece(1, 0, 1, b"x"), ME),
        "no message": b"x" * 100,
    }[inner]
    with pytest.raises(CivitasError):
        Reader().read(encode(Piece(1, 0, 1, whole), ME))


# --- limits ---------------------------------------------------------------------------------------


def take(
    assembly: Assembly, origin: Origin, piece: Piece, now: float = 0.0, *, member: bool = False
) -> bytes | None:
    return assembly.take(origin, piece, now, to_everyone=False, of_member=member)


@pytest.mark.parametrize(
    "piece",
    [
        Piece(1, 0, 0, b""),
        Piece(1, -1, 2, b""),
        Piece(1, 2, 2, b""),
        Piece(1, 0, 2**40, b""),
        Piece(1, 1, 3, b"x"),  # the first has said that they are two
    ],
)
def test_an_impossible_piece_ends_its_message(piece: Piece) -> None:
    assembly = Assembly()
    take(assembly, ME, Piece(1, 0, 2, b"x"))
    assert take(assembly, ME, piece) is None
    assert len(assembly) == assembly.size == 0


def test_an_unfinished_message_is_forgotten_after_a_while() -> None:
    assembly = Assembly()
    first, last = Piece(1, 0, 2, b"x"), Piece(1, 1, 2, b"y")
    take(assembly, ME, first)
    assert take(assembly, ME, last, AGE + 0.1) is None
    assert take(assembly, ME, first, AGE + 0.2) == b"xy"


def test_one_node_has_few_unfinished_messages_and_the_latest_are_kept() -> None:
    assembly = Assembly()
    for number in range(20):
        take(assembly, ME, Piece(number, 0, 2, b"x"))
    assert len(assembly) == OF_ONE_NODE
    assert take(assembly, ME, Piece(19, 1, 2, b"y")) == b"xy"


def test_a_message_larger_than_the_limit_is_forgotten_before_it_is_whole() -> None:
    assembly = Assembly()
    for piece in split(b"x" * (LARGEST_MESSAGE + LARGEST_FRAME), 1):
        assert take(assembly, ME, piece) is None
        assert assembly.size <= LARGEST_MESSAGE + LARGEST_FRAME


def test_strangers_make_no_node_forget_the_pieces_of_a_member() -> None:
    assembly = Assembly()
    take(assembly, ME, Piece(1, 0, 2, b"x"), member=True)
    for number in range(2 * OF_ALL):
        origin = Origin(number.to_bytes(8, "big"), 1)
        take(assembly, origin, Piece(1, 0, 2, b"x" * (LARGEST_FRAME - 200)))
        assert assembly.size <= OF_ALL_BYTES
        assert len(assembly) <= OF_ALL
    assert take(assembly, ME, Piece(1, 1, 2, b"y"), member=True) == b"xy"
