"""Invariants: what a test asks of its own system; each is shown to fire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message
from civitas.testing import simulation as sim
from civitas.testing.simulation.run import RunOutcome, Scenario, run

pytestmark = pytest.mark.slow

TOPOLOGY = {
    "supervision": {
        "name": "root",
        "max_restarts": 100,
        "backoff_base": 0.1,
        "children": [
            {"agent": {"name": "desk", "type": "desk"}},
            {"agent": {"name": "press", "type": "press", "process": "worker"}},
        ],
    }
}


class Desk(AgentProcess):
    """Gives each order to the press as often as `COPIES` says."""

    copies = 1

    async def handle(self, message: Message) -> Message | None:
        for copy in range(self.copies):
            await self.send("press", {"order": message.payload["n"], "copy": copy}, "order")
        return self.reply({})


class Press(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        return self.reply({})


def order(message: Message) -> Any:
    return message.payload.get("order")


async def trade(system: sim.System) -> None:
    async with system.load("desk", rate=5):
        await system.storm(seconds=10)
    await system.calm()


def played(
    *invariants: sim.Invariant,
    faults: sim.Faults | None = None,
    seed: int = 0,
    desk: type[Desk] = Desk,
    press: type[AgentProcess] = Press,
    test: Any = trade,
    **transport: Any,
) -> RunOutcome:
    classes = {"desk": desk, "press": press}
    scenario = Scenario(
        test, TOPOLOGY, faults or sim.Faults(), classes, transport, invariants, "trade"
    )
    return run(scenario, seed)


def any_seed(*invariants: sim.Invariant, **settings: Any) -> RunOutcome:
    """Return the first run of ten that fails, or the last."""
    outcomes = (played(*invariants, seed=seed, **settings) for seed in range(10))
    *_, last = _until_failed(outcomes)
    return last


def _until_failed(outcomes: Iterator[RunOutcome]) -> Iterator[RunOutcome]:
    for each in outcomes:
        yield each
        if each.failed:
            return


CRASHES = sim.Faults(crash=True)
KILLS = sim.Faults(kill=True)


def test_without_faults_all_holds() -> None:
    every = [sim.at_most_once(), sim.nothing_lost(), sim.at_most_once("press", key=order)]
    assert played(*every).summary() == ""


def test_what_a_crash_takes_with_it_is_lost_at_most_once() -> None:
    found = any_seed(sim.nothing_lost("press"), faults=CRASHES)
    (rule, text), *_ = found.broken
    assert rule == "nothing lost (press)"
    assert "desk->press" in text
    assert text.endswith("was begun, and not handled to the end")


def test_what_a_transport_gives_again_is_not_lost_and_not_once() -> None:
    nothing = any_seed(sim.nothing_lost("press"), faults=CRASHES, at_least_once=True)
    assert nothing.summary() == ""
    twice = any_seed(sim.at_most_once("press"), faults=CRASHES, at_least_once=True)
    assert twice.rules == ("at most once (press)",)
    assert "press has begun 2 times with desk->press" in twice.broken[0][1]


def test_an_order_that_is_sent_twice_is_found_by_its_key() -> None:
    class Eager(Desk):
        copies = 2

    found = played(sim.at_most_once("press"), sim.at_most_once("press", key=order), desk=Eager)
    assert found.rules == ("at most once (press)",)
    assert "press has begun 2 times with desk->press 1" in dict.fromkeys(t for _, t in found.broken)


def test_of_two_with_one_key_one_has_to_be_handled() -> None:
    class Sure(Desk):
        copies = 2

    class Picky(Press):
        async def handle(self, message: Message) -> Message | None:
            if message.payload.get("copy") == 0 and message.payload["order"] == 3:
                raise ValueError("not this one")
            return self.reply({})

    def played_with(lost: sim.Invariant) -> RunOutcome:
        return played(lost, desk=Sure, press=Picky)

    assert played_with(sim.nothing_lost("press")).failed
    assert played_with(sim.nothing_lost("press", key=order)).summary() == ""


def test_a_retry_that_an_agent_asks_for_is_no_second_time() -> None:
    class Stubborn(Press):
        async def handle(self, message: Message) -> Message | None:
            if not message.attempt:
                raise ValueError("once more")
            return self.reply({})

        async def on_error(self, error: Exception, message: Message) -> ErrorAction:
            return ErrorAction.RETRY

    both = sim.at_most_once("press"), sim.nothing_lost("press")
    assert played(*both, press=Stubborn).summary() == ""


def test_without_names_all_agents_are_looked_at() -> None:
    found = any_seed(sim.nothing_lost(), faults=KILLS)
    assert found.rules == ("nothing lost",)


def test_an_invariant_of_ones_own_yields_what_it_finds() -> None:
    def no_order_for_seven(system: sim.System) -> Iterator[str]:
        for each in system.history.sendings:
            if each.message.payload.get("order") == 7:
                yield f"order 7 at {each.began_at:.0f} s"

    found = played(no_order_for_seven)
    assert found.rules == ("no order for seven",)
    assert found.broken[0][1].startswith("order 7 at ")


def test_an_invariant_may_also_assert() -> None:
    def desk_is_idle(system: sim.System) -> None:
        assert not system.history.handled("desk"), "it was not"

    ((rule, text),) = played(desk_is_idle).broken
    assert rule == "desk is idle"
    assert "AssertionError: it was not" in text


def test_where_the_test_has_raised_its_invariants_are_not_looked_at() -> None:
    async def raises(system: sim.System) -> None:
        async with system.load("press", rate=100):
            await system.deployment.stop("worker")
            raise ValueError("in the middle")

    def never(system: sim.System) -> Iterator[str]:
        yield "looked at"

    assert "looked at" not in played(never, test=raises).summary()


@pytest.mark.parametrize("ask", [sim.nothing_lost("pres"), sim.at_most_once("pres")])
def test_a_name_that_no_agent_has_is_an_error_of_an_invariant(ask: sim.Invariant) -> None:
    assert "no agent 'pres'; did you mean 'press'?" in played(ask).summary()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda system: system.history.handled("pres"), "no agent 'pres'; did you mean 'press'?"),
        (lambda system: system.history.count("pres"), "no agent 'pres'"),
        (lambda system: system.load("dsk").__aenter__(), "no agent 'dsk'; did you mean 'desk'?"),
        (lambda system: system.load(senders=["wrk"]).__aenter__(), "no process 'wrk'"),
        (lambda system: system.load(rate=0).__aenter__(), "rate=0"),
        (lambda system: system.load(asks=30).__aenter__(), "asks=30"),
    ],
)
def test_what_makes_a_test_pass_for_no_reason_is_an_error(ask: Any, told: str) -> None:
    async def asks(system: sim.System) -> None:
        result = ask(system)
        if hasattr(result, "__await__"):
            await result

    assert told in played(test=asks).error


@sim.test(
    topology=TOPOLOGY,
    seeds=3,
    faults=sim.Faults(kill=True, pause=True),
    agent_classes={"desk": Desk, "press": Press},
    transport={"at_least_once": True},
    invariants=[sim.nothing_lost("press")],
)
async def test_a_test_states_its_invariants(system: sim.System) -> None:
    await trade(system)
