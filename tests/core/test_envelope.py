"""The frame: what goes in comes out, and nothing else comes in."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import envelope
from civitas.envelope import Envelope, Origin
from civitas.errors import FrameError

ORIGIN = Origin(b"\x01\x02\x03\x04\x05\x06\x07\x08", 42)

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255)
addresses = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
envelopes = st.builds(
    Envelope,
    kind=st.integers(0, 2),
    attempt=st.integers(0, 255),
    node=st.binary(min_size=8, max_size=8),
    generation=st.integers(0, 2**32 - 1),
    number=st.integers(0, 2**64 - 1),
    serializer=names,
    reply_to=addresses,
    body=st.binary(max_size=300),
)


def sealed(e: Envelope) -> bytes:
    return envelope.seal(
        e.body,
        e.serializer,
        Origin(e.node, e.generation),
        kind=e.kind,
        reply_to=e.reply_to,
        number=e.number,
        attempt=e.attempt,
    )


def test_the_layout_is_the_documented_one() -> None:
    frame = envelope.seal(
        b"BODY", "json", ORIGIN, kind=1, reply_to="_reply.é.7", number=9, attempt=3
    )
    reply_to = "_reply.é.7".encode()
    assert frame == (
        b"\xc1\x01\x01\x03"
        + ORIGIN.node
        + struct.pack(">IQ", 42, 9)
        + b"\x04json"
        + struct.pack(">H", len(reply_to))
        + reply_to
        + b"BODY"
    )


@given(envelopes)
def test_what_is_sealed_is_what_is_opened(e: Envelope) -> None:
    frame = sealed(e)
    assert envelope.open(frame) == e
    assert envelope.reply_to_of(frame) == e.reply_to
    assert envelope.is_frame(frame)


@given(envelopes, addresses)
def test_another_reply_address_changes_nothing_else(e: Envelope, reply_to: str) -> None:
    assert envelope.open(envelope.with_reply_to(sealed(e), reply_to)) == e._replace(
        reply_to=reply_to
    )


@given(envelopes, st.integers(0, 1000))
def test_another_attempt_changes_nothing_else_and_saturates(e: Envelope, attempt: int) -> None:
    assert envelope.open(envelope.with_attempt(sealed(e), attempt)) == e._replace(
        attempt=min(attempt, 255)
    )


@given(envelopes)
def test_a_header_truncated_at_any_length_is_no_frame(e: Envelope) -> None:
    frame = sealed(e)
    for length in range(len(frame) - len(e.body)):
        with pytest.raises(FrameError):
            envelope.open(frame[:length])


@given(envelopes, st.data())
def test_a_body_truncated_at_any_length_is_only_a_shorter_body(
    e: Envelope, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(e.body)))
    frame = sealed(e)
    assert envelope.open(frame[: len(frame) - cut]).body == e.body[: len(e.body) - cut]


@given(st.binary(max_size=200))
def test_random_bytes_are_a_frame_or_a_frame_error(data: bytes) -> None:
    for read in (
        envelope.open,
        envelope.reply_to_of,
        lambda frame: envelope.with_reply_to(frame, "x"),
        lambda frame: envelope.with_attempt(frame, 1),
    ):
        with contextlib.suppress(FrameError):
            assert read(data) is not None
    with contextlib.suppress(FrameError):
        assert sealed(envelope.open(data)) == data


@given(envelopes, st.data())
def test_one_wrong_byte_in_the_header_is_survived(e: Envelope, data: st.DataObject) -> None:
    frame = bytearray(sealed(e))
    at = data.draw(st.integers(0, len(frame) - len(e.body) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(FrameError):
        assert sealed(envelope.open(bytes(frame))) == frame


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, 0x92, "first byte"),
        (1, 2, "version 2"),
        (2, 3, "kind"),
        (24, 0, "empty"),
        (24, 255, "ends within"),
        (25, 0xFF, "not valid"),
    ],
)
def test_a_malformed_header_is_named(at: int, value: int, reason: str) -> None:
    frame = bytearray(envelope.seal(b"x", "json", ORIGIN, reply_to="r"))
    frame[at] = value
    with pytest.raises(FrameError, match=reason):
        envelope.open(bytes(frame))


def test_a_huge_claimed_length_takes_no_memory() -> None:
    frame = bytearray(envelope.seal(b"", "x", ORIGIN))
    frame[26:28] = b"\xff\xff"  # a reply address of 65,535 bytes that are not there
    tracemalloc.start()
    with pytest.raises(FrameError) as caught:  # a pattern would be compiled in here
        envelope.open(bytes(frame))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "ends within its reply address" in str(caught.value)
    assert peak < 20_000


@pytest.mark.parametrize(
    "fields",
    [
        {"serializer": ""},
        {"serializer": "ü"},
        {"serializer": "x" * 256},
        {"kind": 3},
        {"kind": -1},
        {"number": -1},
        {"number": 2**64},
        {"attempt": -1},
        {"reply_to": "x" * 65_536},
        {"reply_to": "\ud800"},
        {"origin": Origin(b"short", 1)},
        {"origin": Origin(b"12345678", 2**32)},
    ],
)
def test_values_that_do_not_fit_the_header_are_refused(fields: dict[str, object]) -> None:
    arguments = {"serializer": "json", "origin": ORIGIN} | fields
    with pytest.raises(FrameError):
        envelope.seal(b"", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("reply_to", ["x" * 65_536, "\ud800"])
def test_an_address_that_does_not_fit_is_refused_when_spliced(reply_to: str) -> None:
    with pytest.raises(FrameError):
        envelope.with_reply_to(envelope.seal(b"", "json", ORIGIN), reply_to)


@given(envelopes)
def test_who_waits_is_known_by_the_reply_address(e: Envelope) -> None:
    frame = sealed(e)
    assert envelope.names_reply_address(frame) == bool(e.reply_to)
    signed = frame[:2] + bytes((frame[2] | envelope.SIGNED,)) + frame[3:]
    assert envelope.names_reply_address(signed) == bool(e.reply_to)
    assert not envelope.names_reply_address(envelope.batch([frame]))


@given(st.binary(max_size=64))
def test_nobody_waits_by_bytes_that_are_too_few_for_a_frame(data: bytes) -> None:
    assert not envelope.names_reply_address(data[:26])
    envelope.names_reply_address(data)  # and others raise nothing, either
