"""Output of `dead-letters`: messages, whatever their payload is, and progress."""

from __future__ import annotations

import json
import sys
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.cli.dead_letters.output import Progress, as_json, as_lines, as_row, columns_of
from civitas.cli.output import jsonable
from civitas.cli.tables import write_table
from civitas.transport import Kept, KeptMessage
from civitas.transport.dead_letters.reader import MessageReader
from support.dead_letters import frame_of

KEYS = st.one_of(st.text(), st.integers(), st.binary(), st.tuples(st.integers(), st.text()))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(KEYS, inner)),
    max_leaves=12,
)


contents_of = MessageReader().contents_of
COLUMNS = columns_of(Kept.DEAD)


def stored(
    frame: bytes, reason: str = "E: no", agent: str = "a", kept: Kept = Kept.DEAD
) -> KeptMessage:
    return KeptMessage(kept, 1, agent, frame, 1_700_000_000.25, reason, 5, {"queue": b"\xff"})


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_payload_is_json_and_a_cell(payload):
    json.loads(json.dumps(jsonable(payload), allow_nan=False))


def test_a_payload_is_shown_as_json_has_it():
    payload = {"a": [1, 2.5, None, True, "ü"], b"\xff": b"\x00\xff", 1: float("nan"), (1, 2): ()}
    assert jsonable(payload) == {
        "a": [1, 2.5, None, True, "ü"],
        "b'\\xff'": {"base64": "AP8="},
        "1": "nan",
        "(1, 2)": [],
    }


def test_a_payload_that_is_nested_deep_is_cut():
    nested: Any = "bottom"
    for _ in range(400):
        nested = {"x": [nested]}
    text = json.dumps(jsonable(nested), indent=2)
    assert "nested more than 100 levels deep" in text
    assert "bottom" not in text


def test_times_are_in_utc_and_what_is_unreadable_is_given_whole():
    shown = as_json(stored(b"\xff"), contents_of(b"\xff"), 0.0)
    assert shown["time"] == "2023-11-14T22:13:20.250+00:00"
    assert (shown["message"], shown["frame"]) == (None, "/w==")
    frame = frame_of({})
    assert "frame" not in as_json(stored(frame), contents_of(frame), 0.0)


def test_what_the_transport_knows_besides_is_a_value_of_json():
    assert as_json(stored(frame_of({})), contents_of(frame_of({})), 0.0)["queue"] == {
        "base64": "/w=="
    }


def test_a_whole_message_is_its_facts_and_then_its_payload():
    frame = frame_of({"x": "\x1b", "y": [1]})
    lines = as_lines(stored(frame), contents_of(frame), 0.0)
    facts = dict(line.split(maxsplit=1) for line in lines[: lines.index("{")])
    assert facts["number"] == "1"
    assert (facts["deliveries"], facts["reason"], facts["message.sender"]) == (
        "5",
        "E: no",
        "asker",
    )
    assert json.loads("".join(lines[lines.index("{") :])) == {"x": "\x1b", "y": [1]}


def test_of_what_waits_there_is_neither_a_reason_nor_a_count():
    frame = frame_of({})
    waiting = stored(frame, kept=Kept.WAITING)
    assert len(as_row(waiting, contents_of(frame))) == len(columns_of(Kept.WAITING))
    told = " ".join(as_lines(waiting, contents_of(frame), 0.0))
    assert "deliveries" not in told
    assert "reason" not in told


def test_nothing_in_a_row_makes_a_terminal_do_something(capsys):
    evil = "\x1b[2J\x9b\u202e\r\n[bold]ü"
    frame = frame_of({"x": evil})
    write_table(COLUMNS, [as_row(stored(frame, evil, evil), contents_of(frame))])
    _, row = capsys.readouterr().out.splitlines()
    assert row.isprintable()
    assert row.count("\\x1b[2J\\x9b\\u202e\\r\\n[bold]ü") == 2


def test_words_in_brackets_are_no_style_of_a_table(capsys):
    frame = frame_of({"x": "[red]"})
    write_table(COLUMNS, [as_row(stored(frame, "[bold]no[/bold]"), contents_of(frame))])
    assert '[bold]no[/bold]  asker  order  {"x": "[red]"}' in capsys.readouterr().out


# --- progress -----------------------------------------------------------------------------------


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def worked(
    stream: StringIO, monkeypatch: pytest.MonkeyPatch, *seconds: float, term: str = "xterm"
) -> str:
    """Return the progress that was shown, when one step was done at each of these times."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    clock = Clock()
    with Progress("read", 9, clock) as progress:
        for done, second in enumerate(seconds, 1):
            clock.time = 100.0 + second
            progress.at(done)
    return stream.getvalue()


@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_a_short_work_tells_nothing(monkeypatch, stream):
    assert worked(stream(), monkeypatch, 0.1, 0.5, 0.99) == ""


def test_a_long_work_tells_now_and_then_how_far_it_is(monkeypatch):
    told = worked(StringIO(), monkeypatch, 0.5, 1.5, 2.0, 11.0, 11.6, 11.7)
    assert told == "read 2 of 9\nread 5 of 9\n"


def test_a_terminal_has_it_in_one_line_which_is_gone_at_the_end(monkeypatch):
    told = worked(Terminal(), monkeypatch, 0.5, 1.5, 1.55, 2.0)
    assert told == "\rread 2 of 9\rread 4 of 9\r           \r"


def test_a_dumb_terminal_has_a_line_for_each_report(monkeypatch):
    told = worked(Terminal(), monkeypatch, 0.5, 1.5, term="dumb")
    assert told == "read 2 of 9\n"
