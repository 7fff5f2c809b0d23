"""Transports: the contract, what its implementers share, and the one that needs no network."""

from civitas.transport.dispatcher import Dispatcher
from civitas.transport.in_process import InProcessTransport
from civitas.transport.protocol import Handler, Transport
from civitas.transport.reply_inbox import ReplyInbox, published_at

__all__ = ["Dispatcher", "Handler", "InProcessTransport", "ReplyInbox", "Transport", "published_at"]
