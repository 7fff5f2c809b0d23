"""Civitas: supervised asyncio agents that talk by name over a transport of your choice.

The public names are imported when they are first used: the command line, the plugins and the
pytest plugin need only some of them.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from civitas import _installation  # noqa: F401 - refuses a mixture of two distributions

if TYPE_CHECKING:
    from civitas._bus.deferred import Deferred
    from civitas.components import ComponentSet
    from civitas.errors import CivitasError, ErrorAction
    from civitas.messages import Message
    from civitas.process import AgentProcess
    from civitas.runtime import Runtime
    from civitas.supervisor import Supervisor
    from civitas.typed import message, on
    from civitas.worker import Worker

__all__ = [
    "AgentProcess",
    "CivitasError",
    "ComponentSet",
    "Deferred",
    "ErrorAction",
    "Message",
    "Runtime",
    "Supervisor",
    "Worker",
    "message",
    "on",
]

_HOMES = {
    "AgentProcess": "civitas.process",
    "CivitasError": "civitas.errors",
    "ComponentSet": "civitas.components",
    "Deferred": "civitas.process",
    "ErrorAction": "civitas.errors",
    "message": "civitas.typed",
    "on": "civitas.typed",
    "Message": "civitas.messages",
    "Runtime": "civitas.runtime",
    "Supervisor": "civitas.supervisor",
    "Worker": "civitas.worker",
    # Not among the public names: code that was written for civitas 0.12 imports them from here.
    "RoutingEntry": "civitas.registry",
    "SpawnError": "civitas.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise _unknown_name(name)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def _unknown_name(name: str) -> Exception:
    from civitas._published import NAMES, hint

    text = f"module {__name__!r} has no attribute {name!r}"
    elsewhere = hint(name, NAMES)
    # `from civitas import NAME` drops the text of an AttributeError; its machinery asks from here.
    if elsewhere and sys._getframe(2).f_code.co_name == "_handle_fromlist":  # noqa: SLF001
        return ImportError(f"cannot import {name!r} from {__name__!r}: {elsewhere}", name=__name__)
    return AttributeError(f"{text}: {elsewhere}" if elsewhere else text)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
