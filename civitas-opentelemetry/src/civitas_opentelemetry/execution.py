"""Execution: one execution of a handler, in the context of its trace, and what it comes to."""

from __future__ import annotations

from contextvars import Token
from time import perf_counter
from types import TracebackType

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, Status, StatusCode

from civitas.errors import describe
from civitas.messages import Message
from civitas_opentelemetry.attributes import ERROR_TYPE, error_type
from civitas_opentelemetry.metrics import Metrics
from civitas_opentelemetry.spans import Spans


class Execution:
    """The context manager around one execution.

    `durations` says whether it is measured although it has no span.
    """

    __slots__ = (
        "_began", "_durations", "_message", "_metrics", "_role", "_span", "_spans", "_token",
    )  # fmt: skip

    def __init__(
        self, spans: Spans, metrics: Metrics | None, role: str, message: Message, *, durations: bool
    ) -> None:
        self._spans = spans
        self._metrics = metrics
        self._role = role
        self._message = message
        self._durations = durations
        self._span: Span | None = None
        self._began = 0.0

    def __enter__(self) -> None:
        context, self._span = self._spans.begin(self._role, self._message)
        self._token: Token[Context] = attach(context)
        if self._durations or self._span is not None:
            self._began = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        try:
            metrics, span = self._metrics, self._span
            if metrics is not None:
                failed = None if error is None else error_type(error)
                metrics.processed(self._role, failed)
                if self._durations or span is not None:
                    metrics.lasted(self._role, perf_counter() - self._began, failed)
            if span is not None:
                if error is not None:
                    span.set_attribute(ERROR_TYPE, error_type(error))
                    span.set_status(Status(StatusCode.ERROR, str(describe(error))))
                span.end()
        finally:
            detach(self._token)
