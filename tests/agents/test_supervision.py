"""Supervision of agents wherever they live: strategies, intensity, escalation, and backoff."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import Supervisor
from civitas.errors import AgentError, NotConnectedError
from civitas.process import ProcessStatus
from support.agents import SOON, Gate, Scripted, until
from support.lives import Log, Mortal, count, mortals

# --- strategies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "events"),
    [
        ("ONE_FOR_ONE", ["stop w2", "start w2"]),
        ("one_for_all", ["stop w2", "stop w3", "stop w1", "start w1", "start w2", "start w3"]),
        ("Rest_For_One", ["stop w2", "stop w3", "start w2", "start w3"]),
    ],
)
async def test_a_crash_restarts_whom_the_strategy_names_in_order(
    system: Any, strategy: str, events: list[str]
) -> None:
    log = Log()
    async with system(*mortals(log, 1, 2, 3), strategy=strategy) as s:
        log.take()
        for name in ("w1", "w2", "w3"):
            await count(s, name)
        await s.send("w2", {"do": "crash once"})
        await log.until(events[-1])
        assert log.take() == events
        restarted = {each.split()[1] for each in events}
        for name in ("w1", "w2", "w3"):
            assert await count(s, name) == (1 if name in restarted else 2)


async def test_two_crashes_at_once_restart_a_group_once(system: Any) -> None:
    entered, crash_now = asyncio.Barrier(3), asyncio.Event()

    async def crash_together(agent: Scripted, message: Any) -> Any:
        if "crash" not in message.payload or message.attempt:
            return agent.reply({}) if message.reply_to else None
        await entered.wait()
        await crash_now.wait()
        raise ValueError("crash")

    agents = [Scripted(name, crash_together) for name in "abc"]
    async with system(*agents, strategy="ONE_FOR_ALL", backoff_base=0.05) as s:
        for name in "ac":
            await s.send(name, {"crash": True})
        await entered.wait()
        crash_now.set()
        await until(lambda: s.restarts >= 3)
        for name in "abc":
            await s.ask(name, {}, timeout=SOON)
        assert s.restarts == 3


async def test_a_restart_makes_a_fresh_object_from_the_captured_arguments(system: Any) -> None:
    log = Log()
    async with system(Mortal("w", log, mailbox_size=7)) as s:
        before = s.agent("w")
        await s.send("w", {"do": "crash once"})
        await until(lambda: s.agent("w") is not before)
        after = s.agent("w")
        assert await count(s, "w") == 1
        assert (after.log, after.count, after.mailbox_size) == (log, 1, 7)
        assert after.status is ProcessStatus.RUNNING


async def test_the_message_that_crashed_it_is_not_handled_again(system: Any) -> None:
    async with system(*mortals(Log(), 1)) as s:
        with pytest.raises(AgentError, match="ValueError: crash"):
            await s.ask("w1", {"do": "crash"}, timeout=SOON)
        assert await count(s, "w1") == 1


async def test_a_restart_keeps_the_mailbox_and_the_order_in_it(system: Any) -> None:
    gate = Gate()
    seen: list[int] = []

    async def script(agent: Scripted, message: Any) -> Any:
        n = message.payload["n"]
        if n == 0 and not message.attempt:
            await gate(agent, message)
            raise ValueError("crash")
        seen.append(n)
        return agent.reply({}) if message.reply_to else None

    async with system(Scripted("a", script, mailbox_size=4)) as s:
        sends = [asyncio.create_task(s.send("a", {"n": n})) for n in range(20)]
        await gate.entered.wait()
        await s.queued("a", 4)
        gate.opened.set()
        await asyncio.gather(*sends)
        await s.ask("a", {"n": 20})
        assert s.restarts == 1
        assert s.dropped == {}
        assert s.lost == 0
    assert seen == list(range(0 if s.place.at_least_once else 1, 21))


async def test_an_agent_that_is_down_for_its_backoff_keeps_its_messages(system: Any) -> None:
    log = Log()
    async with system(*mortals(log, 1), backoff_base=0.1) as s:
        await s.send("w1", {"do": "crash"})
        await log.until("stop w1")
        asking = [asyncio.create_task(count(s, "w1")) for _ in range(3)]
        assert await asyncio.gather(*asking) == [1, 2, 3]


async def test_one_agents_backoff_does_not_hold_up_anothers_restart(system: Any) -> None:
    log = Log()
    # Who is given work again while it waits to be restarted has that long at the stop.
    waiting = Mortal("w1", log, shutdown_timeout=0.05)
    patient = Supervisor("patient", [waiting], backoff_base=60.0)
    quick = Supervisor("quick", mortals(log, 2), backoff_base=0.0)
    async with system(patient, quick) as s:
        await s.send("w1", {"do": "crash"})
        await log.until("stop w1")
        await s.send("w2", {"do": "crash"})
        await log.until("start w2", 2)
        assert s.agent("w1").status is ProcessStatus.CRASHED


async def test_crash_callbacks_of_the_runtime_hear_who_crashed_and_of_what(system: Any) -> None:
    log = Log()
    heard: list[tuple[str, str]] = []
    async with system(*mortals(log, 1, 2)) as s:
        s.on_crash(lambda name, error: 1 / 0)
        s.on_crash(lambda name, error: heard.append((name, str(error))))
        for name in ("w1", "w2"):
            await s.send(name, {"do": "crash once"})
            await log.until(f"start {name}", 2)
    assert [name for name, _ in heard] == ["w1", "w2"]
    assert all(text.endswith("crash") for _, text in heard)


# --- intensity, escalation ------------------------------------------------------------------------


async def test_too_many_crashes_end_the_runtime_with_a_failure(system: Any) -> None:
    log = Log()
    async with system(*mortals(log, 1, 2), max_restarts=2) as s:
        for n in range(3):
            await s.send("w1", {"do": "crash"})
            if n < 2:
                await log.until("start w1", 1 + (n + 1) * s.place.deliveries)
        assert await s.ended() == 1
        assert str(s.runtime.failure).endswith("crash")
        assert log.take().count("start w1") == 1 + 2 * s.place.deliveries
        with pytest.raises(NotConnectedError):
            await s.send("w2", {})


async def test_each_crash_counts_once(system: Any) -> None:
    log = Log()
    async with system(*mortals(log, 1, 2), max_restarts=6, strategy="ONE_FOR_ALL") as s:
        for n in range(6):
            await s.send("w1" if n % 2 else "w2", {"do": "crash"})
            await log.until("start w1", 1 + (n + 1) * s.place.deliveries)
            for name in ("w1", "w2"):
                assert await count(s, name) == 1
        assert s.runtime.failure is None
        assert s.restarts == 12 * s.place.deliveries


async def test_a_supervisor_that_gives_up_is_restarted_by_its_parent_with_all_below(
    system: Any,
) -> None:
    log = Log()
    inner = Supervisor("inner", mortals(log, 2, 3), max_restarts=0, backoff_base=0.0)
    async with system(*mortals(log, 1), inner) as s:
        await count(s, "w3")
        log.take()
        await s.send("w2", {"do": "crash once"})
        await log.until("start w3")
        assert log.take() == ["stop w2", "stop w3", "start w2", "start w3"]
        assert await count(s, "w3") == 1
        assert await count(s, "w1") == 1


async def test_escalation_goes_up_to_the_root(system: Any) -> None:
    inner = Supervisor("inner", mortals(Log(), 1), max_restarts=0, backoff_base=0.0)
    middle = Supervisor("middle", [inner], max_restarts=0, backoff_base=0.0)
    async with system(middle, max_restarts=0) as s:
        await s.send("w1", {"do": "crash"})
        assert await s.ended() == 1


async def test_a_supervisor_that_was_restarted_counts_its_crashes_anew(system: Any) -> None:
    inner = Supervisor("inner", mortals(Log(), 1), max_restarts=1, backoff_base=0.0)
    async with system(inner, max_restarts=1) as s:
        for n in range(1, 4):  # two within, one above: the root restarts the inner supervisor once
            await s.send("w1", {"do": "crash"})
            await until(lambda n=n: s.restarts == n * s.place.deliveries)
        await s.ask("w1", {}, timeout=SOON)
        assert s.runtime.failure is None


class Stubborn(Mortal):
    """Fails to start again, for the first two times."""

    async def on_start(self) -> None:
        await super().on_start()
        if self.log.events.count(f"start {self.name}") in (2, 3):
            raise OSError("not yet")


@pytest.mark.parametrize(
    ("strategy", "crashing"), [("ONE_FOR_ONE", "s"), ("ONE_FOR_ALL", "s"), ("ONE_FOR_ALL", "w1")]
)
async def test_an_agent_that_can_not_start_again_counts_as_crashed_again(
    system: Any, strategy: str, crashing: str
) -> None:
    log = Log()
    children = [Stubborn("s", log), *mortals(log, 1)]
    async with system(*children, max_restarts=3, strategy=strategy) as s:
        await s.send(crashing, {"do": "crash"})
        await log.until("start s", 4)
        assert await count(s, "s") == 1
        assert await count(s, "w1") >= 1
        assert s.runtime.failure is None
