"""From the headers of a message to a context of OpenTelemetry, and back.

The headers of W3C Trace Context name the trace of a message and the span that has caused it, and
say whether they are sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.context import create_key
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from civitas.messages import Message, headers_problem
from civitas.trace import TRACEPARENT, TRACESTATE, Traceparent

HANDLED: Final = create_key("civitas-handled")
"""Key of a context: the span id of the message whose handling it belongs to."""

_OWN: Final = {TRACEPARENT, TRACESTATE}


def parent_of(message: Message) -> SpanContext | None:
    """Return what the headers of a message say of its trace; None where they say nothing."""
    headers = message.headers
    parent = Traceparent.parse(headers.get(TRACEPARENT, "")) if headers else None
    return None if parent is None else span_context_of(parent, headers)


def span_context_of(parent: Traceparent, headers: Mapping[str, str]) -> SpanContext:
    """Return what headers say, of which the `traceparent` was read."""
    state = headers.get(TRACESTATE)
    return SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(parent.flags),
        trace_state=None if state is None else TraceState.from_header([state]),
    )


def with_trace(headers: Mapping[str, str], span: SpanContext) -> dict[str, str]:
    """Return headers of a message, such that it is part of the trace of a span, and caused by it.

    Those whose others leave no room for that have only the others: they are more important.
    """
    state = span.trace_state
    traceparent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    return with_traceparent(headers, traceparent, state.to_header() if state else "")


def with_traceparent(
    headers: Mapping[str, str], traceparent: str, tracestate: str = ""
) -> dict[str, str]:
    """Return headers of a message with these of its trace, as `with_trace` does."""
    if not headers and not tracestate:  # so it is most often
        return {TRACEPARENT: traceparent}
    own = {name: text for name, text in headers.items() if name not in _OWN}
    traced = {**own, TRACEPARENT: traceparent}
    if tracestate:
        traced[TRACESTATE] = tracestate
    return own if headers_problem(traced) else traced
