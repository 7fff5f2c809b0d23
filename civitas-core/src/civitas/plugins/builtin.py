"""The serializers that come with core, offered through the same hook as everybody's."""

from __future__ import annotations

from collections.abc import Iterable

from civitas.plugins.hookspecs import hookimpl
from civitas.plugins.specs import SerializerSpec
from civitas.serializer import JsonSerializer, MsgpackSerializer


@hookimpl
def civitas_serializers() -> Iterable[SerializerSpec]:
    """Offer `msgpack` and `json`."""
    return (
        SerializerSpec("msgpack", "Compact and fast: the default", MsgpackSerializer),
        SerializerSpec("json", "Readable on the wire, and by other languages", JsonSerializer),
    )
