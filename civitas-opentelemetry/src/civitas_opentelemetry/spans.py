"""Spans: for the sending of a message, and for each execution of a handler, if it is sampled.

Theory. Whether a trace is recorded is decided once, by the sampler of the application, where the
trace begins. A message bears that decision in its headers; one that is not recorded costs no span:
only its context is passed on, so that what the handler calls knows of the decision too.

    the message is sent        | its headers                | its span `send`
    ---------------------------+----------------------------+---------------------------------------
    in no trace                | none                       | begins a trace, if the sampler says so
    within a span, or by a     | none, or those that core   | is a child of the current span
    handler                    | has passed on              |
    with a `traceparent` that  | that                       | is a child of the span that it names
    the caller gave            |                            |
    ... and any of these is    | say so                     | is none
    not sampled                |                            |

A `send` span ends when the message has been handed to its node: what becomes of it is not known
then. A `process` span lasts as long as `handle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context, get_current
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from civitas.messages import Message
from civitas.trace import SAMPLED, TRACEPARENT, Traceparent
from civitas_opentelemetry.attributes import PROCESS, SEND, Operation, of_message
from civitas_opentelemetry.propagation import (
    HANDLED,
    parent_of,
    span_context_of,
    with_trace,
    with_traceparent,
)
from civitas_opentelemetry.sampling import sampling_of

_NO_CONTEXT: Final = Context()


class Unsampled(NonRecordingSpan):
    """What stands for the span of an execution that is not recorded.

    What it says of its context is read from the headers of the message, when somebody asks.
    """

    def __init__(self, message: Message, parent: Traceparent) -> None:
        self.handled = message.span_id
        self._headers: Mapping[str, str] = message.headers
        self._parent = parent
        self._found: SpanContext | None = None

    def get_span_context(self) -> SpanContext:
        """Return the trace, and the span that has caused the message."""
        if self._found is None:
            self._found = span_context_of(self._parent, self._headers)
        return self._found


class Spans:
    """Makes the spans of one node.

    Args:
        tracer: of the application's provider.
        link: whether a `process` span begins a trace of its own, with a link to its `send` span.
    """

    def __init__(self, tracer: Tracer, *, link: bool) -> None:
        self.client = ""
        """The node's process name."""
        self._tracer = tracer
        self._link = link
        self._sampling = sampling_of(tracer)
        self._send = Operation(SEND)
        self._process = Operation(PROCESS)

    def sending(self, message: Message) -> None:
        """Record that a message is sent, if it is sampled, and let it bear its trace."""
        context = get_current()
        current = get_current_span(context)
        if (
            type(current) is Unsampled
            and current.handled == message.parent_span_id
            and TRACEPARENT in message.headers
        ):
            return  # core has passed it on, that it is not sampled included
        self._send_in(context, current.get_span_context(), message)

    def _send_in(self, context: Context, parent: SpanContext, message: Message) -> None:
        """Do so in a context, in which `parent` is the current span."""
        given = parent_of(message)
        if given is not None and context.get(HANDLED) != message.parent_span_id:
            parent, context = given, _context_of(given)  # by the caller, and not by core
        if parent.is_valid and not parent.trace_flags.sampled:
            if given is None or given.trace_flags.sampled:
                message.headers = with_trace(message.headers, parent)
            return
        name, attributes = self._send.of(message.recipient)
        span: Span | str
        if parent.is_valid or self._sampling is None:
            span = self._tracer.start_span(name, context, SpanKind.PRODUCER, attributes)
        else:
            span = self._sampling.begin(name, context, SpanKind.PRODUCER, attributes)
            if isinstance(span, str):
                message.headers = with_traceparent(message.headers, span)
                return
        if span.is_recording():
            span.set_attributes(of_message(message, self.client))
        span.end()
        made = span.get_span_context()
        if made.is_valid:
            message.headers = with_trace(message.headers, made)

    def begin(self, role: str, message: Message) -> tuple[Context, Span | None]:
        """Return the context in which a message is handled, and its span if it is recorded."""
        text = message.headers.get(TRACEPARENT)
        parent = None if text is None else Traceparent.parse(text)
        if parent is not None and not parent.flags & SAMPLED:
            return set_span_in_context(Unsampled(message, parent), _NO_CONTEXT), None
        name, attributes = self._process.of(role)
        context, links = _NO_CONTEXT, None
        if parent is not None:
            cause = span_context_of(parent, message.headers)
            if self._link:
                links = [Link(cause)]
            else:
                context = _context_of(cause)
        span = self._tracer.start_span(name, context, SpanKind.CONSUMER, attributes, links)
        handling = Context({HANDLED: message.span_id})
        if span.get_span_context().is_valid:  # else there is no SDK, and no trace to go on with
            handling = set_span_in_context(span, handling)
        if not span.is_recording():
            return handling, None
        span.set_attributes(of_message(message, self.client))
        return handling, span


def _context_of(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), _NO_CONTEXT)
