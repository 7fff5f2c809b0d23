"""Tracing: what the instrument `opentelemetry` costs where one trace of a hundred is sampled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from benchmarks.by_hand import MAILBOX
from benchmarks.crew import Echo
from benchmarks.harness import Effort, Pairing, Row, Work
from benchmarks.messages import ASKS, ONE_WAY, CountingSink, FastSource
from benchmarks.payloads import SMALL, payload
from civitas import Runtime, Supervisor
from civitas_opentelemetry.instrument import OpenTelemetry

SAMPLED: Final = 0.01
FLOOR: Final = "ours without the instrument"
NOTE: Final = "of the SDK: a sampler of 1%, spans in batches, metrics; nothing is exported"


class Nowhere(SpanExporter):
    """Takes spans, and forgets them."""

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


async def _measured(count: int, *, traced: bool) -> dict[str, float]:
    tracers = TracerProvider(sampler=ParentBased(TraceIdRatioBased(SAMPLED)))
    tracers.add_span_processor(BatchSpanProcessor(Nowhere()))
    meters = MeterProvider([InMemoryMetricReader()])
    instrument = OpenTelemetry(tracer_provider=tracers, meter_provider=meters)
    asked, found = payload(SMALL), {}
    sinks = [CountingSink("sink", count), CountingSink("other", count)]
    tree = Supervisor("root", [*sinks, FastSource("source"), Echo("echo")])
    async with Runtime(tree, instruments=[instrument] if traced else []) as runtime:
        began = perf_counter()
        await runtime.send("source", {"count": count, "size": SMALL})
        await sinks[0].enough.wait()
        found["handler"] = (perf_counter() - began) / count * 1e6
        began = perf_counter()
        for _ in range(count):
            await runtime.send("other", asked)
        await sinks[1].enough.wait()
        found["caller"] = (perf_counter() - began) / count * 1e6
        asks = max(count * ASKS // ONE_WAY, 1)
        began = perf_counter()
        for _ in range(asks):
            await runtime.ask("echo", asked)
        found["ask"] = (perf_counter() - began) / asks * 1e6
    tracers.shutdown()
    meters.shutdown()
    return found


def rows(effort: Effort) -> Iterator[Row]:
    """Measure messages and asks in traces that begin with them, and in one that goes on."""
    count = min(effort.count(ONE_WAY), MAILBOX)
    yield from Pairing(
        {FLOOR: lambda: asyncio.run(_measured(count, traced=False))},
        lambda: asyncio.run(_measured(count, traced=True)),
        [
            Work("handler", "one-way message, traced, 1% sampled, in a handler"),
            Work("caller", "one-way message, traced, 1% sampled, which begins a trace"),
            Work("ask", "ask, traced, 1% sampled, which begins a trace"),
        ],
        note=NOTE,
        key="traced",
    ).rows(effort)
