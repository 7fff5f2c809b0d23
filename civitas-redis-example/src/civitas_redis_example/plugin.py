"""The plugin that offers the transport `redis`. It is read without importing redis-py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial

from civitas.plugins import TransportContext, TransportSpec, hookimpl
from civitas.transport import BrokerSettings, BrokerTransport
from civitas_redis_example.options import RedisOptions, capabilities_of


def make_transport(
    options: RedisOptions, context: TransportContext | None = None
) -> BrokerTransport:
    """Return the transport: the adapter of core, with wires to a Redis server.

    Raises:
        ConfigurationError: a file of `tls` can't be read, or is something else.
    """
    from civitas_redis_example.connections import check_files
    from civitas_redis_example.wire import RedisWire

    if options.tls is not None:
        check_files(options.tls)  # here `civitas topology validate` finds it, too
    settings = BrokerSettings(
        place=options.place,
        connect_timeout=options.connect_timeout,
        probe_interval=options.probe_interval,
        probe_timeout=options.probe_timeout,
    )
    process = context.process if context is not None else "civitas"
    make_wire = partial(RedisWire, options, process)
    return BrokerTransport("redis", make_wire, settings, capabilities_of(options), context)


@asynccontextmanager
async def _apart(options: RedisOptions, name: str) -> AsyncIterator[RedisOptions]:
    """Have channels of its own, below those of the system; pub/sub leaves nothing behind."""
    yield options.model_copy(update={"prefix": f"{options.prefix}{name}:"})


@hookimpl
def civitas_transports() -> Iterable[TransportSpec]:
    """Offer `redis`."""
    yield TransportSpec(
        name="redis",
        summary="Many machines through the pub/sub of a Redis server",
        factory=make_transport,
        options=RedisOptions,
        capabilities=capabilities_of,
        apart=_apart,
    )
