"""The plugin that offers the local bus."""

from __future__ import annotations

from collections.abc import Iterable

from civitas.plugins import TransportSpec, hookimpl
from support.local_bus.options import LocalBusOptions
from support.local_bus.transport import LocalBusTransport, capabilities_for


@hookimpl
def civitas_transports() -> Iterable[TransportSpec]:
    """Offer `local_bus`."""
    yield TransportSpec(
        name="local_bus",
        summary="Several processes of one machine, over a unix socket",
        factory=LocalBusTransport,
        options=LocalBusOptions,
        capabilities=capabilities_for,
    )
