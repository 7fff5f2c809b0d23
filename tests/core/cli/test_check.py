"""`civitas check`: an exit code and a line, for probes and cron."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from civitas._health.settings import Listen
from civitas.cli.check.page import ask_ready
from civitas.cli.check.verdict import Checked, well, why_not
from civitas.cli.stats.answers import NodeAnswer
from civitas.cli.stats.counting import Waiting
from civitas.cli.stats.states import Expected, SystemStates, states_of
from civitas.errors import CivitasError
from core.cli.test_dead_letters import Kept, Outcome, kept
from support.agents import Gate, Scripted
from support.ledger import running
from support.probing import running as running_with_health

__all__ = ["kept"]

COOK, WAITER = "cook", "waiter"
EXPECTED = Expected(("supervisor", "kitchen"), {WAITER: "supervisor", COOK: "kitchen"})


def agent(name: str, state: str = "running", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "since": 9.0, **more}


def states(*cooks: dict[str, Any], waiter: dict[str, Any] | None = None) -> SystemStates:
    """Judge a system of two processes, of which the kitchen is away unless it has cooks."""
    told = [{"process": "supervisor", "role": "primary", "agents": (waiter or agent(WAITER),)}]
    if cooks:
        told.append({"process": "kitchen", "role": "worker", "agents": cooks})
    return states_of(EXPECTED, map(NodeAnswer.read, told), reached=True)


ALL, KITCHEN, HALL = Checked(), Checked("kitchen"), Checked("supervisor")


def test_a_system_of_which_all_runs_is_well():
    found = states(agent(COOK, "done"))
    assert [why_not(each, found, Waiting()) for each in (ALL, KITCHEN, HALL)] == [""] * 3
    assert well(ALL, found) == "ok: 2 processes, 2 agents"
    assert well(KITCHEN, found) == "ok: 1 process, 1 agent"


def test_what_does_not_run_is_named_with_its_state_and_time():
    found = states()
    assert why_not(ALL, found, Waiting()) == (
        "process 'kitchen' is missing; agent 'cook' is missing"
    )
    stuck = states(agent(COOK, stuck=61.0, mailbox_depth=2))
    assert why_not(ALL, stuck, Waiting()) == "agent 'cook' is stuck for 1 min 1 s"


def test_one_process_is_not_judged_by_another():
    found = states()
    assert why_not(HALL, found, Waiting()) == ""
    assert why_not(KITCHEN, found, Waiting()) != ""


def test_more_than_some_names_are_counted():
    expected = Expected(("supervisor",), {f"a{n}": "supervisor" for n in range(30)})
    found = states_of(expected, [], reached=True)
    assert why_not(ALL, found, Waiting()).endswith("; and 21 more")


def test_the_backlog_of_a_transport_is_what_counts_where_it_keeps_messages():
    found = states(agent(COOK, mailbox_depth=50))
    waiting = Waiting({COOK: 11, WAITER: 10}, {"former": 12})
    assert why_not(Checked(backlog=10), found, waiting) == (
        "11 messages wait for agent 'cook'; 12 messages are stranded, for 'former'"
    )
    assert why_not(Checked("supervisor", 10), found, waiting) == ""
    assert why_not(Checked(backlog=12), found, waiting) == ""


def test_elsewhere_it_is_what_is_queued():
    found = states(agent(COOK, mailbox_depth=11))
    assert why_not(Checked(backlog=10), found, Waiting()) == "11 messages wait for agent 'cook'"
    assert why_not(Checked(backlog=11), found, Waiting()) == ""


def test_a_backlog_that_can_not_be_counted_is_not_well():
    found = states(agent(COOK))
    why = why_not(Checked(backlog=10), found, Waiting(problem="not within 5 s"))
    assert why == "what waits was not counted: not within 5 s"


# --- the command ----------------------------------------------------------------------------------


async def check(kept: Kept, *options: str) -> Outcome:
    return await asyncio.to_thread(kept.civitas, "check", "--connect-timeout=5", *options)


async def test_a_system_that_is_well_is_a_line_and_0(kept):
    async with running(kept.ledger, Scripted(COOK), Scripted(WAITER)):
        assert await check(kept) == Outcome(0, "ok: 1 process, 2 agents\n", "")
        told = await check(kept, "--json", "--process=supervisor")
    found = json.loads(told.out)
    assert (found["ok"], found["reason"], told.code) == (True, "", 0)
    assert [each["agent"] for each in found["agents"]] == [COOK, WAITER]


async def test_one_that_is_not_is_a_line_and_1(kept):
    async with running(kept.ledger, Scripted(COOK)):
        plain, told = await check(kept), await check(kept, "--json")
    assert plain == Outcome(1, "", "error: agent 'waiter' is missing\n")
    assert told.code == 1
    assert json.loads(told.out)["reason"] == "agent 'waiter' is missing"


async def test_what_waits_is_counted_where_it_is_asked_for(kept):
    gate = Gate()
    async with running(kept.ledger, Scripted(COOK, gate), Scripted(WAITER)) as runtime:
        for _ in range(3):
            await runtime.send(COOK, {})
        await gate.entered.wait()
        few, many = await check(kept, "--backlog=2"), await check(kept, "--backlog=3")
        gate.opened.set()
    assert few == Outcome(1, "", "error: 3 messages wait for agent 'cook'\n")
    assert many.code == 0


def test_no_system_is_1_and_a_process_that_the_topology_has_not_is_2(kept):
    absent = kept.civitas("check", "--json", "--connect-timeout=0.3")
    assert absent.code == 1
    assert absent.err.count("\n") == 1
    assert "no running system was found" in json.loads(absent.out)["reason"]
    unknown = kept.civitas("check", "--process=nowhere")
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert "has no process 'nowhere'" in unknown.err


# --- a process that nobody reaches but at its health address --------------------------------------


async def test_a_process_on_its_own_is_asked_at_its_health_address():
    gate = Gate()
    async with running_with_health(Scripted("a", gate), stuck_after=0.2) as runtime:
        listen = runtime.components.health.listen
        assert listen is not None
        port = int(runtime.health_url.rpartition(":")[2])
        for host in ("127.0.0.1", "0.0.0.0"):
            assert (
                await asyncio.to_thread(ask_ready, listen._replace(host=host, port=port), 5) == []
            )
        runtime.components.config.link_state.down("it went")
        told = await asyncio.to_thread(ask_ready, listen._replace(port=port), 5)
        assert told == ["the transport is not connected: it went"]


async def test_a_process_that_was_given_its_address_on_the_command_line_is_asked_there(kept):
    kept.topology("in_process")
    told = await check(kept)
    assert (told.code, told.out) == (2, "")
    assert "health.listen of the topology, or of --set where it was started with --health" in (
        told.err
    )
    async with running_with_health(Scripted("a")) as runtime:
        at = runtime.health_url.rpartition(":")[2]
        assert await check(kept, f"--set=health.listen={at}") == Outcome(0, "ok: 1 process\n", "")


async def test_the_command_asks_there(kept):
    async with running_with_health(Scripted("a")) as runtime:
        kept.topology("in_process", health={"listen": runtime.health_url.removeprefix("http://")})
        assert await check(kept) == Outcome(0, "ok: 1 process\n", "")
        runtime.components.config.link_state.down("it went")
        told = await check(kept, "--json")
    why = "the transport is not connected: it went"
    assert (told.code, json.loads(told.out)) == (1, {"ok": False, "reason": why})


def test_an_address_at_which_nobody_answers_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(CivitasError, match=f"no process answers at 127.0.0.1:{port}"):
        ask_ready(Listen("127.0.0.1", port), 1)


def test_a_transport_within_one_process_needs_the_address(kept):
    kept.topology("in_process")
    told = kept.civitas("check")
    assert told.code == 2
    assert "this command asks there" in told.err
