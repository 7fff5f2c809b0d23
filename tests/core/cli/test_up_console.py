"""Lines of several processes on one terminal, with their names in front."""

from __future__ import annotations

import io
import os
import pty
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.cli.process_group.console import LONGEST_LINE, Console, Lines, Stream, colours_allowed

DEADLINE = 20.0


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
