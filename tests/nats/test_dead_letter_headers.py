"""Headers of dead letters: what is written, and what is read, whoever has written it."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.transport import KeptMessage
from civitas_nats.jetstream import dead_letters
from civitas_nats.jetstream.dead_letters import DELIVERIES, NUMBER, REASON, TIME, DeadLetter
from civitas_nats.jetstream.publisher import ID_HEADER
from civitas_nats.options import HEADER_ROOM

LETTER = DeadLetter("a", b"frame", "ValueError: no", 5, 17)
NOW = 1_700_000_000.25


def written_and_read(letter: DeadLetter) -> DeadLetter:
    headers = dead_letters.headers_of(letter, NOW)
    return letter_in(dead_letters.read(3, letter.agent, letter.frame, headers, 0.0))


def letter_in(kept: KeptMessage) -> DeadLetter:
    number = kept.details["stream_sequence"]
    return DeadLetter(kept.agent, kept.frame, kept.reason, kept.deliveries, number)


def test_all_that_is_known_is_in_the_headers():
    assert dead_letters.headers_of(LETTER, NOW) == {
        REASON: "ValueError: no",
        DELIVERIES: "5",
        NUMBER: "17",
        TIME: "1700000000.250",
    }


def test_a_dead_letter_is_read_as_it_was_written():
    stored = dead_letters.read(3, "a", b"frame", dead_letters.headers_of(LETTER, NOW), 0.0)
    assert (stored.number, stored.time, letter_in(stored)) == (3, NOW, LETTER)


@given(st.text(max_size=80))
def test_a_reason_is_read_in_all_its_signs_but_in_one_line(reason):
    assert written_and_read(replace(LETTER, reason=reason)).reason == " ".join(reason.split())


@given(st.text())
def test_a_reason_is_written_in_one_line_of_printable_ascii(reason):
    text = dead_letters.headers_of(replace(LETTER, reason=reason), NOW)[REASON]
    assert set(text) <= set(string.printable) - set(string.whitespace) | {" "}


@pytest.mark.parametrize("sign", ["x", "\\", "ü", "你", "😀", "\x1b"])
def test_a_long_reason_is_cut_between_two_signs_and_all_headers_fit_their_room(sign):
    letter = replace(LETTER, reason=sign * 5000, number=2**64, deliveries=2**64)
    headers = {**dead_letters.headers_of(letter, NOW), ID_HEADER: "x" * 300}
    size = sum(len(f"{name}: {value}\r\n") for name, value in headers.items())
    assert size + len("NATS/1.0\r\n\r\n") < HEADER_ROOM
    read = written_and_read(letter).reason
    assert read == sign * (len(read) - 3) + "..."
    assert len(read) > 90


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("C:\\temp \\N{x} \\q", "C:\\temp \\N{x} \\q"),
        ("\\Uffffffff \\x4", "\\Uffffffff \\x4"),
        ("grüße", "grüße"),
        ("\\", "\\"),
    ],
)
def test_a_reason_that_somebody_else_wrote_is_taken_as_it_is(text, reason):
    assert dead_letters.read(1, "a", b"", {REASON: text}, 0.0).reason == reason


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "٣x", "9" * 5000, "0x10", " 1"])
def test_a_number_that_is_none_is_0(text):
    letter = letter_in(dead_letters.read(1, "a", b"", {DELIVERIES: text, NUMBER: text}, 0.0))
    assert (letter.deliveries, letter.number) == (0, 0)


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-1", "1e300"])
def test_a_time_that_is_none_is_that_of_the_stream(text):
    assert dead_letters.read(1, "a", b"", {TIME: text}, NOW).time == NOW


def test_without_headers_a_letter_has_what_the_stream_knows():
    stored = dead_letters.read(1, "a", b"x", {}, NOW)
    assert (stored.time, letter_in(stored)) == (NOW, DeadLetter("a", b"x", "", 0, 0))
