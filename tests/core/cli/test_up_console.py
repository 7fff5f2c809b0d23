"""Lines of several processes on one terminal, with their names in front."""

from __future__ import annotations

import io
import os
import pty
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.cli.process_group.console import LONGEST_LINE, Console, Lines, Stream, colours_allowed
from support.hostile import HOSTILE, NAME, NAME_SHOWN, SHOWN

DEADLINE = 60.0


@given(st.lists(st.binary() | st.just(b"\n")))
def test_lines_do_not_depend_on_how_they_were_cut(chunks: list[bytes]) -> None:
    lines = Lines()
    shown = [line for chunk in chunks for line in lines.feed(chunk)]
    assert [*shown, lines.rest()] == b"".join(chunks).split(b"\n")


def test_a_line_without_an_end_is_shown_in_pieces() -> None:
    lines = Lines()
    half = b"x" * (LONGEST_LINE // 2)
    assert lines.feed(half) == []
    assert lines.feed(half) == [half + half]
    assert lines.feed(b"y\n") == [b"y"]


@pytest.mark.parametrize("text", ["é", "€", "🙂"])
@pytest.mark.parametrize("ahead", range(4))
def test_a_piece_of_a_line_never_ends_within_a_character(text: str, ahead: int) -> None:
    line = b"x" * (LONGEST_LINE - ahead) + text.encode()
    lines = Lines()
    pieces = [*lines.feed(line[:LONGEST_LINE]), *lines.feed(line[LONGEST_LINE:] + b"\n")]
    assert b"".join(pieces) == line
    assert "".join(each.decode() for each in pieces) == line.decode()


def test_what_is_kept_of_a_character_is_no_more_than_it_has() -> None:
    lines = Lines()
    euro = "€".encode()
    assert lines.feed(b"x" * LONGEST_LINE + euro[:2]) == [b"x" * LONGEST_LINE]
    assert lines.rest() == euro[:2]


def shown(line: bytes) -> str:
    out = io.BytesIO()
    Console(["a"], out, io.BytesIO()).show("a", Stream.OUT, [line])
    return out.getvalue().decode().removeprefix("a  | ").removesuffix("\n")


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("Zoë 東京".encode(), "Zoë 東京"),
        (b"one\ttwo\r", "one\ttwo"),
        (b"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
        (b"\x1b[38:5:1mred", "\x1b[38:5:1mred\x1b[0m"),
        (b"50 %\r100 %", r"50 %\r100 %"),
        (b"\x1b[2J\x1b[1A\x1b]0;title\x07", r"\x1b[2J\x1b[1A\x1b]0;title\x07"),
        (b"\x1b[31\x1b[31m", "\\x1b[31\x1b[31m\x1b[0m"),
        (b"\x1b[" + b"1;" * 99 + b"m", r"\x1b[" + "1;" * 99 + "m"),
        ("\x9b31m\u202e\u2028\x7f".encode(), r"\x9b31m\u202e\u2028\x7f"),
        (b"caf\xc3|\xff\x00", r"caf\xc3|\xff\x00"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
    ],
)
def test_of_what_a_terminal_obeys_a_line_keeps_colours_and_tabs(line: bytes, seen: str) -> None:
    assert shown(line) == seen


@given(st.binary())
def test_a_line_of_any_bytes_is_one_line_of_text(line: bytes) -> None:
    text = re.sub(r"\x1b\[[0-9;:]*m|\t", "", shown(line))
    assert text.isprintable()


def test_a_name_and_a_remark_of_up_are_escaped_too() -> None:
    out, err = io.BytesIO(), io.BytesIO()
    console = Console([NAME], out, err)
    console.show(NAME, Stream.OUT, [b"one"])
    console.say(f"{HOSTILE} is done")
    assert out.getvalue().decode() == f"{NAME_SHOWN} | one\n"
    assert err.getvalue().decode() == f"{'up'.ljust(len(NAME_SHOWN))} | {SHOWN} is done\n"


def test_names_are_padded_to_one_width() -> None:
    out, err = io.BytesIO(), io.BytesIO()
    console = Console(["supervisor", "gpu"], out, err)
    console.show("supervisor", Stream.OUT, [b"one", b""])
    console.show("gpu", Stream.ERR, [b"two"])
    console.say("three")
    console.show("gpu", Stream.OUT, [])
    assert out.getvalue() == b"supervisor | one\nsupervisor | \n"
    assert err.getvalue() == b"gpu        | two\nup         | three\n"


@pytest.mark.parametrize("colours", [True, False])
def test_names_are_coloured_on_a_terminal_alone(colours: bool) -> None:
    ours, theirs = pty.openpty()
    try:
        out = io.BytesIO()
        with io.FileIO(theirs, "wb") as terminal:
            console = Console(["a", "b"], out, terminal, colours=colours)
            console.show("a", Stream.OUT, [b"x"])
            console.show("a", Stream.ERR, [b"x"])
            console.show("b", Stream.ERR, [b"x"])
            seen = b""
            while seen.count(b"\r\n") < 2:  # a terminal may give the lines one by one
                seen += os.read(ours, 1000)
    finally:
        os.close(ours)
    assert out.getvalue() == b"a  | x\n"
    shown = seen.split(b"\r\n")
    if colours:
        assert shown == [b"\x1b[36ma  | \x1b[0mx", b"\x1b[33mb  | \x1b[0mx", b""]
    else:
        assert shown == [b"a  | x", b"b  | x", b""]


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_the_environment_can_refuse_colours(
    variables: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert colours_allowed() is wanted


def test_a_stream_that_takes_nothing_for_now_gets_all_of_it_later() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got: list[bytes] = []

    def read() -> None:
        with io.FileIO(reading) as pipe:
            got.extend(iter(lambda: pipe.read(1 << 16), b""))

    reader = threading.Thread(target=read)
    with io.FileIO(writing, "wb") as out:
        console = Console(["a"], out, io.BytesIO())
        reader.start()
        console.show("a", Stream.OUT, [b"x" * 1_000_000])
    reader.join(DEADLINE)
    assert b"".join(got) == b"a  | " + b"x" * 1_000_000 + b"\n"
