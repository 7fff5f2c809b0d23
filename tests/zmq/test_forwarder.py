"""The forwarder's two threads share the limits of connections: one at a time uses them."""

from __future__ import annotations

import threading

import pytest
import zmq

from civitas_zmq.forwarder import Forwarder
from support.zmtp import DEADLINE

A_WHILE = 0.2
"""Seconds in which the other thread would have come."""


class Exclusive:
    """Limits that find out whether two threads use them at once: each use takes a while."""

    def __init__(self) -> None:
        self.judged = threading.Event()
        self.looked = threading.Event()
        self.overlapped = threading.Event()
        self._used = threading.Lock()

    def take(self, messages: list[tuple[int, bytes]]) -> None:
        """Judge subscriptions."""
        self._use()
        self.judged.set()

    def look(self, forwarded: int) -> None:
        """Look at connections."""
        self._use()
        self.looked.set()

    def _use(self) -> None:
        if not self._used.acquire(blocking=False):
            self.overlapped.set()
            return
        self.overlapped.wait(A_WHILE)
        self._used.release()


@pytest.fixture
def failures():
    return []


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def test_nobody_looks_at_connections_while_subscriptions_are_judged(context, failures):
    front, back = context.socket(zmq.SUB), context.socket(zmq.XPUB)
    front.bind("inproc://front")
    back.bind("inproc://back")
    limits = Exclusive()
    forwarder = Forwarder(context, front, back, limits, failures.append)
    threads = list(forwarder.start())
    with context.socket(zmq.SUB) as subscriber:
        subscriber.connect("inproc://back")
        subscriber.subscribe(b"agent")
        assert limits.judged.wait(DEADLINE)
        assert limits.looked.wait(DEADLINE), "what was forwarded is never counted"
    context.term()
    for thread in threads:
        thread.join(DEADLINE)
    assert not limits.overlapped.is_set()
    assert failures == []
