"""Sampling: asks the sampler of OpenTelemetry's SDK first, and makes a span only where it says so.

Theory. `Tracer.start_span` asks the sampler in the midst of its work, and the most of that work is
for nothing where the answer is no. The SDK's tracer shows its sampler and its generator of ids, so
a trace that begins is judged here: once, with the id that it will have. Where it is to be recorded,
a copy of the tracer starts its span, with that id and that judgement.

    tracer                                   | a trace that begins
    -----------------------------------------+---------------------------------------------------
    of the SDK, as it is                     | is judged here
    ... which counts what it starts          | is judged by its `start_span`, which counts it
    of another implementation; of a subclass | is judged by its `start_span`
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import copy
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer

_SDK: Final = ("opentelemetry.sdk.trace", "Tracer")

_COUNTS: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"
"""Variable of the environment: the SDK counts spans that are started, also those not sampled."""

_RANDOM: Final = 2
"""The flag of a trace whose id is random; earlier versions of the API have no name for it."""


class _Judged:
    """Stands for the sampler and for the generator of ids of a tracer: both have decided."""

    def __init__(self, ids: Any) -> None:
        self._ids = ids
        self.trace_id = 0
        self.result: Any = None
        self.generate_span_id = ids.generate_span_id

    def generate_trace_id(self) -> int:
        """Return the id that was judged."""
        return self.trace_id

    def is_trace_id_random(self) -> bool:
        """Return what the generator says that has made it."""
        return is_random(self._ids)

    def should_sample(self, *_: object, **__: object) -> Any:
        """Return the judgement."""
        return self.result

    def get_description(self) -> str:
        """Return what this is, for logs."""
        return "decided by civitas-opentelemetry"


class RootSampling:
    """Judges traces that begin with messages; `sampling_of` makes it.

    Args:
        tracer: of the SDK.
    """

    def __init__(self, tracer: Any) -> None:
        self._sampler, self._ids = tracer.sampler, tracer.id_generator
        self._judged = _Judged(self._ids)
        self._tracer = copy(tracer)
        self._tracer.sampler = self._tracer.id_generator = self._judged
        self._unsampled = f"{_RANDOM if is_random(self._ids) else 0:02x}"

    def begin(
        self, name: str, context: Context, kind: SpanKind, attributes: Mapping[str, str]
    ) -> str | Span:
        """Return the span that begins a trace; or the `traceparent` of one that is not sampled."""
        trace_id = self._ids.generate_trace_id()
        result = self._sampler.should_sample(context, trace_id, name, kind, attributes, ())
        if not result.decision.is_recording() and not result.trace_state:
            span_id = self._ids.generate_span_id()
            return f"00-{trace_id:032x}-{span_id:016x}-{self._unsampled}"
        self._judged.trace_id, self._judged.result = trace_id, result
        span: Span = self._tracer.start_span(name, context, kind, attributes)
        return span


def is_random(ids: Any) -> bool:
    """Return whether a generator says that the ids it makes are random; earlier SDKs don't say."""
    says = getattr(ids, "is_trace_id_random", None)
    return says is not None and bool(says())


def sampling_of(tracer: Tracer) -> RootSampling | None:
    """Return what judges traces for a tracer; None where its `start_span` has to."""
    kind = type(tracer)
    if (kind.__module__, kind.__qualname__) != _SDK or os.environ.get(_COUNTS):
        return None
    parts = ("sampler", "id_generator")
    return RootSampling(tracer) if all(hasattr(tracer, part) for part in parts) else None
