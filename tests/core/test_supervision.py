"""Supervision within one process: what its tree, its starts and its counts are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from civitas import ErrorAction, Runtime, Supervisor
from civitas.errors import ConfigurationError, MessageRoutingError, SpawnError
from civitas.process import ProcessStatus
from support.agents import SOON
from support.lives import Log, Mortal, count, mortals


@asynccontextmanager
async def tree(root: Supervisor, log: Log) -> AsyncIterator[Runtime]:
    async with Runtime(root) as runtime:
        log.take()
        yield runtime


# --- intensity, backoff, escalation ---------------------------------------------------------------


async def test_crashes_long_ago_do_not_count() -> None:
    log = Log()
    root = Supervisor(
        "root", mortals(log, 1), max_restarts=1, restart_window=0.001, backoff_base=0.002
    )
    async with tree(root, log) as runtime:
        for n in range(1, 5):
            await runtime.send("w1", {"do": "crash"})
            await log.until("start w1", n)
        assert await count(runtime, "w1") == 1


async def test_the_end_of_a_tree_that_gave_up_does_not_wait_for_work_that_nobody_can_do() -> None:
    log = Log()
    letters: list[str] = []
    runtime = Runtime(Supervisor("root", mortals(log, 1), max_restarts=0))
    runtime.on_dead_letter(lambda item, reason: letters.append(reason))
    async with runtime:
        await runtime.send("w1", {"do": "crash"})
        await runtime.send("w1", {})
        assert runtime.all_agents()[0].shutdown_timeout > SOON
        assert await asyncio.wait_for(runtime.wait(), SOON) == 1
    assert letters == ["the recipient has stopped"]


# --- on_error -------------------------------------------------------------------------------------


async def test_stop_ends_the_agent_for_good_and_what_is_queued_is_accounted_for() -> None:
    log = Log()
    worker = Mortal("w", log, ErrorAction.STOP)
    async with tree(Supervisor("root", [worker, *mortals(log, 1)]), log) as runtime:
        await runtime.send("w", {"do": "crash"})
        await runtime.send("w", {"n": "left behind"})
        with pytest.raises(MessageRoutingError, match="'w' has stopped"):
            await runtime.ask("w", {}, timeout=SOON)
        assert worker.status is ProcessStatus.STOPPED
        assert runtime.stats().dropped == {"the recipient has stopped": 2}
        with pytest.raises(MessageRoutingError, match="agent called 'w'|agent 'w' has stopped"):
            await runtime.send("w", {})


# --- starting -------------------------------------------------------------------------------------


async def test_children_start_in_order_and_stop_in_reverse() -> None:
    log = Log()
    inner = Supervisor("inner", mortals(log, 2, 3))
    async with Runtime(Supervisor("root", [*mortals(log, 1), inner, *mortals(log, 4)])):
        assert log.take() == ["start w1", "start w2", "start w3", "start w4"]
    assert log.take() == ["stop w4", "stop w3", "stop w2", "stop w1"]


async def test_an_agent_that_can_not_start_fails_the_start_and_stops_the_others() -> None:
    class Broken(Mortal):
        async def on_start(self) -> None:
            raise OSError("no database")

    log = Log()
    runtime = Runtime(Supervisor("root", [*mortals(log, 1), Broken("b", log), *mortals(log, 2)]))
    with pytest.raises(SpawnError, match="agent 'b' could not start: OSError: no database"):
        await runtime.start()
    assert log.take() == ["start w1", "stop w1"]
    assert await runtime.wait() == 1
    await runtime.stop()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"strategy": "ALL"}, "strategy.*'ALL'.*ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE"),
        ({"backoff": "QUADRATIC"}, "backoff.*CONSTANT, LINEAR, EXPONENTIAL"),
        ({"max_restarts": -1}, "max_restarts.*at least 0"),
        ({"restart_window": 0}, "restart_window.*above 0"),
        ({"backoff_base": -1}, "backoff_base.*at least 0"),
        ({"name": "a b"}, "can't contain ' '"),
    ],
)
def test_a_supervisor_of_wrong_values_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Supervisor(**({"name": "root"} | wrong))
