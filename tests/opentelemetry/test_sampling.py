"""Sampling: who decides whether a trace is recorded, and how often it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import NoOpTracer, TraceState, format_trace_id

from civitas.trace import TRACEPARENT, TRACESTATE, Traceparent
from civitas_opentelemetry.sampling import sampling_of
from support.agents import SOON, Scripted, echo
from support.instruments import runtime_with


class Asked(Sampler):
    """Decides as it is told, and notes what it was asked."""

    def __init__(self, decision: Decision, state: TraceState | None = None) -> None:
        self.decision, self.state = decision, state
        self.asked: list[tuple[Any, ...]] = []

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        self.asked.append((name, format_trace_id(trace_id), dict(attributes or {})))
        self.asked[-1] += (baggage.get_baggage("user", parent_context),)
        return SamplingResult(self.decision, {**(attributes or {}), "by": "sampler"}, self.state)

    def get_description(self) -> str:
        return "asked"


async def ask_once(recorded: Any) -> Scripted:
    agent = Scripted("a", echo)
    token = context.attach(baggage.set_baggage("user", "ada"))
    try:
        async with runtime_with(agent, instruments=[recorded.instrument()]) as r:
            await r.ask("a", {}, timeout=SOON)
    finally:
        context.detach(token)
    return agent


async def test_a_trace_that_is_dropped_is_judged_once_with_the_id_that_it_has(record: Any) -> None:
    sampler = Asked(Decision.DROP)
    recorded = record(sampler)
    agent = await ask_once(recorded)
    (asked,) = sampler.asked
    assert asked[0] == "send a"
    assert asked[2]["messaging.destination.name"] == "a"
    assert asked[3] == "ada"  # what the caller's context has
    parent = Traceparent.parse(agent.got[0].headers[TRACEPARENT])
    assert parent is not None
    assert (parent.trace_id, parent.flags & 1) == (asked[1], 0)
    assert recorded.spans() == {}


async def test_a_trace_that_is_recorded_is_judged_once_and_has_what_the_sampler_adds(
    record: Any,
) -> None:
    sampler = Asked(Decision.RECORD_AND_SAMPLE)
    recorded = record(sampler)
    agent = await ask_once(recorded)
    sends = [each for each in sampler.asked if each[0] == "send a"]
    assert len(sends) == 1
    span = recorded.spans()["send a"]
    assert format_trace_id(span.context.trace_id) == sends[0][1] == agent.got[0].trace_id
    assert span.attributes["by"] == "sampler"
    assert agent.got[0].headers[TRACEPARENT].endswith("-03")


async def test_the_state_that_a_sampler_gives_goes_on_with_a_trace_that_is_dropped(
    record: Any,
) -> None:
    recorded = record(Asked(Decision.DROP, TraceState([("vendor", "1")])))
    agent = await ask_once(recorded)
    assert agent.got[0].headers[TRACESTATE] == "vendor=1"
    assert agent.got[0].headers[TRACEPARENT].endswith("-02")


async def test_what_is_not_sampled_is_said_as_the_sdk_itself_says_it(record: Any) -> None:
    recorded = record(Asked(Decision.DROP))
    agent = await ask_once(recorded)
    by_sdk = recorded.tracers.get_tracer("x").start_span("x").get_span_context().trace_flags
    assert agent.got[0].headers[TRACEPARENT].endswith(f"-{by_sdk:02x}")


def test_a_tracer_of_another_implementation_judges_by_itself() -> None:
    class Own(Tracer):
        pass

    class Provider(TracerProvider):
        pass

    of_sdk = Provider(shutdown_on_exit=False).get_tracer("x")
    assert sampling_of(of_sdk) is not None
    assert sampling_of(NoOpTracer()) is None
    assert sampling_of(trace.ProxyTracer("x", "1")) is None
    of_sdk.__class__ = Own
    assert sampling_of(of_sdk) is None


def test_a_tracer_that_counts_what_it_starts_judges_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("x")
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    assert sampling_of(tracer) is None
