"""A proxy that dies, stands still or comes back: everyone notices, and everything works again."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest
import zmq

from civitas.errors import NotConnectedError
from civitas_zmq.addresses import to_connect
from support.zmq import (
    PATIENCE,
    Process,
    frame_of,
    options_for,
    proxy_at,
    started,
    until,
    within,
)

pytestmark = pytest.mark.slow

AT_ONCE = 10.0
"""Seconds, on a busy machine; who waited would do so for 30 and more."""


@pytest.mark.parametrize("subscriptions", [900, 5_000])
async def test_after_a_restart_of_the_proxy_every_subscription_lives(subscriptions):
    options = options_for()
    receiver, sender = Process(options), Process(options)
    inboxes = await receiver.listen(*(f"agent-{number}" for number in range(subscriptions)))
    with proxy_at(options) as proxy:
        async with started(receiver, sender):
            proxy.kill()
            await until(lambda: receiver.link_events == sender.link_events == ["down"])
            proxy.start()
            await until(lambda: receiver.link_events == sender.link_events == ["down", "up"])
            for number in range(subscriptions):
                await sender.transport.publish(f"agent-{number}", frame_of())
            await within(asyncio.gather(*(inbox.first() for inbox in inboxes)))


async def test_the_first_burst_after_up_is_not_lost():
    options = options_for()
    process = Process(options)
    [inbox] = await process.listen("_agency.all")
    with proxy_at(options) as proxy:
        async with started(process):
            for _ in range(3):
                process.link_events.clear()
                inbox.frames.clear()
                proxy.kill()
                proxy.start()
                await until(lambda: process.link_events[-1:] == ["up"])
                for number in range(100):
                    await process.transport.publish("_agency.all", frame_of(b"%d" % number))
                assert await inbox.first(100) == [frame_of(b"%d" % n) for n in range(100)]


async def test_while_the_proxy_is_known_to_be_away_a_publish_fails_at_once():
    options = options_for(send_timeout=60)
    process = Process(options)
    [here] = await process.listen("here")
    with proxy_at(options) as proxy:
        async with started(process):
            proxy.kill()
            await until(lambda: process.link_events == ["down"])
            with pytest.raises(NotConnectedError, match="the proxy at tcp://127.0.0.1:.* is lost"):
                await within(process.transport.publish("agent", frame_of()), AT_ONCE)
            await process.transport.publish("here", frame_of())  # that needs no proxy
            assert len(here.frames) == 1


async def test_a_proxy_that_stands_still_is_noticed_and_found_again():
    options = options_for()
    process = Process(options)
    [inbox] = await process.listen("_agency.all")
    with proxy_at(options) as proxy:
        async with started(process):
            began = time.monotonic()
            proxy.pause()
            await until(lambda: process.link_events == ["down"])
            assert time.monotonic() - began >= 1.0
            proxy.resume()
            await until(lambda: process.link_events == ["down", "up"])
            await process.transport.publish("_agency.all", frame_of())
            await inbox.first()


async def test_wait_ready_during_an_outage_waits_for_the_proxy():
    options = options_for()
    process = Process(options)
    with proxy_at(options) as proxy:
        async with started(process):
            proxy.kill()
            await until(lambda: process.link_events == ["down"])
            [inbox] = await process.listen("_agency.late")
            ready = asyncio.create_task(process.transport.wait_ready())
            proxy.start()
            await within(ready)
            await process.transport.publish("_agency.late", frame_of())
            await inbox.first()


async def test_a_stop_while_the_proxy_is_away_does_not_wait_for_it():
    options = options_for(linger=30)
    process = Process(options)
    with proxy_at(options) as proxy:
        async with started(process):
            proxy.kill()
            await until(lambda: process.link_events == ["down"])
            await within(process.transport.stop(), AT_ONCE)


async def test_a_stop_while_the_proxy_stands_still_ends_within_linger():
    options = options_for(linger=0.3)
    process = Process(options)
    with proxy_at(options) as proxy:
        async with started(process):
            proxy.pause()
            await within(process.transport.stop(), AT_ONCE)


async def test_a_connection_that_libzmq_gives_up_is_made_again():
    """A message above MAXMSGSIZE ends a session for good: no retry, no event of one."""
    options = options_for(max_message_bytes=1024, start_proxy=False)
    generous = options_for(pub_addr=options.pub_addr, sub_addr=options.sub_addr)
    receiver, sender = Process(options), Process(generous)
    with proxy_at(generous):
        [inbox] = await receiver.listen("agent")
        async with started(receiver, sender):
            await sender.transport.publish("agent", frame_of(b"x" * 100_000))
            await until(lambda: receiver.link_events == ["down", "up"])
            await sender.transport.publish("agent", frame_of())
            await until(lambda: inbox.frames == [frame_of()])


async def test_what_is_no_proxy_is_reported_and_the_proxy_is_found_when_it_comes(caplog):
    options = options_for()
    process = Process(options)
    host, _, port = to_connect(options.pub_addr).removeprefix("tcp://").partition(":")
    with socket.create_server((host, int(port))) as server:
        web = threading.Thread(target=answer_as_a_web_server, args=(server,))
        web.start()
        await process.transport.start()
        await until(lambda: "it is no proxy" in caplog.text)
        assert not web.join(PATIENCE)
    with proxy_at(options):
        await within(process.transport.wait_ready())
        await process.transport.stop()


def answer_as_a_web_server(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" * 4)


def test_this_libzmq_has_what_the_transport_needs():
    assert zmq.has("curve")
    assert zmq.has("ipc")
