"""The NATS transport of Civitas: the public names, each imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from civitas_nats.errors import StreamMismatchError
    from civitas_nats.options import NATSOptions, TLSOptions
    from civitas_nats.transport import NATSTransport

__all__ = [
    "NATSOptions",
    "NATSTransport",
    "StreamMismatchError",
    "TLSOptions",
]

_MODULES: Final = {
    "NATSOptions": "civitas_nats.options",
    "NATSTransport": "civitas_nats.transport",
    "StreamMismatchError": "civitas_nats.errors",
    "TLSOptions": "civitas_nats.options",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
