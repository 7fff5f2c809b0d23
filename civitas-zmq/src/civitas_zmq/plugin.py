"""The plugin that offers the transport `zmq`. It imports pyzmq only to make a transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from civitas.plugins import TransportContext, TransportSpec, hookimpl
from civitas_zmq.options import ZMQOptions, capabilities_of

if TYPE_CHECKING:
    from civitas_zmq.transport import ZMQTransport


def _make(options: ZMQOptions, context: TransportContext) -> ZMQTransport:
    from civitas_zmq.binding import check_folders
    from civitas_zmq.proxy import ProxySettings
    from civitas_zmq.sockets import own_pair
    from civitas_zmq.transport import ZMQTransport

    # What a start would refuse is refused here, so that `civitas topology validate` says it, too.
    own_pair(options)
    if options.start_proxy and context.is_primary:
        ProxySettings.from_options(options)
        check_folders(options.pub_addr, options.sub_addr)
    return ZMQTransport(options, context)


@asynccontextmanager
async def _apart(options: ZMQOptions, name: str) -> AsyncIterator[ZMQOptions]:
    """Have a proxy of this system's own on this machine, at free addresses of the same kind."""
    from civitas_zmq.addresses import apart_from

    with TemporaryDirectory(prefix=f"{name}-") as folder:
        pub_addr, sub_addr = apart_from((options.pub_addr, options.sub_addr), folder)
        own = {"pub_addr": pub_addr, "sub_addr": sub_addr, "start_proxy": True}
        yield options.model_copy(update=own)


@hookimpl
def civitas_transports() -> Iterable[TransportSpec]:
    """Offer `zmq`."""
    yield TransportSpec(
        name="zmq",
        summary="Many processes through a ZeroMQ proxy that the primary process starts",
        factory=_make,
        options=ZMQOptions,
        capabilities=capabilities_of,
        apart=_apart,
    )
