"""Metrics: counts of messages and lives, and how long handlers take."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.metrics import CallbackOptions
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from civitas.errors import AgentError
from civitas_opentelemetry.metrics import _count, _observe
from support.agents import SOON, Scripted, echo, fail, until
from support.instruments import runtime_with
from support.one_thread import at_each_collection


def counts(points: list[Any], *names: str) -> dict[Any, int]:
    return {tuple(point.attributes.get(name) for name in names): point.value for point in points}


async def test_what_is_sent_and_handled_is_counted_sampled_or_not(record: Any) -> None:
    recorded = record(ALWAYS_OFF)
    agents = [Scripted("a", echo), Scripted("b")]
    instruments = [recorded.instrument(durations="all")]
    async with runtime_with(*agents, instruments=instruments) as r:
        for _ in range(3):
            await r.ask("a", {}, timeout=SOON)
        await r.send("b", {})
        await until(lambda: bool(agents[1].got))
    points = recorded.points()
    role = "messaging.destination.name"
    assert counts(points["messaging.client.sent.messages"], role) == {("a",): 3, ("b",): 1}
    assert counts(points["messaging.client.consumed.messages"], role) == {("a",): 3, ("b",): 1}
    durations = {p.attributes[role]: p for p in points["messaging.process.duration"]}
    assert {name: point.count for name, point in durations.items()} == {"a": 3, "b": 1}
    assert 0 < durations["a"].sum < SOON
    assert durations["a"].attributes["messaging.system"] == "civitas"
    assert durations["a"].explicit_bounds[0] == 0.005


async def test_errors_crashes_restarts_and_dead_letters_are_counted(record: Any) -> None:
    recorded = record()
    async with runtime_with(Scripted("a", fail), instruments=[recorded.instrument()]) as r:
        with pytest.raises(AgentError):
            await r.ask("a", {}, timeout=SOON)
        await until(lambda: "civitas.agent.restarts" in recorded.points())
        r.components.bus.dead_letters.record("on purpose", b"frame")
    points = recorded.points()
    assert counts(points["civitas.agent.crashes"], "civitas.agent.name", "error.type") == {
        ("a", "ValueError"): 1
    }
    assert counts(points["civitas.agent.restarts"], "civitas.agent.name") == {("a",): 1}
    (duration,) = points["messaging.process.duration"]
    assert duration.attributes["error.type"] == "ValueError"
    assert counts(points["civitas.dead_letters"], "civitas.dead_letter.reason") == {
        ("on purpose",): 1
    }


async def test_durations_are_those_of_what_is_sampled_unless_all_are_wanted(record: Any) -> None:
    for sampler, there in ((ALWAYS_OFF, False), (ALWAYS_ON, True)):
        recorded = record(sampler)
        async with runtime_with(Scripted("a", echo), instruments=[recorded.instrument()]) as r:
            await r.ask("a", {}, timeout=SOON)
        assert ("messaging.process.duration" in recorded.points()) is there


async def test_two_nodes_of_a_process_are_counted_together(record: Any) -> None:
    recorded = record()
    for _ in range(2):
        instruments = [recorded.instrument()]
        async with runtime_with(Scripted("a", echo), instruments=instruments) as r:
            await r.ask("a", {}, timeout=SOON)
    assert counts(recorded.points()["messaging.client.sent.messages"]) == {(): 2}


async def test_without_metrics_there_are_none(record: Any) -> None:
    recorded = record()
    agents = [Scripted("a", echo)]
    async with runtime_with(*agents, instruments=[recorded.instrument(metrics=False)]) as r:
        await r.ask("a", {}, timeout=SOON)
    assert recorded.points() == {}
    assert len(recorded.spans()) == 2


async def test_names_that_are_sent_to_are_told_apart_up_to_a_number(record: Any) -> None:
    recorded = record(ALWAYS_OFF)
    async with runtime_with(Scripted("a", echo), instruments=[recorded.instrument()]) as r:
        metrics = r.components.bus.instruments.sending[0][0].__self__._metrics  # noqa: SLF001
        for n in range(1_500):
            metrics.sent(f"nobody_{n}")
    found = counts(
        recorded.points()["messaging.client.sent.messages"], "messaging.destination.name"
    )
    assert len(found) == 1_001
    assert found["_OTHER",] == 500


class Overtaken(dict[Any, int]):
    """Counts, to which a node in another thread adds one whenever a method returns."""

    def __init__(self, key: Any) -> None:
        super().__init__()
        self._key, self._is_other = key, False

    def _overtaken(self) -> None:
        if not self._is_other:
            self._is_other = True
            _count(self, self._key)
            self._is_other = False

    def get(self, *arguments: Any) -> Any:
        found = super().get(*arguments)
        self._overtaken()
        return found

    def setdefault(self, *arguments: Any) -> Any:
        found = super().setdefault(*arguments)
        self._overtaken()
        return found


def test_two_nodes_that_count_the_first_of_a_kind_at_once_count_two() -> None:
    key = ("a", None)
    counts = Overtaken(key)
    _count(counts, key)
    assert dict(counts) == {key: 2}


def test_counts_may_be_read_in_one_thread_while_another_counts_what_is_new() -> None:
    counts: dict[Any, int] = {(f"a{number}", None): 1 for number in range(20)}
    names = (f"b{number}" for number in range(1_000))
    at_each_collection(
        lambda: list(_observe("send", counts, CallbackOptions())),
        lambda: _count(counts, (next(names), None)),
    )
    assert len(counts) > 20
