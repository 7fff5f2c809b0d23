"""Signals: every one survives the wire, and nothing else is taken for one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import envelope
from civitas._cluster.codec import decode, encode
from civitas._cluster.protocol import (
    Admitted,
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
    NodeInfo,
    Piece,
    Ping,
    Pong,
    Query,
    Refused,
    Result,
    Welcome,
)
from civitas.envelope import KIND_MESSAGE, KIND_SYSTEM, Origin
from civitas.errors import DeserializationError, FrameError
from civitas.messages import name_problem

ORIGIN = Origin(b"\x01" * 8, 7)

TEXT = st.text(max_size=20)
WHOLE = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NODE = st.binary(min_size=8, max_size=8).map(bytes.hex)
GENERATION = st.integers(0, 2**32 - 1)
NAME = TEXT.filter(lambda text: name_problem(text) is None)
AGENTS = st.dictionaries(NAME, st.tuples(TEXT, WHOLE), max_size=4)
FLAG = st.booleans()
CARD = st.builds(NodeInfo, NODE, GENERATION, TEXT, TEXT, AGENTS, FLAG, FLAG, WHOLE)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SIGNAL: st.SearchStrategy[ControlMessage] = st.one_of(
    st.builds(Hello, CARD, FINITE),
    st.builds(Welcome, CARD, FINITE, FINITE, st.lists(TEXT, max_size=4).map(tuple)),
    st.builds(Admitted, st.lists(TEXT, max_size=4).map(tuple)),
    st.just(Contested()),
    st.builds(Refused, CARD, TEXT),
    st.builds(Fenced, TEXT),
    st.builds(Ping, WHOLE, FINITE),
    st.builds(Pong, WHOLE, AGENTS, FINITE),
    st.builds(Changed, CARD, WHOLE),
    st.builds(Missed, WHOLE),
    st.builds(Piece, WHOLE, WHOLE, WHOLE, st.binary(max_size=20)),
    st.builds(Left, NODE, GENERATION, TEXT, st.booleans()),
    st.builds(Crashed, TEXT, WHOLE, TEXT, TEXT, st.booleans()),
    st.builds(Command, WHOLE, TEXT, TEXT, WHOLE),
    st.builds(Result, WHOLE, TEXT, TEXT, WHOLE),
    st.builds(Query, WHOLE),
    st.builds(Counters, WHOLE, st.dictionaries(TEXT, JSON, max_size=3)),
)

CARD_FIELDS: dict[str, Any] = {
    "node": "01" * 8,
    "generation": 7,
    "process": "p",
    "role": "worker",
    "agents": {"a": ["running", 0]},
    "settled": True,
    "leaving": False,
}


def framed(body: bytes, kind: int = KIND_SYSTEM, serializer: str = "msgpack") -> bytes:
    return envelope.seal(body, serializer, ORIGIN, kind=kind)


def signal_of(name: object, fields: object) -> bytes:
    return framed(msgpack.packb([name, fields]))


def refused(frame: bytes) -> None:
    """Decode what must fail, with nothing but the two errors that say so."""
    with pytest.raises((DeserializationError, FrameError)):
        decode(frame)


def survived(frame: bytes) -> None:
    """Decode what may fail, but only in the one way."""
    try:
        decode(frame)
    except (DeserializationError, FrameError):
        return


@given(SIGNAL)
def test_a_message_arrives_as_it_was_sent(message: ControlMessage) -> None:
    assert decode(encode(message, ORIGIN)) == (ORIGIN, message)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(noise: bytes) -> None:
    survived(noise)
    survived(framed(noise))


@given(SIGNAL, st.data())
def test_a_message_that_was_cut_short_or_garbled_is_survived(
    message: ControlMessage, data: st.DataObject
) -> None:
    frame = encode(message, ORIGIN)
    refused(frame[: data.draw(st.integers(0, len(frame) - 1))])
    at = data.draw(st.integers(0, len(frame) - 1))
    survived(frame[:at] + bytes([data.draw(st.integers(0, 255))]) + frame[at + 1 :])


@given(JSON, JSON)
def test_any_values_in_a_messages_place_are_survived(name: object, fields: object) -> None:
    survived(signal_of(name, fields))
    survived(signal_of("Hello", fields))
    survived(framed(msgpack.packb(fields)))


@pytest.mark.parametrize("name", ["Nothing", "", "hello", 3, None, ["Hello"], {}, "__class__"])
def test_an_unknown_message_is_refused(name: object) -> None:
    refused(signal_of(name, {}))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Ping", {"sequence": 1}),
        ("Ping", {"sequence": "1", "patience": 1.0}),
        ("Ping", {"sequence": True, "patience": 1.0}),
        ("Ping", {"sequence": 1.0, "patience": 1.0}),
        ("Ping", {"sequence": 1, "patience": "soon"}),
        ("Ping", {"sequence": 1, "patience": math.nan}),
        ("Ping", {"sequence": 1, "patience": math.inf}),
        ("Ping", [1, 2.0]),
        ("Left", {"node": "00", "generation": 1, "reason": "r", "fenced": 1}),
        ("Counters", {"number": 1, "counters": []}),
        ("Pong", {"sequence": 1, "agents": {"a": "up"}, "stalled": 0.0}),
        ("Pong", {"sequence": 1, "agents": {"a": ["up", "0"]}, "stalled": 0.0}),
        ("Pong", {"sequence": 1, "agents": {"_agency.x": ["up", 0]}, "stalled": 0.0}),
        ("Hello", {"info": None, "clock": 1.0}),
        ("Hello", {"info": {}, "clock": 1.0}),
    ],
)
def test_fields_of_the_wrong_shape_are_refused(name: str, fields: object) -> None:
    refused(signal_of(name, fields))


@pytest.mark.parametrize(
    "change",
    [
        {"node": "01"},
        {"node": "zz" * 8},
        {"node": " 01" * 8},
        {"node": 1},
        {"generation": -1},
        {"generation": 2**32},
        {"generation": "7"},
        {"process": None},
        {"agents": {"": ["running", 0]}},
        {"agents": {"with space": ["running", 0]}},
        {"agents": {"a": ["running"]}},
        {"agents": ["a"]},
        {"settled": 1},
    ],
)
def test_a_node_info_that_no_node_could_have_is_refused(change: dict[str, Any]) -> None:
    whole = signal_of("Changed", {"info": CARD_FIELDS})
    assert isinstance(decode(whole)[1], Changed)
    refused(signal_of("Changed", {"info": {**CARD_FIELDS, **change}}))


EXTENSIONS = [msgpack.ExtType(5, b""), msgpack.ExtType(5, b"x"), msgpack.Timestamp(1)]


@pytest.mark.parametrize("extension", EXTENSIONS, ids=repr)
def test_extension_types_of_msgpack_are_refused(extension: object) -> None:
    refused(signal_of("Ping", {"sequence": 1, "patience": extension}))
    refused(signal_of("Counters", {"number": 1, "counters": {"a": [extension]}}))


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a"])
def test_endless_nesting_is_refused(opening: bytes) -> None:
    refused(framed(opening * 100_000 + b"\xc0"))
    head = b"\x92" + msgpack.packb("Counters") + b"\x82" + msgpack.packb("number") + b"\x01"
    refused(framed(head + msgpack.packb("counters") + opening * 100_000 + b"\xc0"))


@pytest.mark.parametrize(
    "frame",
    [
        lambda body: framed(body, kind=KIND_MESSAGE),
        lambda body: framed(body, serializer="json"),
        lambda body: body,
        lambda body: framed(body + b"\x00"),
    ],
)
def test_only_a_system_frame_in_msgpack_carries_a_message(frame: Callable[[bytes], bytes]) -> None:
    body = msgpack.packb(["Admitted", {}])
    assert decode(framed(body))[1] == Admitted()
    refused(frame(body))


def test_a_newer_node_may_tell_more_than_is_understood() -> None:
    fields = {"sequence": 1, "patience": 2.0, "mood": "good"}
    assert decode(signal_of("Ping", fields))[1] == Ping(1, 2.0)


def test_an_older_node_does_not_tell_whether_a_message_was_given_again() -> None:
    fields = {"agent": "a", "incarnation": 1, "error_type": "ValueError", "error_text": "no"}
    told = Crashed("a", 1, "ValueError", "no", redelivered=True)
    assert decode(signal_of("Crashed", fields))[1] == Crashed("a", 1, "ValueError", "no")
    assert decode(encode(told, ORIGIN))[1] == told


def test_a_crash_is_told_even_if_its_text_is_no_unicode() -> None:
    _, crash = decode(encode(Crashed("a", 1, "ValueError", "bad \ud800 text"), ORIGIN))
    assert crash == Crashed("a", 1, "ValueError", "bad \\ud800 text")
