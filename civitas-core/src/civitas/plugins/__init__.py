"""Plugins: what the author of a plugin of any kind needs, and nothing else."""

from civitas.plugins.hookspecs import hookimpl, hookspec
from civitas.plugins.specs import (
    Capabilities,
    InstrumentContext,
    InstrumentSpec,
    SerializerSpec,
    TransportContext,
    TransportSpec,
)

__all__ = [
    "Capabilities",
    "InstrumentContext",
    "InstrumentSpec",
    "SerializerSpec",
    "TransportContext",
    "TransportSpec",
    "hookimpl",
    "hookspec",
]
