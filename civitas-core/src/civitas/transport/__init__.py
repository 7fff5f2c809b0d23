"""Transports: the contract, what its implementers share, and the one that needs no network.

What only some transports need is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from civitas.transport.in_process import InProcessTransport
from civitas.transport.protocol import (
    CountsBacklog,
    Handler,
    Publish,
    PublishesAtOnce,
    Transport,
    concurrency_of,
)
from civitas.transport.reply_inbox import ReplyInbox, is_reply_address, published_at
from civitas.transport.tasks import cancel_task, failure_of, guard_callback, start_task

if TYPE_CHECKING:
    from civitas.transport.broker import BrokerSettings, BrokerTransport, Outgoing, Wire
    from civitas.transport.dead_letters import (
        DeadLetterStore,
        Kept,
        KeptMessage,
        Selection,
        Survey,
    )
    from civitas.transport.dispatcher import Dispatcher
    from civitas.transport.network import NetworkTransport

__all__ = [
    "BrokerSettings",
    "BrokerTransport",
    "CountsBacklog",
    "DeadLetterStore",
    "Dispatcher",
    "Handler",
    "InProcessTransport",
    "Kept",
    "KeptMessage",
    "NetworkTransport",
    "Outgoing",
    "Publish",
    "PublishesAtOnce",
    "ReplyInbox",
    "Selection",
    "Survey",
    "Transport",
    "Wire",
    "cancel_task",
    "concurrency_of",
    "failure_of",
    "guard_callback",
    "is_reply_address",
    "published_at",
    "start_task",
]

_BROKER = "civitas.transport.broker"
_DEAD_LETTERS = "civitas.transport.dead_letters"
_HOMES = {
    **dict.fromkeys(("BrokerSettings", "BrokerTransport", "Outgoing", "Wire"), _BROKER),
    **dict.fromkeys(
        ("DeadLetterStore", "Kept", "KeptMessage", "Selection", "Survey"), _DEAD_LETTERS
    ),
    "Dispatcher": "civitas.transport.dispatcher",
    "NetworkTransport": "civitas.transport.network",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
