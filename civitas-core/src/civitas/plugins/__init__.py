"""Plugins: what the author of a transport or a serializer needs, and nothing else."""

from civitas.plugins.hookspecs import hookimpl, hookspec
from civitas.plugins.specs import (
    Capabilities,
    SerializerSpec,
    TransportContext,
    TransportSpec,
)

__all__ = [
    "Capabilities",
    "SerializerSpec",
    "TransportContext",
    "TransportSpec",
    "hookimpl",
    "hookspec",
]
