"""Checks of what a written history has none of: each is shown by a system that breaks its rule."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from civitas import AgentProcess, Message, Runtime
from civitas.errors import logger_of
from civitas.testing import simulation as sim
from civitas.testing.simulation.run import RunOutcome, Scenario, run
from core.simulation.scenarios import SCENARIOS

pytestmark = pytest.mark.slow


class Good(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        return self.reply({})


async def idle(system: sim.System) -> None:
    async with system.load("a", rate=5):
        await system.storm(seconds=3)


def played(
    agent: type[AgentProcess] = Good, test: Callable[[sim.System], Awaitable[object]] = idle
) -> RunOutcome:
    block = {"name": "a", "type": "it", "process": "worker", "shutdown_timeout": 2.0}
    topology = {"supervision": {"name": "root", "children": [{"agent": block}]}}
    return run(Scenario(test, topology, sim.Faults(), {"it": agent}), 1)


def test_a_good_system_breaks_nothing() -> None:
    assert played().summary() == ""


def test_a_stop_that_takes_longer_than_it_may_is_found() -> None:
    class Slow(Good):
        async def on_stop(self) -> None:
            time.sleep(120.0)  # noqa: ASYNC251 - no timeout ends it

    outcome = played(Slow)
    assert outcome.rules == ("stops end",)
    assert outcome.broken[0][1].startswith("worker.1 took 120.")


def test_a_task_that_is_left_is_found() -> None:
    class Forgetful(Good):
        async def on_start(self) -> None:
            self.state["task"] = asyncio.create_task(asyncio.sleep(1000), name="forgotten")

    assert played(Forgetful).broken == [("nothing is left", "worker.1: task 'forgotten'")]


def test_what_is_left_to_be_called_later_is_found() -> None:
    class Forgetful(Good):
        async def on_start(self) -> None:
            asyncio.get_running_loop().call_later(1000.0, self.remind)

        def remind(self) -> None:
            """Be called when nobody is there any more."""

    ((rule, text),) = played(Forgetful).broken
    assert rule == "nothing is left"
    assert "Forgetful.remind" in text


def test_a_timer_that_was_cancelled_is_not_left() -> None:
    class Tidy(Good):
        async def on_start(self) -> None:
            self.state["timer"] = asyncio.get_running_loop().call_later(1000.0, print)

        async def on_stop(self) -> None:
            self.state["timer"].cancel()

    assert played(Tidy).summary() == ""


@pytest.mark.parametrize("too_many", [1, -1])
def test_a_counter_that_is_wrong_is_found(too_many: int) -> None:
    async def counts(system: sim.System) -> None:
        await idle(system)
        node = system.deployment.current["worker"].node
        assert node is not None
        node.components.bus.dead_letters.counts["nothing"] += too_many

    outcome = played(test=counts)
    assert f"the counters are exact: sent is {-too_many} off" in outcome.summary()


def test_an_agent_that_does_not_answer_after_the_faults_is_found() -> None:
    async def without_worker(system: sim.System) -> None:
        system.network.link_down(system.deployment.current["worker"].process, "cut")
        system.network.calm = lambda: None  # type: ignore[method-assign] # it stays cut
        await system.calm(within=5)

    outcome = played(test=without_worker)
    assert "not running" in outcome.rules
    assert "a from supervisor: TimeoutError" in outcome.summary()


def test_a_part_that_ends_unexpectedly_is_found() -> None:
    class Loud(Good):
        async def on_start(self) -> None:
            logger_of("civitas.node").critical("a part has failed")

    assert played(Loud).rules == ("nothing ends unexpectedly",)


def test_a_node_that_stops_just_after_an_agent_was_done_leaves_no_timer() -> None:
    """Its route to that agent was to be closed a moment later."""
    assert "nothing is left" not in run(SCENARIOS["jobs"], 52).rules


def test_a_runtime_that_goes_on_after_its_last_agent_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Done(Good):
        async def on_start(self) -> None:
            self.stop()

    async def until_it_is_done(system: sim.System) -> None:
        await asyncio.sleep(3.0)

    assert played(Done, until_it_is_done).summary() == ""
    monkeypatch.setattr(Runtime, "_all_ended", False)
    outcome = played(Done, until_it_is_done)
    assert outcome.broken == [
        ("the end has a reason", "all agents are done, and the runtime goes on")
    ]
