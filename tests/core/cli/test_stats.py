"""`civitas stats`, on a ledger: what it prints, what it counts, and how it ends."""

from __future__ import annotations

import asyncio
import json

from core.cli.test_dead_letters import Kept, Outcome, kept
from support.agents import Gate, Scripted, fail, until
from support.instruments import raising
from support.ledger import LedgerTransport, running

__all__ = ["kept"]

COOK, WAITER = "cook", "waiter"


async def stats(kept: Kept, *options: str) -> Outcome:
    return await asyncio.to_thread(kept.civitas, "stats", "--connect-timeout=5", *options)


async def test_all_runs_and_check_is_content(kept):
    async with running(kept.ledger, Scripted(COOK), Scripted(WAITER)):
        told = await stats(kept, "--check", "--json")
    found = json.loads(told.out)
    assert (told.code, told.err, found["all_running"]) == (0, "", True)
    assert [each["state"] for each in (*found["processes"], *found["agents"])] == ["running"] * 3


async def test_what_instruments_have_done_wrong_is_told(kept):
    faulty = raising("sending", "restarted")
    async with running(kept.ledger, Scripted(COOK), instruments=[faulty]) as runtime:
        for _ in range(3):
            await runtime.send(COOK, {})
        plain, told = await stats(kept), await stats(kept, "--json")
    lines = [line for line in plain.out.splitlines() if "instrument" in line]
    assert lines == ["supervisor: instrument 'Faulty': sending has failed 3 times"]
    (node,) = [each for each in json.loads(told.out)["nodes"] if each["role"] == "primary"]
    assert node["instruments"] == {"Faulty": {"sending": 3}}


async def test_what_agents_have_of_their_own_is_told(kept):
    async def begin(agent, message):
        if message.type == "begin":
            agent.background(asyncio.Event().wait())
            agent.every(3600, {})
            agent.after(0, {}, "tick")

    async with running(kept.ledger, Scripted(COOK, begin), Scripted(WAITER)) as runtime:
        await runtime.send(COOK, {}, "begin")
        await until(lambda: runtime.stats().agents[0].handled == 2)
        plain, told = await stats(kept), await stats(kept, "--json")
    lines = [line for line in plain.out.splitlines() if "timers" in line]
    assert lines == ["agent 'cook': timers 1, ticks 1, background tasks 1"]
    (node,) = [each for each in json.loads(told.out)["nodes"] if each["role"] == "primary"]
    cook, waiter = node["agents"]
    assert (cook["timers"], cook["ticks"], cook["background_tasks"]) == (1, 1, 1)
    assert {"timers", "ticks", "retries"}.isdisjoint(waiter)


async def test_an_agent_that_is_not_there_is_listed_and_check_fails_with_its_name(kept):
    async with running(kept.ledger, Scripted(COOK)):
        plain = await stats(kept)
        checked = await stats(kept, "--check")
    assert plain.code == 0
    assert checked.code == 1
    assert checked.err == "error: not running: agent 'waiter'\n"
    assert "agent 'waiter' is missing: process 'supervisor' runs without it" in checked.out


async def test_what_waits_is_counted_for_agents_that_are_there_and_for_those_that_are_not(kept):
    kept.wait(WAITER, 1, 2, 3)
    gate = Gate()
    async with running(kept.ledger, Scripted(COOK, gate)) as runtime:
        await runtime.send(COOK, {})
        await runtime.send(COOK, {})
        await gate.entered.wait()
        told = await stats(kept, "--json")
        table = await stats(kept)
        gate.opened.set()
    agents = {each["agent"]: each["backlog"] for each in json.loads(told.out)["agents"]}
    assert agents == {COOK: 2, WAITER: 3}
    assert json.loads(told.out)["waiting"] == {COOK: 2, WAITER: 3}
    [waiter] = [line for line in table.out.splitlines() if line.startswith("waiter")]
    assert waiter.split() == ["waiter", "supervisor", "missing", "3"]


async def test_a_transport_that_fails_to_count_is_told_and_spoils_nothing_else(kept, monkeypatch):
    async def broken(self: LedgerTransport, addresses: object) -> dict[str, int]:
        raise LookupError("no \x1b[31mcount")

    monkeypatch.setattr(LedgerTransport, "backlog", broken)
    kept.topology("sealed")
    async with running(kept.ledger, Scripted(COOK), Scripted(WAITER)):
        told = await stats(kept, "--check")
    assert told.code == 0
    assert "what waits in the transport was not counted: LookupError: no \\x1b[31mcount" in told.err


async def test_a_crashed_agent_backs_off_with_its_reason_until_it_is_restarted(kept):
    crashing = Scripted(COOK, fail)
    crashing.shutdown_timeout = 0.1  # its message was given back, and waits for the restart
    async with running(kept.ledger, crashing, Scripted(WAITER), backoff_base=60.0) as runtime:
        await runtime.send(COOK, {})
        await until(lambda: runtime.stats().agents[0].restart_in is not None)
        told = await stats(kept, "--check", "--json")
        table = await stats(kept)
    [cook] = [each for each in json.loads(told.out)["agents"] if each["agent"] == COOK]
    assert told.code == 1
    assert cook["state"] == "backing off"
    assert 0 < cook["seconds_left"] <= 60
    assert cook["since"] < cook["until"]
    assert cook["reason"].startswith("ValueError: ")
    assert "backing off, " in table.out
    assert "agent 'cook' is backing off: ValueError: " in table.out


async def test_an_agent_that_is_done_is_no_failure(kept):
    cook = Scripted(COOK)
    async with running(kept.ledger, cook, Scripted(WAITER)):
        cook.stop()
        await until(lambda: cook.status.value == "STOPPED")
        told = await stats(kept, "--check", "--json")
    states = {each["agent"]: each["state"] for each in json.loads(told.out)["agents"]}
    assert (told.code, states) == (0, {COOK: "done", WAITER: "running"})


def test_without_a_system_all_is_missing_and_what_waits_is_counted_all_the_same(kept):
    kept.wait(WAITER, 1, 2)
    told = kept.civitas("stats", "--json", "--connect-timeout=0.3")
    found = json.loads(told.out)
    assert told.code == 1
    assert told.err.startswith("error: the transport is connected, and no running system was found")
    assert {each["state"] for each in (*found["processes"], *found["agents"])} == {"missing"}
    assert found["waiting"] == {WAITER: 2}
    assert found["all_running"] is False
