"""The plugin that offers the in-process transport, through the hook that third parties use."""

from __future__ import annotations

from collections.abc import Iterable

from civitas.plugins import TransportSpec, hookimpl
from civitas.transport.in_process import InProcessTransport


@hookimpl
def civitas_transports() -> Iterable[TransportSpec]:
    """Offer `in_process`."""
    yield TransportSpec(
        name="in_process",
        summary="All agents in one process, without a network",
        factory=lambda _options, context: InProcessTransport(context),
        capabilities=InProcessTransport.capabilities,
    )
