"""The ZeroMQ transport of Civitas. Each public name is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from civitas_zmq.options import CurveOptions, ZMQOptions
    from civitas_zmq.proxy import Proxy, ProxySettings
    from civitas_zmq.transport import ZMQTransport

__all__ = ["CurveOptions", "Proxy", "ProxySettings", "ZMQOptions", "ZMQTransport"]

_MODULES: Final = {
    "CurveOptions": "civitas_zmq.options",
    "Proxy": "civitas_zmq.proxy",
    "ProxySettings": "civitas_zmq.proxy",
    "ZMQOptions": "civitas_zmq.options",
    "ZMQTransport": "civitas_zmq.transport",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
