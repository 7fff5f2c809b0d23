"""The threads of the proxy switch all the time, while connections come, subscribe and go."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from civitas_zmq import forwarder, limits
from civitas_zmq.limits import ConnectionLimits
from civitas_zmq.options import ZMQOptions
from support.one_thread import OneAtATime, switching_often
from support.zmq import PATIENCE, Process, frame_of, options_for, started, until
from support.zmtp import RawPeer, message

pytestmark = pytest.mark.slow

PEERS = 4
"""Threads that connect again and again."""

ROUNDS = 12
"""Connections of each."""

TOPICS = 40
"""Subscriptions of a connection."""

LIMIT = 64 << 10
"""Bytes of subscriptions that a connection may have; each third one sends more."""

TOO_MANY = LIMIT // 200


def come_and_go(options: ZMQOptions, peer: int) -> int:
    """Connect, subscribe and leave, and do so again; return how often the proxy hung up first."""
    closed = 0
    for number in range(ROUNDS):
        with RawPeer(options.sub_addr) as raw:
            topics = [b"%d.%d.%d" % (peer, number, topic) for topic in range(TOPICS)]
            raw.send(*(message(b"\1" + each) for each in topics))
            if number % 3 == 0:
                with suppress(OSError):
                    raw.send(*(message(b"\1%0200d" % each) for each in range(TOO_MANY)))
                closed += raw.has_been_closed()
            else:
                raw.send(*(message(b"\0" + each) for each in topics))
    return closed


async def test_connections_that_come_and_go_meet_one_thread_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = OneAtATime(monkeypatch)
    watched.watch(ConnectionLimits, "take", "look")
    monkeypatch.setattr(forwarder, "_TICK", 0.001)
    monkeypatch.setattr(limits, "_SHARE", 1.0)  # it looks whenever it can
    options = options_for(max_subscription_bytes=LIMIT)
    process = Process(options, primary=True)
    [inbox] = await process.listen("_agency.all")
    loop, sent = asyncio.get_running_loop(), 0
    with switching_often(), ThreadPoolExecutor(PEERS) as threads:
        async with started(process) as [transport]:
            coming = [
                loop.run_in_executor(threads, come_and_go, options, each) for each in range(PEERS)
            ]
            while not all(each.done() for each in coming):
                await transport.publish("_agency.all", frame_of(bytes(1000)))
                sent += 1
                await until(lambda: len(inbox.frames) >= sent or bool(process.failures))  # noqa: B023
                assert process.failures == []
            async with asyncio.timeout(PATIENCE):
                closed = await asyncio.gather(*coming)
    assert watched.overlaps == []
    assert watched.calls > PEERS * ROUNDS / 2
    assert closed == [(ROUNDS + 2) // 3] * PEERS
    assert process.failures == []
