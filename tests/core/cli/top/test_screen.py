"""What `civitas top` draws: it fits, it shows what it should, and no text of others is obeyed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from civitas.cli.top.as_json import json_of
from civitas.cli.top.cells import rate, short
from civitas.cli.top.frames import Frame
from civitas.cli.top.plain import write_frame
from civitas.cli.top.rows import TreeBranch
from civitas.cli.top.screen import lines_of
from civitas.cli.top.views import View
from core.cli.top.looks import HEAD, TREE, agent, frame, look, node

CRASH = {"agent": "ink", "text": "ValueError: no \x1b[31mink", "seconds": 75.0}
BUSY = frame(
    look(10.0, node("supervisor", agent("desk", 0)), node("w1", agent("press", 0, busy=0.0))),
    look(
        11.0,
        node("supervisor", agent("desk", 5), crashes=[CRASH]),
        node(
            "w1",
            agent("press", 1_200, busy=0.25, mailbox_depth=12, in_hand="order", in_hand_id="1"),
            agent("ink", 1, state="crashed", since=3.0, failure="ValueError: no \x1b[31mink"),
            lost={"press": 2},
        ),
        backlog={"press": 31},
    ),
)

PRESS = ["press", "w1", "running", "1,200", "12", "31", "order", "208", "us", "25%", "0", "0", "2"]


def drawn(
    shown: Frame = BUSY, width: int = 120, height: int = 30, of: TreeBranch = TREE, **view: object
) -> list[str]:
    lines = lines_of(shown, View(**view), of, HEAD, width, height)  # type: ignore[arg-type]
    return [line.plain for line in lines]


def row(lines: list[str], name: str) -> list[str]:
    [line] = [line for line in lines if line.split()[:1] == [name]]
    return line.split()


def test_a_frame_shows_each_process_and_each_agent_with_its_numbers() -> None:
    lines = drawn()
    assert lines[0] == "civitas top  orders.yaml  zmq  14:13:31  every 1 s"
    assert lines[1].startswith("processes 2 of 3  agents 2 of 4  handled 1,205/s  queued 12")
    assert row(lines, "w1") == ["w1", "worker", "id-w1", "running", "0", "0", "2", "0"]
    assert row(lines, "press") == PRESS
    assert row(lines, "post")[:3] == ["post", "w2", "missing"]
    assert lines[-1].startswith("by topology  |  q quit")


def test_the_chosen_agent_is_told_of_at_the_foot_with_its_last_crash() -> None:
    lines = drawn(selected="ink")
    assert lines[-3:-1] == [
        "'ink' is crashed: ValueError: no \\x1b[31mink",
        "'ink': last crash 1 min 15 s ago: ValueError: no \\x1b[31mink",
    ]
    assert drawn(selected="desk")[-2] == "'desk': has not crashed, as far as is known"


def test_a_pause_a_filter_an_order_and_a_problem_are_told() -> None:
    assert drawn(paused=True)[0].endswith("  PAUSED")
    assert drawn(filter="x")[-1].startswith("by topology  filter: x  |")
    assert drawn(order="rate", reverse=True)[-1].startswith("by rate, reversed  |")
    assert "handled/s ^" in "".join(drawn(order="rate", reverse=True))
    assert drawn(typing="ab", filter="ab")[-1].startswith("filter: ab_")
    lost = frame(look(1.0, problem="the connection is lost: gone \x1b[2J", reached=False))
    assert drawn(lost)[2] == "the connection is lost: gone \\x1b[2J"
    assert row(drawn(lost), "press") == ["press", "w1", "unknown"]


def test_help_tells_of_every_key() -> None:
    text = "\n".join(drawn(help=True))
    assert "the supervision tree" in text
    assert "press" not in text


def test_a_tree_is_indented() -> None:
    lines = [line.rstrip() for line in drawn(tree=True)]
    at = lines.index("root (ONE_FOR_ONE)")
    assert [line.split("  w")[0].rstrip()[:10] for line in lines[at + 2 : at + 4]] == [
        "  shop (ON",
        "    press",
    ]


def many(count: int) -> Frame:
    agents = [agent(f"agent_{number}", number) for number in range(count)]
    return frame(look(1.0, node("w1", *agents), *(node(f"extra_{n}") for n in range(30))))


@pytest.mark.parametrize("selected", ["", "agent_0", "agent_250", "agent_499"])
def test_the_chosen_agent_is_in_sight_of_however_many(selected: str) -> None:
    lines = drawn(many(500), selected=selected, height=24)
    assert len(lines) == 24
    assert not selected or row(lines, selected)
    assert any(line.startswith("and ") for line in lines)


def test_of_many_processes_those_come_first_that_need_a_look() -> None:
    lines = drawn(many(3), height=24)
    assert row(lines, "w2")[1:2] == ["missing"]


@pytest.mark.parametrize("width", [1, 8, 20, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("height", [1, 3, 8, 20, 50])
def test_a_frame_fits_into_any_terminal(width: int, height: int) -> None:
    for view in ({}, {"selected": "ink"}, {"tree": True}, {"help": True}, {"typing": "x"}):
        lines = drawn(width=width, height=height, **view)
        assert len(lines) <= height
        assert max(map(cell_len, lines)) <= width


def test_names_and_states_stay_when_there_is_no_room_for_all() -> None:
    lines = drawn(width=46)
    assert row(lines, "press")[:2] == ["press", "running"]
    assert "busy" not in "".join(lines)


@given(name=st.text(min_size=1), text=st.text())
def test_no_text_of_others_is_obeyed_or_takes_more_room(name: str, text: str) -> None:
    told = node(
        name,
        agent(name, state=text, failure=text, in_hand=text, in_hand_id="1"),
        role=text,
        crashes=[{"agent": name, "text": text, "seconds": 1.0}],
    )
    tree = TreeBranch(text, text, (name,))
    for view in ({}, {"tree": True}, {"selected": name}, {"filter": text}):
        lines = drawn(frame(look(1.0, told, problem=text)), 60, 24, tree, **view)
        assert all(line.isprintable() and cell_len(line) <= 60 for line in lines)


# --- without a terminal ---------------------------------------------------------------------------


def test_a_frame_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    write_frame(BUSY)
    lines = capsys.readouterr().out.splitlines()
    assert row(lines, "press") == PRESS
    assert "agent 'ink' is crashed: ValueError: no \\x1b[31mink" in lines
    assert "agent 'ink' crashed last 1 min 15 s ago: ValueError: no \\x1b[31mink" in lines


def test_json_has_all_of_it_and_null_for_what_is_not_known() -> None:
    values = json.loads(json.dumps(json_of(BUSY)))
    agents = {each["agent"]: each for each in values["agents"]}
    press = agents["press"]
    assert (press["rate"], press["handling_time"], press["backlog"]) == (1200, 0.25 / 1200, 31)
    one = {"count": 1, "most": 1}
    said = {"type": "order", "id": "1", "seconds": None, "at_least": False}
    assert press["in_hand"] == said | one
    assert agents["ink"]["last_crash"] == {"text": "ValueError: no \x1b[31mink", "seconds": 75.0}
    assert (agents["post"]["rate"], agents["post"]["in_hand"]) == (None, None)
    assert values["time"] == "2026-09-21T14:13:31.000+00:00"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "0 us"),
        (0.000_000_4, "0.4 us"),
        (0.000_25, "250 us"),
        (0.999_9, "1.0 s"),
        (0.012_3, "12.3 ms"),
        (75.0, "1 min 15 s"),
    ],
)
def test_a_time_has_the_unit_that_fits_it(seconds: float | None, text: str) -> None:
    assert short(seconds) == text


def test_a_rate_has_tenths_only_where_they_matter() -> None:
    assert [rate(each) for each in (None, 0.0, 0.5, 99.97, 12_345.6)] == [
        "",
        "0",
        "0.5",
        "100",
        "12,346",
    ]
