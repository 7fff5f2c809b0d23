"""The plugin that offers the transport `zmq`. It imports pyzmq only to make a transport."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from civitas.plugins import TransportContext, TransportSpec, hookimpl
from civitas_zmq.options import ZMQOptions, capabilities_of

if TYPE_CHECKING:
    from civitas_zmq.transport import ZMQTransport


def _make(options: ZMQOptions, context: TransportContext) -> ZMQTransport:
    from civitas_zmq.transport import ZMQTransport

    return ZMQTransport(options, context)


@hookimpl
def civitas_transports() -> Iterable[TransportSpec]:
    """Offer `zmq`."""
    yield TransportSpec(
        name="zmq",
        summary="Many processes through a ZeroMQ proxy that the primary process starts",
        factory=_make,
        options=ZMQOptions,
        capabilities=capabilities_of,
    )
