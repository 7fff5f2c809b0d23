"""OpenTelemetry: the instrument, which tells a tracing system what the agents of a node do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import TracerProvider, get_tracer_provider

from civitas.instruments import NodeView, role_of
from civitas.messages import Message
from civitas.plugins import InstrumentContext
from civitas_opentelemetry.execution import Execution
from civitas_opentelemetry.metrics import Metrics, metrics_of
from civitas_opentelemetry.options import Durations, OpenTelemetryOptions, Relation
from civitas_opentelemetry.spans import Spans

_SCOPE: Final = "civitas_opentelemetry"
_VERSION: Final = "0.1.0"


class OpenTelemetry:
    """Records spans and metrics with the providers that the application has configured.

    Args:
        options: what is recorded; all, when left out.
        context: of the node that makes it.
        tracer_provider: makes the spans; that of the process, when left out.
        meter_provider: makes the metrics; that of the process, when left out.
    """

    def __init__(
        self,
        options: OpenTelemetryOptions | None = None,
        context: InstrumentContext | None = None,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._options = options or OpenTelemetryOptions()
        self._context = context or InstrumentContext()
        self._tracer_provider = tracer_provider or get_tracer_provider()
        self._meter_provider = meter_provider or get_meter_provider()
        self._metrics: Metrics | None = None
        self._durations = self._options.durations is Durations.ALL
        tracer = self._tracer_provider.get_tracer(_SCOPE, _VERSION)
        self._spans = Spans(tracer, link=self._options.relation is Relation.LINK)

    def start(self, node: NodeView) -> None:
        """Take note of the node, and make the metrics."""
        self._spans.client = node.process
        if self._options.metrics:
            self._metrics = metrics_of(self._meter_provider, _SCOPE, _VERSION)

    async def stop(self) -> None:
        """Wait until what was recorded is exported, where the providers offer that."""
        timeout = self._options.flush_timeout
        if not timeout:
            return
        providers = (self._tracer_provider, self._meter_provider)
        flushes = [getattr(each, "force_flush", None) for each in providers]
        threads = ThreadPoolExecutor(len(flushes), "civitas-opentelemetry")
        flush = partial(_flush, threads, timeout, self._context.failed)
        try:
            await asyncio.gather(*(flush(each) for each in flushes if each is not None))
        except asyncio.CancelledError:
            threads.shutdown(wait=False)  # one of them has not ended in time
            raise
        threads.shutdown()

    def sending(self, message: Message) -> None:
        """Record that a message is sent."""
        if self._metrics is not None:
            self._metrics.sent(role_of(message.recipient))
        self._spans.sending(message)

    def handling(self, role: str, message: Message) -> Execution:
        """Return what records one execution of a handler."""
        return Execution(self._spans, self._metrics, role, message, durations=self._durations)

    def dead_letter(self, item: Message | bytes, reason: str) -> None:
        """Count a message that is not delivered."""
        if self._metrics is not None:
            self._metrics.dead_letter(reason)

    def crashed(self, agent: str, error: BaseException) -> None:
        """Count a crash."""
        if self._metrics is not None:
            self._metrics.crashed(agent, error)

    def restarted(self, agent: str) -> None:
        """Count a restart."""
        if self._metrics is not None:
            self._metrics.restarted(agent)


async def _flush(
    threads: ThreadPoolExecutor,
    timeout: float,
    failed: Callable[[BaseException], None],
    flush: Callable[..., Any],
) -> None:
    """Await a flush in a thread, for at most `timeout` seconds; one that fails is reported."""
    work = partial(flush, timeout_millis=int(timeout * 1000))
    try:
        await asyncio.get_running_loop().run_in_executor(threads, work)
    except Exception as error:  # noqa: BLE001 - whatever an exporter raises
        failed(error)
