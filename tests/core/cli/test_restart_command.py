"""`civitas restart`, on a ledger: what it does, and how it ends."""

from __future__ import annotations

import asyncio
import json

from core.cli.test_dead_letters import Kept, Outcome, kept
from support.agents import Gate, Scripted, until
from support.ledger import running

__all__ = ["kept"]

COOK, WAITER = "cook", "waiter"


async def restart(kept: Kept, agent: str, *options: str) -> Outcome:
    given = ("restart", agent, "--connect-timeout=5", *options)
    return await asyncio.to_thread(kept.civitas, *given)


async def test_an_agent_begins_anew_and_keeps_what_waits_for_it(kept) -> None:
    gate = Gate()
    async with running(kept.ledger, Scripted(COOK, gate), Scripted(WAITER)) as runtime:
        for _ in range(3):
            await runtime.send(COOK, {})
        await gate.entered.wait()
        wanted = asyncio.create_task(restart(kept, COOK))
        await until(lambda: runtime.stats().agents[0].state == "stopping")
        gate.opened.set()
        told = await wanted
        await until(lambda: runtime.stats().agents[0].handled == 3)
        assert [each.restarts for each in runtime.stats().agents] == [1, 0]
    assert (told.code, told.out, told.err) == (0, "", "restarted 'cook'\n")


async def test_json_says_what_was_restarted(kept) -> None:
    async with running(kept.ledger, Scripted(COOK), Scripted(WAITER)):
        told = await restart(kept, WAITER, "--json")
    assert json.loads(told.out) == {"restarted": True, "agent": WAITER}


async def test_a_name_that_nobody_has_is_a_failure_with_a_suggestion(kept) -> None:
    async with running(kept.ledger, Scripted(COOK), Scripted(WAITER)):
        told = await restart(kept, "wiater")
    assert (told.code, told.out) == (1, "")
    assert "is called 'wiater'; did you mean 'waiter'?" in told.err


async def test_an_agent_that_is_done_is_a_failure(kept) -> None:
    cook = Scripted(COOK)
    async with running(kept.ledger, cook, Scripted(WAITER)):
        cook.stop()
        await until(lambda: cook.status.value == "STOPPED")
        told = await restart(kept, COOK)
    assert told.code == 1
    assert "agent 'cook' is done, and stays so" in told.err


async def test_one_that_takes_longer_is_a_failure_and_goes_on(kept) -> None:
    gate = Gate()
    async with running(kept.ledger, Scripted(COOK, gate), Scripted(WAITER)) as runtime:
        await runtime.send(COOK, {})
        await gate.entered.wait()
        told = await restart(kept, COOK, "--timeout=1.5")
        gate.opened.set()
        await until(lambda: runtime.stats().restarts == 1)
    assert told.code == 1
    assert "agent 'cook' has not started again within 1.5 s; that goes on" in told.err


def test_a_transport_that_stays_within_one_process_is_refused(kept) -> None:
    kept.topology("in_process")
    told = kept.civitas("restart", COOK)
    assert (told.code, told.out) == (2, "")
    assert "stays within its own: its agents can be asked only from inside" in told.err
    assert "/ready and /metrics of `civitas run --health PORT`" in told.err
