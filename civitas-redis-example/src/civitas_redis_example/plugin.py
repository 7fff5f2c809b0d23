"""The plugin that offers the transport `redis`. It is read without importing redis-py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from civitas.plugins import TransportContext, TransportSpec, hookimpl
from civitas_redis_example.options import RedisOptions, capabilities_of

if TYPE_CHECKING:
    from civitas_redis_example.transport import RedisTransport


def _make(options: RedisOptions, context: TransportContext) -> RedisTransport:
    from civitas_redis_example.transport import RedisTransport

    return RedisTransport(options, context)


@hookimpl
def civitas_transports() -> Iterable[TransportSpec]:
    """Offer `redis`."""
    yield TransportSpec(
        name="redis",
        summary="Many machines through the pub/sub of a Redis server",
        factory=_make,
        options=RedisOptions,
        capabilities=capabilities_of,
    )
