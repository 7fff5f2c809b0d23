"""What was recorded, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from civitas_opentelemetry.instrument import OpenTelemetry
from civitas_opentelemetry.options import OpenTelemetryOptions


class Recorded:
    """Providers whose spans and metrics can be looked at, and instruments that use them."""

    def __init__(self, sampler: Sampler) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def instrument(self, **options: Any) -> OpenTelemetry:
        return OpenTelemetry(
            OpenTelemetryOptions(**options),
            tracer_provider=self.tracers,
            meter_provider=self.meters,
        )

    def spans(self) -> dict[str, ReadableSpan]:
        """Return the spans that have ended, by name; each name is there once."""
        ended = self.exporter.get_finished_spans()
        found = {span.name: span for span in ended}
        assert len(found) == len(ended), [span.name for span in ended]
        return found

    def points(self) -> dict[str, list[Any]]:
        """Return the points of the metrics, by name."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def record() -> Iterator[Callable[..., Recorded]]:
    """Make providers with a sampler; that of the SDK which records all, when left out."""
    made: list[Recorded] = []

    def make(sampler: Sampler = ALWAYS_ON) -> Recorded:
        made.append(Recorded(sampler))
        return made[-1]

    yield make
    for each in made:
        each.tracers.shutdown()
        each.meters.shutdown()
