"""What `civitas stats` makes of what nodes tell: each process and each agent has a state."""

from __future__ import annotations

from typing import Any

import pytest

from civitas.cli.stats.answers import NodeAnswer
from civitas.cli.stats.output import duration
from civitas.cli.stats.states import Expected, Situation, SystemStates, states_of

EXPECTED = Expected(
    ("supervisor", "w1", "w2"), {"here": "supervisor", "far": "w1", "off": "w1", "near": "w2"}
)


def agent(name: str, state: str = "running", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "since": 9.0, **more}


def node(process: str, *agents: dict[str, Any], **more: Any) -> dict[str, Any]:
    role = "primary" if process == "supervisor" else "worker"
    return {"process": process, "node": f"id-{process}", "role": role, "agents": agents, **more}


PRIMARY = node("supervisor", agent("here"))
W1 = node("w1", agent("far"), agent("off"))
W2 = node("w2", agent("near"))


def judged(*told: dict[str, Any], reached: bool = True) -> SystemStates:
    answers = [NodeAnswer.read(each) for each in told]
    return states_of(EXPECTED, answers, reached=reached, searched=3.04)


def situations(*told: dict[str, Any], reached: bool = True) -> dict[str, Situation]:
    states = judged(*told, reached=reached)
    return {row.name: row.situation for row in (*states.processes, *states.agents)}


def failing(*told: dict[str, Any]) -> list[str]:
    processes, agents = judged(*told).failing
    return processes + agents


def test_where_all_runs_nothing_fails():
    assert {each.state for each in situations(PRIMARY, W1, W2).values()} == {"running"}
    assert failing(PRIMARY, W1, W2) == []


def test_an_agent_whose_queue_does_not_move_is_stuck():
    w1 = node("w1", agent("far", stuck=61.5, mailbox_depth=3), agent("off"))
    assert situations(PRIMARY, w1, W2)["far"] == Situation("stuck", 61.5, reason="queued: 3")
    assert failing(PRIMARY, w1, W2) == ["far"]


def test_an_agent_that_crashed_with_messages_waiting_is_told_as_crashed():
    w1 = node("w1", agent("far", "crashed", stuck=61.5), agent("off"))
    assert situations(PRIMARY, w1, W2)["far"].state == "crashed"


@pytest.mark.parametrize(("died", "state"), [(True, "missing"), (False, "gone")])
def test_a_process_that_has_gone_and_its_agents_are_told_with_the_time(died, state):
    gone = {"process": "w1", "node": "id-w1", "died": died, "reason": "why", "since": 7.0}
    told = situations({**PRIMARY, "gone": [gone]}, W2)
    assert told["w1"] == Situation(state, 7.0, reason="why")
    assert told["far"] == told["off"] == Situation(state, 7.0)
    assert failing({**PRIMARY, "gone": [gone]}, W2) == ["w1", "far", "off"]


def test_the_word_of_the_primary_counts_before_that_of_others():
    gone = {"process": "w1", "node": "id-w1", "died": True, "reason": "why", "since": 7.0}
    seen = {"process": "w1", "node": "id-w1", "role": "worker"}
    assert situations({**PRIMARY, "gone": [gone]}, {**W2, "peers": [seen]})["w1"].state == "missing"
    assert situations({**PRIMARY, "peers": [seen]}, {**W2, "gone": [gone]})["w1"].state == "silent"


def test_a_primary_that_is_away_is_told_by_the_others():
    gone = {"process": "supervisor", "died": True, "reason": "its pings have stopped", "since": 3.0}
    told = situations(W1, {**W2, "gone": [gone]})
    assert told["supervisor"] == Situation("missing", 3.0, reason="its pings have stopped")
    assert told["here"] == Situation("missing", 3.0)
    assert told["far"].state == "running"


def test_a_process_that_was_never_seen_is_missing_since_the_primary_has_started():
    one_for_all = [agent("far", "absent", process="w1", since=40.0)]
    told = situations({**PRIMARY, "elsewhere": one_for_all}, W2)
    assert (told["w1"].state, told["w1"].since) == ("missing", 40.0)
    assert "not seen since the primary" in told["w1"].reason


def test_a_process_that_does_not_answer_is_silent_with_its_limit():
    silent = {**PRIMARY, "silent": {"id-w1": 4.0}}
    late = {"process": "w1", "node": "id-w1", "error": "no answer within 5 s"}
    assert situations(silent, late, W2)["w1"] == Situation("silent", 4.0, reason=late["error"])
    known = {"process": "w1", "node": "id-w1", "role": "worker", "agents": ["far", "off"]}
    unheard = situations({**silent, "peers": [known]}, W2)
    assert (unheard["w1"].state, unheard["w1"].since) == ("silent", 4.0)
    assert unheard["w1"].reason.endswith("it did not answer within 3.0 s")
    assert (unheard["far"].state, unheard["far"].since) == ("silent", 4.0)


def test_agents_of_a_stalled_process_are_stalled_but_for_those_that_are_done():
    stalled = {**W1, "agents": [agent("far"), agent("off", "done")], "stalled": 2.5}
    told = situations(PRIMARY, stalled, W2)
    assert told["w1"] == told["far"] == Situation("stalled", 2.5)
    assert told["off"] == Situation("done", 9.0)
    assert failing(PRIMARY, stalled, W2) == ["w1", "far"]


def test_what_is_done_is_no_failure_also_where_its_process_has_ended():
    done = [agent(name, "done", process="w1") for name in ("far", "off")]
    gone = {"process": "w1", "died": False, "reason": "it stopped", "since": 7.0}
    primary = {**PRIMARY, "elsewhere": done, "gone": [gone]}
    assert situations(primary, W2)["w1"] == Situation("done")
    assert failing(primary, W2) == []


@pytest.mark.parametrize("state", ["crashed", "down"])
def test_an_agent_that_waits_for_its_restart_is_backing_off(state):
    own = {**W1, "agents": [agent("far", state, failure="ValueError: no"), agent("off")]}
    tree = {**PRIMARY, "elsewhere": [agent("far", state, restart_in=3.0)]}
    assert situations(tree, own, W2)["far"] == Situation("backing off", 9.0, 3.0, "ValueError: no")
    by_itself = {**W1, "agents": [agent("far", state, restart_in=3.0), agent("off")]}
    assert situations(PRIMARY, by_itself, W2)["far"] == Situation("backing off", 9.0, 3.0)


@pytest.mark.parametrize("state", ["starting", "stopping", "crashed", "down"])
def test_what_does_not_run_yet_or_any_more_fails(state):
    own = {**W1, "agents": [agent("far", state), agent("off")]}
    assert situations(PRIMARY, own, W2)["far"] == Situation(state, 9.0)
    assert failing(PRIMARY, own, W2) == ["far"]


def test_an_agent_that_its_running_process_lacks_is_missing():
    told = situations(PRIMARY, {**W1, "agents": [agent("far")]}, W2)["off"]
    assert (told.state, told.reason) == (
        "missing",
        "process 'w1' runs without it: has it another topology?",
    )


def test_processes_and_agents_beside_the_topology_are_listed_and_never_fail():
    states = judged(PRIMARY, W1, W2, node("w9", agent("more", "crashed")))
    assert [each.name for each in states.processes if not each.expected] == ["w9"]
    assert [each.name for each in states.agents if not each.expected] == ["more"]
    assert states.failing == ([], [])


def test_an_agent_elsewhere_than_in_its_process_is_found():
    states = judged(PRIMARY, node("w1", agent("far")), node("w2", agent("near"), agent("off")))
    assert [(each.name, each.process) for each in states.agents if each.name == "off"] == [
        ("off", "w2")
    ]
    assert states.failing == ([], [])


def test_where_nobody_could_be_asked_nothing_is_known_and_where_nobody_was_all_is_missing():
    assert {each.state for each in situations(reached=False).values()} == {"unknown"}
    assert {each.state for each in situations().values()} == {"missing"}


def test_a_node_of_an_earlier_version_is_understood():
    words = {"INITIALIZING": "starting", "RUNNING": "running", "STOPPED": "done"}
    for status, word in words.items():
        told = {**W2, "agents": [{"name": "near", "status": status, "mailbox_depth": 3}]}
        states = judged(PRIMARY, W1, told)
        assert {row.situation for row in states.agents if row.name == "near"} == {Situation(word)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"agents": "far"},
        {"agents": [None, {"name": 7}, {"name": "far", "since": float("nan"), "errors": "x"}]},
        {"gone": [{"process": [], "since": 1e300}], "peers": 3},
        {"stalled": float("inf"), "state": None, "lost": {"a": "b"}, "silent": []},
    ],
)
def test_an_answer_of_other_types_is_read_as_far_as_it_goes(wrong):
    assert situations({**PRIMARY, **wrong})["supervisor"].state == "running"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (60, "1 min 0 s"),
        (3_725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_time_is_told_in_its_two_largest_units(seconds, text):
    assert duration(seconds) == text
