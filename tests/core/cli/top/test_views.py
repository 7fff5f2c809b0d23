"""What the keys of `civitas top` do, and which rows come of it, in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from civitas.cli.top.keys import KeyReader
from civitas.cli.top.rows import names_of, rows_of
from civitas.cli.top.views import HELP, ORDERS, View, pressed
from core.cli.top.looks import TREE, agent, frame, look, node

SHOWN = ["desk", "press", "ink", "post"]
FRAME = frame(
    look(
        10.0, node("supervisor", agent("desk", 0)), node("w1", agent("press", 0), agent("ink", 0))
    ),
    look(
        11.0,
        node("supervisor", agent("desk", 5, errors=1)),
        node("w1", agent("press", 20, mailbox_depth=3), agent("ink", 9, state="crashed")),
    ),
)


def after(*keys: str, view: View | None = None) -> View:
    view = view or View()
    for key in keys:
        view = pressed(view, key, SHOWN)
    return view


def shown(*keys: str) -> list[str]:
    return names_of(rows_of(FRAME, after(*keys), TREE))


# --- keys -----------------------------------------------------------------------------------------


def test_q_quits_and_p_or_space_pauses_and_goes_on() -> None:
    assert after("q").ended
    assert after("p").paused
    assert after(" ").paused
    assert not after("p", " ").paused


def test_every_other_key_leaves_help() -> None:
    assert after("?").help
    assert after("?", "j") == View()
    assert after("?", "q").ended
    assert {key for keys, _ in HELP for key in keys.split(", ")} >= {"q", "t", "r", "/", "p", "<"}


def test_orders_are_gone_through_and_the_first_follows_the_last() -> None:
    seen = [after(*[">"] * times).order for times in range(len(ORDERS) + 1)]
    assert seen == [*ORDERS, ORDERS[0]]
    assert after("left").order == ORDERS[-1]
    assert after("r").reverse
    assert not after("r", ">").reverse


def test_an_agent_is_chosen_by_steps_and_pages_and_none_goes_beyond_the_ends() -> None:
    assert after("down").selected == "desk"
    assert after("up").selected == "post"
    assert after("down", "j", "j").selected == "ink"
    assert after("end", "down").selected == "post"
    assert after("page down", "home").selected == "desk"
    assert after("down", "page down").selected == "post"
    assert after("down", "escape").selected == ""
    gone = pressed(View(selected="nobody"), "down", SHOWN)
    assert gone.selected == "desk"
    assert pressed(View(), "down", []) == View()


def test_a_filter_acts_while_it_is_typed_and_letters_are_no_keys_then() -> None:
    view = after("/", "q", "p", "é")
    assert (view.typing, view.filter, view.ended, view.paused) == ("qpé", "qpé", False, False)
    assert after("backspace", "enter", view=view) == replace(view, typing=None, filter="qp")
    assert after("escape", view=view) == View()
    assert after("enter", "/", view=view).typing == "qpé"
    assert after("up", view=view) == view
    assert len(after("/", *"x" * 500).filter) == 100


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1bOB", ["up", "down"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[4~", ["page up", "page down", "home", "end"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[1;5Q\x1b[200~x", ["x"]),
        (b"\r\x7f", ["enter", "backspace"]),
        ("é".encode(), ["é"]),
        (b"\xff", ["\ufffd"]),
        (b"\x01", ["\x01"]),
    ],
)
def test_bytes_of_a_terminal_are_keys(data: bytes, keys: list[str]) -> None:
    assert KeyReader().feed(data) == keys


def test_a_character_may_come_in_pieces() -> None:
    reader = KeyReader()
    assert reader.feed("é".encode()[:1]) == []
    assert reader.feed("é".encode()[1:]) == ["é"]


# --- rows -----------------------------------------------------------------------------------------


def test_agents_stand_in_the_order_of_the_topology_unless_another_is_wanted() -> None:
    assert shown() == ["desk", "press", "ink", "post"]
    assert shown("r") == ["post", "ink", "press", "desk"]


def to(order: str) -> list[str]:
    return [">"] * ORDERS.index(order)


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("agent", ["desk", "ink", "post", "press"]),
        ("process", ["desk", "ink", "press", "post"]),
        ("state", ["ink", "post", "desk", "press"]),
        ("rate", ["press", "ink", "desk", "post"]),
        ("queued", ["press", "desk", "ink", "post"]),
        ("errors", ["desk", "press", "ink", "post"]),
        ("busy", ["desk", "press", "ink", "post"]),
        ("in hand", ["desk", "press", "ink", "post"]),
    ],
)
def test_the_largest_number_comes_first_and_what_is_not_known_last(order, names) -> None:
    assert shown(*to(order)) == names


def test_what_is_not_known_stays_last_when_an_order_is_turned_round() -> None:
    assert shown(*to("rate"), "r") == ["desk", "ink", "press", "post"]


@pytest.mark.parametrize(
    ("typed", "names"),
    [("PRE", ["press"]), ("w1", ["press", "ink"]), ("crash", ["ink"]), ("none", [])],
)
def test_a_filter_looks_at_names_processes_and_states(typed, names) -> None:
    assert shown("/", *typed, "enter") == names


def test_a_tree_has_supervisors_between_and_leaves_out_those_with_nothing_wanted() -> None:
    def lines(*keys: str) -> list[tuple[int, str, str]]:
        return [(row.depth, row.label, row.note) for row in rows_of(FRAME, after(*keys), TREE)]

    assert lines("t") == [
        (0, "root", "ONE_FOR_ONE"),
        (1, "desk", ""),
        (1, "shop", "ONE_FOR_ALL"),
        (2, "press", ""),
        (2, "ink", ""),
        (1, "post", ""),
    ]
    assert lines("/", *"desk", "enter", "t") == [(0, "root", "ONE_FOR_ONE"), (1, "desk", "")]


def test_an_agent_that_the_topology_does_not_name_stands_below_the_tree() -> None:
    stranger = frame(look(1.0, node("supervisor", agent("stranger"))))
    rows = rows_of(stranger, View(tree=True, filter="stranger"), TREE)
    assert [(row.depth, row.label) for row in rows] == [(0, "in no tree"), (1, "stranger")]
