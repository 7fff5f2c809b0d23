"""The plugin that offers the instrument `opentelemetry`. It is read without importing its API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from civitas.plugins import InstrumentContext, InstrumentSpec, hookimpl
from civitas_opentelemetry.options import OpenTelemetryOptions

if TYPE_CHECKING:
    from civitas_opentelemetry.instrument import OpenTelemetry


def make_instrument(
    options: OpenTelemetryOptions | None = None, context: InstrumentContext | None = None
) -> OpenTelemetry:
    """Return the instrument; it uses the providers that the application has configured."""
    from civitas_opentelemetry.instrument import OpenTelemetry

    return OpenTelemetry(options, context)


@hookimpl
def civitas_instruments() -> Iterable[InstrumentSpec]:
    """Offer `opentelemetry`."""
    yield InstrumentSpec(
        name="opentelemetry",
        summary="Spans and metrics, through the OpenTelemetry API",
        factory=make_instrument,
        options=OpenTelemetryOptions,
    )
