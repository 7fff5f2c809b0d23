"""What `civitas trace` makes of logs: which lines count, and where a message went."""

from __future__ import annotations

import json
from pathlib import Path as File
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.cli.app import main
from civitas.cli.trace.output import json_of, write_path
from civitas.cli.trace.paths import TracedMessage, path_of, traces_of
from civitas.cli.trace.records import read_lines

BEGAN = "2026-01-01T00:00:0"


def line(seconds: str, **values: Any) -> str:
    return json.dumps({"time": f"{BEGAN}{seconds}Z", "message": "said", "level": "info", **values})


def event(at: str, what: str, span: str, parent: str = "", **about: Any) -> str:
    to = about.pop("to", span)
    more = {"process": about.pop("process", "p")}
    told = {"event": what, "id": f"id-{span}", "type": "order", "sender": "x", "recipient": to}
    told |= {"trace": "t1", "span": span, "parent": parent, **about}
    return line(at, extra={"message_log": told}, **more)


LOG = [
    event("0.000", "sent", "a"),
    event("2.000", "handled", "a", seconds=1.5, outcome="done"),
    event("1.000", "sent", "b", "a"),
    event("1.500", "handled", "b", "a", seconds=0.25, outcome="ValueError", process="w"),
    event("1.900", "handled", "b", "a", seconds=0.1, outcome="done", process="w", attempt=1),
    event("1.200", "sent", "c", "a"),
    event("1.300", "dropped", "c", "a", reason="no such agent"),
    line("1.400", trace="t1", agent="b", process="w", logger="app", message="while b"),
    line("3.000", trace="t1", agent="b", process="w", message="after b"),
    line("1.400", trace="t2", agent="b", process="w", message="of another trace"),
]


def shape(step: TracedMessage) -> Any:
    events = [each.event for _, each in step.records]
    return step.span, events, [each.text for each in step.lines], [shape(e) for e in step.children]


def test_messages_stand_below_what_caused_them_whatever_the_order_of_the_lines() -> None:
    for lines in (LOG, LOG[::-1]):
        records, others = read_lines(lines)
        path = path_of(records, "t1")
        assert others == 0
        b = ("b", ["sent", "handled", "handled"], ["while b"], [])
        c = ("c", ["sent", "dropped"], [], [])
        assert [shape(each) for each in path.steps] == [("a", ["sent", "handled"], [], [b, c])]
        assert [each.text for each in path.lines] == ["after b"]


def test_a_trace_is_printed_as_a_tree_with_times(capsys: pytest.CaptureFixture[str]) -> None:
    write_path(path_of(read_lines(LOG)[0], "t1"))
    assert capsys.readouterr().out.splitlines() == [
        "trace t1 began at 2026-01-01T00:00:00.000+00:00; times are milliseconds since then",
        "order x -> a  sent +0.0 in p",
        "├── +500.0 handled in p, took 1500.0 ms: done",
        "├── order x -> b  sent +1000.0 in p",
        "│   ├── +1250.0 handled in w, took 250.0 ms: ValueError",
        "│   ├── +1800.0 handled in w, took 100.0 ms: done, attempt 2",
        "│   └── +1400.0 info w/b app: while b",
        "└── order x -> c  sent +1200.0 in p",
        "    └── +1300.0 dropped in p: no such agent",
        "+3000.0 info w/b : after b",
    ]


def test_a_message_of_which_no_end_is_known_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    write_path(path_of(read_lines(LOG[:1])[0], "t1"))
    assert "not handled, as far as these logs say" in capsys.readouterr().out


def test_json_has_the_tree_and_all_records() -> None:
    values = json_of(path_of(read_lines(LOG)[0], "t1"))
    (root,) = values["messages"]
    assert [each["span"] for each in root["children"]] == ["b", "c"]
    assert [each["outcome"] for each in root["children"][0]["events"]] == ["", "ValueError", "done"]
    assert len(values["lines"]) == 9


@pytest.mark.parametrize("wanted", ["t1", "id-b", "b", "id-"])
def test_an_id_is_that_of_a_trace_a_message_or_a_span_or_how_one_begins(wanted: str) -> None:
    assert traces_of(read_lines(LOG)[0], wanted) == ["t1"]


def test_a_beginning_may_mean_several() -> None:
    records = read_lines(LOG)[0]
    assert traces_of(records, "t") == ["t1", "t2"]
    assert traces_of(records, "none") == []


def test_forged_parents_that_go_in_a_circle_end_nothing() -> None:
    lines = [event("0.0", "sent", "a", "b"), event("0.1", "sent", "b", "a")]
    lines.append(event("0.2", "sent", "c", "c"))
    path = path_of(read_lines(lines)[0], "t1")
    assert sorted(shape(each)[0] for each in path.steps) == ["b", "c"]


ODD = [
    "no json",
    "[]",
    "1",
    "null",
    '{"time": 3}',
    '{"message": "x"}',
    '{"time": "soon"}',
    "[" * 9_999,
]


def test_lines_that_are_no_log_are_counted_and_passed_over() -> None:
    records, others = read_lines([*ODD, *LOG, "", "  \n", '{"time": "' + "9" * (1 << 21) + '"}'])
    assert (len(records), others) == (len(LOG), len(ODD) + 1)


def test_no_time_is_before_the_begin_though_what_was_caused_is_heard_of_first(capsys: Any) -> None:
    lines = [
        event("1.000", "handled", "a", seconds=0.5, outcome="done"),
        event("0.499", "sent", "b", "a"),  # by another clock
    ]
    write_path(path_of(read_lines(lines)[0], "t1"))
    told = capsys.readouterr().out
    assert " sent +0.0 in p" in told
    assert "+1.0 handled in p, took 500.0 ms" in told


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_a_field_of_another_type_is_as_if_it_were_not_there(value: Any) -> None:
    keys = ("event", "id", "type", "trace", "span", "parent", "seconds", "attempt", "outcome")
    for key in keys:
        text = line("0", extra={"message_log": {"event": "sent", "trace": "t1", key: value}})
        records, others = read_lines([text, line("1", trace="t1", extra=value, agent=value)])
        assert (len(records), others) == (2, 0)
        assert (records[1].trace, records[1].about) == ("t1", None)
        for trace in traces_of(records, "t1"):
            json.dumps(json_of(path_of(records, trace)))


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def civitas(tmp_path: File, capfd, monkeypatch):
    (tmp_path / "one.log").write_text("\n".join([*LOG[:5], "no json", "nor this"]))
    (tmp_path / "two.log").write_bytes("\n".join(LOG[5:]).encode() + b"\n\xff\xfe")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["civitas", "trace", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capfd.readouterr())

    return run


def test_files_are_read_together(civitas) -> None:
    code, out, err = civitas("id-c", "two.log", "one.log")
    assert (code, err) == (0, "note: 3 lines passed over that no log in JSON has\n")
    assert "order x -> c  sent +1200.0 in p" in out
    assert out.count("\n") == 10
    assert json.loads(civitas("id-c", "two.log", "one.log", "--json")[1])["trace"] == "t1"


def test_an_id_that_nobody_has_or_several_may_mean_is_a_failure(civitas) -> None:
    code, _, err = civitas("nobody", "one.log")
    assert code == 1
    assert "no line is about 'nobody'; are messages logged, with `instruments: [log]`" in err
    code, _, err = civitas("t", "two.log")
    assert (code, "'t' is the beginning of several traces: t1, t2" in err) == (1, True)


def test_a_file_that_is_not_there_is_bad_input(civitas) -> None:
    code, _, err = civitas("t1", "three.log")
    assert (code, err) == (2, "error: 'three.log' can't be read: No such file or directory\n")
