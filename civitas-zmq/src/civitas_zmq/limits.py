"""ConnectionLimits: closes a connection to a proxy that holds too many subscriptions or bytes.

It joins what the tables decide (`subscriptions.py`, `backlog.py`) with what the system knows of a
connection (`peers.py`). A connection is known from its first subscription on: before that nothing
waits for it. The process that runs the proxy has none, but may have subscriptions: these only leave
less to the others.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from civitas_zmq import peers
from civitas_zmq.backlog import Backlog
from civitas_zmq.log_limit import LogLimit
from civitas_zmq.subscriptions import SubscriptionTable

_SHARE: Final = 0.01
"""Part of a processor that looks at connections may use: with hundreds of them, looks are rarer."""


class _Connection:
    """A connection, and the bound of what waits for it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.backlog = Backlog()


class ConnectionLimits:
    """Knows who has subscribed, and closes who abuses it. One thread at a time uses it.

    Args:
        max_subscription_bytes: what the subscriptions of one connection may have.
        max_total_subscription_bytes: what those of all connections may have.
        max_queue_bytes: what may wait for one connection.
        logger: hears of each connection that is closed.

    Attributes:
        own_subscriptions: what those of this process have, which are never closed; any thread may
            set it before it subscribes.
    """

    def __init__(
        self,
        max_subscription_bytes: int,
        max_total_subscription_bytes: int,
        max_queue_bytes: int,
        logger: logging.Logger,
    ) -> None:
        self._subscriptions = SubscriptionTable(
            max_subscription_bytes, max_total_subscription_bytes
        )
        self.own_subscriptions = 0
        self._max_total = max_total_subscription_bytes
        self._max_queue = max_queue_bytes
        self._logger = logger
        self._log_limit = LogLimit()
        self._connections: dict[int, _Connection] = {}
        self._closed: dict[int, int] = {}
        self._forwarded = 0
        self._looked = self._next_look = time.monotonic()

    def take(self, messages: list[tuple[int, bytes]]) -> None:
        """Note what connections sent, each message with the descriptor it came from."""
        identities = {each: peers.identity_of(each) for each in {each for each, _ in messages}}
        for descriptor, message in messages:
            identity = identities[descriptor]
            if identity is None or identity in self._closed:
                continue
            self._connections.setdefault(identity, _Connection(descriptor))
            if reason := self._subscriptions.take(identity, message):
                self._close(identity, reason)
                identities[descriptor] = None
        while (youngest := self._subscriptions.excess(self.own_subscriptions)) is not None:
            self._close(
                youngest,
                "the subscriptions of all connections have more than max_total_subscription_bytes"
                f" ({self._max_total}), and it came last",
            )

    def look(self, forwarded: int) -> None:
        """Note that so many bytes were forwarded, and close who leaves too many of them waiting."""
        self._forwarded += forwarded
        now, worked = time.monotonic(), time.thread_time()
        if now < self._next_look:
            return
        for identity, connection in list(self._connections.items()):
            flow = peers.flow_of(connection.descriptor, identity)
            if flow is None:
                self._forget(identity)
                continue
            waiting = connection.backlog.note(flow, self._forwarded, now - self._looked)
            if waiting > self._max_queue:
                self._close(
                    identity,
                    f"up to {waiting} bytes waited for it, more than max_queue_bytes"
                    f" ({self._max_queue}); they are lost",
                )
        self._forwarded, self._looked = 0, now
        self._next_look = now + (time.thread_time() - worked) / _SHARE

    def _close(self, identity: int, reason: str) -> None:
        descriptor = self._connections[identity].descriptor
        source, name = peers.name_of(descriptor)
        example = self._subscriptions.example(identity)
        peers.close(descriptor, identity)
        self._forget(identity)
        # What it had sent before comes still, and counts for nobody.
        self._closed = {
            each: one for each, one in self._closed.items() if peers.identity_of(one) == each
        }
        self._closed[identity] = descriptor
        more = self._log_limit.allows(source)
        if more is not None:
            self._logger.warning(
                "the proxy closed a connection of %s, with subscriptions of which one is %r: %s%s",
                name,
                example,
                reason,
                more,
            )

    def _forget(self, identity: int) -> None:
        del self._connections[identity]
        self._subscriptions.forget(identity)
