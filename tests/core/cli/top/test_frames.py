"""What `civitas top` makes of looks: rates, times, what has gone and what came back."""

from __future__ import annotations

import pytest

from civitas.cli.top.frames import InHand
from core.cli.top.looks import agent, agents, frame, look, node, processes


def test_a_rate_is_the_difference_to_the_look_before() -> None:
    first = look(10.0, node("w1", agent("press", 100, busy=5.0), sent=7, delivered=100))
    second = look(12.0, node("w1", agent("press", 150, busy=6.0), sent=17, delivered=140))
    press, w1 = agents(frame(first, second))["press"], processes(frame(first, second))["w1"]
    assert (press.rate, press.busy, press.handling) == (25.0, 0.5, 0.02)
    assert (w1.sent_rate, w1.delivered_rate) == (5.0, 20.0)


def test_the_first_look_has_no_rates_and_one_in_which_nothing_was_handled_no_time() -> None:
    first = look(10.0, node("w1", agent("press", 100, busy=5.0)))
    press = agents(frame(first))["press"]
    assert (press.rate, press.busy, press.handling, press.handled) == (None, None, None, 100)
    press = agents(frame(first, look(11.0, node("w1", agent("press", 100, busy=6.0)))))["press"]
    assert (press.rate, press.busy, press.handling) == (0.0, 1.0, None)


def test_a_process_that_was_started_again_has_no_rate_until_it_was_seen_twice() -> None:
    old = look(10.0, node("w1", agent("press", 100), sent=50))
    new = [
        look(at, node("w1", agent("press", n), node="id-new", sent=n))
        for at, n in ((11.0, 2), (12.0, 7))
    ]
    again = frame(old, new[0])
    assert (agents(again)["press"].rate, processes(again)["w1"].sent_rate) == (None, None)
    again = frame(old, *new)
    assert (agents(again)["press"].rate, processes(again)["w1"].sent_rate) == (5.0, 5.0)


def test_a_process_that_did_not_answer_once_has_its_rate_over_the_time_that_it_was_seen() -> None:
    silent = {"process": "w1", "node": "id-w1", "error": "no answer within 1 s"}
    looks = [
        look(10.0, node("w1", agent("press", 100))),
        look(11.0, silent),
        look(12.0, node("w1", agent("press", 120))),
    ]
    assert agents(frame(*looks[:2]))["press"].rate is None
    assert agents(frame(*looks))["press"].rate is None
    looks.append(look(14.0, node("w1", agent("press", 140))))
    assert agents(frame(*looks))["press"].rate == 10.0


@pytest.mark.parametrize(("died", "state"), [(True, "missing"), (False, "gone")])
def test_a_process_that_has_gone_is_shown_with_its_time_and_comes_back(died, state) -> None:
    there = look(10.0, node("supervisor"), node("w1", agent("press", 5), agent("ink", 5)))
    gone = {"process": "w1", "died": died, "reason": "why", "since": 3.0}
    away = look(20.0, node("supervisor", gone=[gone]))
    back = look(30.0, node("supervisor"), node("w1", agent("press"), agent("ink"), node="id-2"))
    shown = frame(there, away)
    assert (processes(shown)["w1"].situation.state, processes(shown)["w1"].situation.since) == (
        state,
        3.0,
    )
    assert (agents(shown)["press"].situation.state, agents(shown)["press"].handled) == (state, None)
    shown = frame(there, away, back)
    assert agents(shown)["press"].situation.state == "running"


def test_where_nobody_knows_since_when_who_watches_does() -> None:
    there = look(10.0, node("supervisor"), node("w2", agent("post")))
    shown = frame(there, look(17.5, node("supervisor")))
    assert processes(shown)["w2"].situation.state == "missing"
    assert processes(shown)["w2"].situation.since == 7.5
    assert agents(shown)["post"].situation.since == 7.5
    assert processes(shown)["w1"].situation.since is None


def test_a_message_in_hand_is_at_least_so_old_as_it_was_seen_where_its_node_does_not_know() -> None:
    def seen(at: float, number: str, seconds: float | None = None):
        held = {"in_hand": "order", "in_hand_id": number, "in_hand_for": seconds}
        return look(at, node("w1", agent("press", **held)))

    looks = [seen(10.0, "a", 0.5), seen(11.0, "b"), seen(13.0, "b"), seen(14.0, "c")]
    shown = [agents(frame(*looks[: n + 1]))["press"].in_hand for n in range(4)]
    assert shown == [
        InHand("order", "a", 0.5),
        InHand("order", "b"),
        InHand("order", "b", 2.0, at_least=True),
        InHand("order", "c"),
    ]
    assert agents(frame(*looks, look(15.0, node("w1", agent("press")))))["press"].in_hand is None


def test_the_latest_crash_counts_whoever_tells_of_it() -> None:
    of_process = {"agent": "press", "text": "its process has gone", "seconds": 4.0}
    of_agent = {"agent": "press", "text": "ValueError: no ink", "seconds": 9.0}
    told = (
        node("supervisor", crashes=[of_process]),
        node("w1", agent("press"), crashes=[of_agent]),
    )
    assert agents(frame(look(1.0, *told)))["press"].crash.text == "its process has gone"
    assert agents(frame(look(1.0, *reversed(told))))["press"].crash.text == "its process has gone"
    unknown = (node("supervisor", crashes=[{**of_agent, "seconds": "soon"}]), told[1])
    assert agents(frame(look(1.0, *unknown)))["press"].crash.seconds == 9.0


def test_losses_of_an_agent_are_those_that_any_node_has_counted() -> None:
    told = (node("supervisor", lost={"press": 2}), node("w1", agent("press"), lost={"press": 3}))
    assert agents(frame(look(1.0, *told)))["press"].lost == 5


def test_what_waits_is_shown_for_agents_that_are_away_too() -> None:
    shown = frame(look(1.0, node("supervisor"), backlog={"press": 4}))
    assert (shown.backlogs, agents(shown)["press"].backlog, agents(shown)["ink"].backlog) == (
        True,
        4,
        0,
    )
    assert frame(look(1.0, node("supervisor"))).backlogs is False


def test_counters_that_make_no_sense_are_no_rates_below_zero() -> None:
    first = look(10.0, node("w1", agent("press", 100, busy=9.0)))
    press = agents(frame(first, look(11.0, node("w1", agent("press", 90, busy=1.0)))))["press"]
    assert (press.rate, press.busy) == (0.0, 0.0)
    press = agents(frame(first, look(10.0, node("w1", agent("press", 190)))))["press"]
    assert press.rate is None
