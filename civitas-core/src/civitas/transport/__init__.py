"""Transports: the contract, what its implementers share, and the one that needs no network."""

from civitas.transport.broker import BrokerSettings, BrokerTransport, Outgoing, Wire
from civitas.transport.dead_letters import (
    DeadLetterStore,
    Kept,
    KeptMessage,
    Selection,
    Survey,
)
from civitas.transport.dispatcher import Dispatcher
from civitas.transport.in_process import InProcessTransport
from civitas.transport.network import NetworkTransport
from civitas.transport.protocol import CountsBacklog, Handler, Publish, PublishesAtOnce, Transport
from civitas.transport.reply_inbox import ReplyInbox, is_reply_address, published_at
from civitas.transport.tasks import cancel_task, failure_of, guard_callback, start_task

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
    "failure_of",
    "guard_callback",
    "is_reply_address",
    "published_at",
    "start_task",
]
