"""Whatever methods of an instrument raise: a system does what it does without the instrument.

A run is a function of its seed, so the histories of two runs can be compared fact by fact: who sent
what, when, with which outcome; what was handled, by which object, in which attempt; who crashed and
was restarted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from civitas import AgentProcess, ErrorAction, Message
from civitas.testing.simulation import EVERY_NODE, Faults, System
from civitas.testing.simulation.run import RunOutcome, Scenario, run
from support import faulty_instrument
from support.faulty_instrument import METHODS

pytestmark = pytest.mark.slow

OTHER = {"near": "far", "far": "near"}


class Moody(AgentProcess):
    """Does what the number of a message says."""

    async def handle(self, message: Message) -> Message | None:
        match message.payload.get("n", 0) % 9:
            case 1 | 2 | 3:
                raise ValueError("no good")
            case 4 if message.attempt < 2:
                raise TimeoutError("not yet")
            case 5 if message.reply_to is not None:
                later = self.defer()
                await later.reply({"later": True})
                return None
            case 6:
                await self.send(OTHER[self.name], {"n": 0})
            case 7:
                await self.ask(OTHER[self.name], {"n": 0}, timeout=0.2)
            case 8:
                return None
        return self.reply({"by": self.name})

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        if isinstance(error, TimeoutError):
            return ErrorAction.RETRY
        return ErrorAction.SKIP if message.payload.get("n", 0) % 9 < 3 else ErrorAction.ESCALATE


TOPOLOGY: dict[str, Any] = {
    "send_timeout": 1.0,
    "supervision": {
        "name": "root",
        "max_restarts": 1000,
        "backoff_base": 0.05,
        "children": [
            {"agent": {"name": "near", "type": "moody"}},
            {"agent": {"name": "far", "type": "moody", "process": "worker"}},
        ],
    },
}

FAULTS = Faults(kill=True, crash=True, loss=True, most=4)


async def talk(system: System) -> None:
    async with system.load("near", "far", rate=15.0, senders=EVERY_NODE, asks=0.5, timeouts=(1.0,)):
        await system.storm(seconds=3.0)
    await system.calm(within=60.0)


@pytest.fixture(autouse=True)
def plugin(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("site")
    faulty_instrument.lay(folder)
    monkeypatch.syspath_prepend(folder)


def outcome_of(seed: int, *, durable: bool, instruments: list[Any]) -> RunOutcome:
    topology = {**TOPOLOGY, "instruments": instruments}
    options = {"at_least_once": durable}
    return run(Scenario(talk, topology, FAULTS, {"moody": Moody}, options, name="moody"), seed)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 1000),
    durable=st.booleans(),
    raises=st.one_of(
        st.just(list(METHODS)), st.lists(st.sampled_from(METHODS), unique=True, min_size=1)
    ),
)
def test_a_history_is_the_same_with_an_instrument_that_raises_and_without(seed, durable, raises):
    plain = outcome_of(seed, durable=durable, instruments=[])
    faulty = {"type": "faulty", "raises": raises}
    watched = outcome_of(seed, durable=durable, instruments=[faulty, {**faulty, "raises": []}])
    assert watched.facts == plain.facts  # first: it says more
    assert watched.digest == plain.digest
    assert watched.summary() == plain.summary() == ""


@pytest.mark.parametrize("durable", [False, True], ids=["at most once", "at least once"])
def test_the_histories_have_all_that_can_become_of_a_message(durable):
    """What the property above is worth: what it compares has each of these."""
    facts = outcome_of(1, durable=durable, instruments=[]).facts
    text = "\n".join(map(str, facts))
    for part in ("ValueError", "TimeoutError", "answered", "accepted"):
        assert part in text, f"no {part} in\n{text}"
    faulty_instrument.called.clear()
    outcome_of(1, durable=durable, instruments=["faulty"])
    assert set(faulty_instrument.called) == {"start", "stop"}, "which can't start, takes no part"
    faulty_instrument.called.clear()
    others = [each for each in METHODS if each != "start"]
    outcome_of(1, durable=durable, instruments=[{"type": "faulty", "raises": others}])
    found = set(faulty_instrument.called)
    assert found >= {"sending", "handling", "crashed", "restarted", "stop"}, found


@pytest.mark.parametrize("seed", range(5))
def test_each_crash_is_told_once_in_the_whole_system(seed):
    """An agent that crashes is told of in its own node, and not in the primary as well."""
    crashes: list[int] = []

    def count(system: System) -> Iterator[str]:
        crashes.append(len(system.history.causes))
        return iter(())

    faulty_instrument.called.clear()
    topology = {**TOPOLOGY, "instruments": [{"type": "faulty", "raises": ["crashed"]}]}
    faults = Faults(crash=True, most=4)
    outcome = run(Scenario(talk, topology, faults, {"moody": Moody}, {}, (count,)), seed)
    assert not outcome.failed
    assert len(faulty_instrument.called) == crashes[0] > 3


def test_an_agent_of_a_process_that_was_killed_is_told_of_in_the_primary():
    faulty_instrument.called.clear()
    topology = {**TOPOLOGY, "instruments": [{"type": "faulty", "raises": ["crashed"]}]}

    async def lose_the_worker(system: System) -> None:
        system.deployment.kill("worker")
        await system.calm(within=60.0)

    outcome = run(Scenario(lose_the_worker, topology, Faults(), {"moody": Moody}), 1)
    assert (outcome.error, faulty_instrument.called) == ("", ["crashed"])
