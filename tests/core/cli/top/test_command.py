"""`civitas top` without a terminal, on a ledger: one frame, a stream of JSON, and refusals."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from core.cli.test_dead_letters import Kept, Outcome, kept
from support.agents import Gate, Scripted, fail, until
from support.ledger import LedgerTransport, running
from support.tmux import row

__all__ = ["kept"]

COOK, WAITER = "cook", "waiter"


async def top(kept: Kept, *options: str) -> Outcome:
    given = ("--once", "--interval=0.1", "--connect-timeout=5", *options)
    return await asyncio.to_thread(kept.civitas, "top", *given)


def agents(told: Outcome) -> dict[str, Any]:
    return {each["agent"]: each for each in json.loads(told.out)["agents"]}


async def test_a_frame_has_what_is_in_hand_what_waits_and_rates(kept) -> None:
    gate = Gate()
    async with running(kept.ledger, Scripted(COOK, gate), Scripted(WAITER)) as runtime:
        for _ in range(2):
            await runtime.send(COOK, {}, message_type="order")
        await gate.entered.wait()
        told = await top(kept, "--json")
        plain = await top(kept)
        gate.opened.set()
    cook = agents(told)[COOK]
    assert (told.code, told.err, told.out.count("\n")) == (0, "", 1)
    assert (cook["state"], cook["rate"], cook["backlog"]) == ("running", 0, 2)
    assert 0.5 < cook["busy"] <= 1
    assert cook["in_hand"]["type"] == "order"
    assert not cook["in_hand"]["at_least"]
    assert row(plain.out, COOK)[:4] == [COOK, "supervisor", "running", "0"]


async def test_the_last_crash_is_told_also_of_an_agent_that_runs_again(kept) -> None:
    async with running(kept.ledger, Scripted(COOK, fail), Scripted(WAITER)) as runtime:
        await runtime.send(COOK, {})
        await until(lambda: runtime.stats().restarts > 0)
        told = await top(kept, "--json")
        plain = await top(kept)
    assert agents(told)[COOK]["last_crash"]["text"] == "ValueError: no good"
    assert "agent 'cook' crashed last " in plain.out
    assert plain.out.endswith(" ago: ValueError: no good\n")


async def test_a_transport_that_fails_to_count_is_told_and_spoils_nothing_else(
    kept, monkeypatch
) -> None:
    async def broken(self: LedgerTransport, addresses: object) -> dict[str, int]:
        raise LookupError("no \x1b[31mcount")

    monkeypatch.setattr(LedgerTransport, "backlog", broken)
    async with running(kept.ledger, Scripted(COOK), Scripted(WAITER)):
        told = await top(kept)
    assert "was not counted: LookupError: no \\x1b[31mcount" in told.out
    assert row(told.out, COOK)[:3] == [COOK, "supervisor", "running"]
    assert "backlog" not in told.out


def test_without_a_system_a_frame_says_so_and_it_is_a_failure(kept) -> None:
    told = kept.civitas("top", "--once", "--connect-timeout=0.3")
    assert told.code == 1
    assert told.err.startswith("error: the transport is connected, and no running system was found")
    assert row(told.out, COOK)[:3] == [COOK, "supervisor", "missing"]
    assert "trying again" not in told.out + told.err


def test_a_transport_that_stays_within_one_process_is_refused_with_the_reason(kept) -> None:
    kept.topology("in_process")
    told = kept.civitas("top", "--once")
    assert (told.code, told.out) == (2, "")
    assert "stays within its own: its agents can be asked only from inside" in told.err
    assert "/ready and /metrics of `civitas run --health PORT`" in told.err


def test_what_is_no_terminal_gets_no_live_view(kept) -> None:
    told = kept.civitas("top")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("error: the live view needs a terminal as stdin and stdout; --once")
