"""What `wait_ready` promises: not one first message is lost, in whatever order things start."""

from __future__ import annotations

import asyncio
import logging

import pytest

from civitas.errors import NotConnectedError
from support.zmq import Inbox, Process, frame_of, options_for, started, until, within

pytestmark = pytest.mark.slow

ROUNDS = 60


async def test_no_first_message_of_a_fresh_publisher_is_lost():
    options = options_for()
    receiver = Process(options, primary=True)
    async with started(receiver):
        for number in range(ROUNDS):
            [inbox] = await receiver.listen(f"agent-{number}")
            sender = Process(options)
            async with started(sender):
                await within(receiver.transport.wait_ready())
                await sender.transport.publish(f"agent-{number}", frame_of())
                await inbox.first()


async def test_no_first_message_to_a_fresh_subscriber_is_lost():
    options = options_for()
    sender = Process(options, primary=True)
    async with started(sender):
        for number in range(ROUNDS):
            receiver = Process(options)
            [inbox] = await receiver.listen("agent")
            async with started(receiver):
                await sender.transport.publish("agent", frame_of(b"%d" % number))
                await inbox.first()


async def test_no_first_message_of_any_publisher_to_a_new_subscription_is_lost():
    options = options_for()
    receiver = Process(options, primary=True)
    senders = [Process(options) for _ in range(10)]
    async with started(receiver, *senders) as (_, *publishers):
        for number in range(ROUNDS):
            [inbox] = await receiver.listen(f"agent-{number}")
            await within(receiver.transport.wait_ready())
            for publisher in publishers:
                await publisher.publish(f"agent-{number}", frame_of())
            await inbox.first(len(publishers))


async def test_one_wait_proves_thousands_of_subscriptions():
    options = options_for()
    receiver, sender = Process(options, primary=True), Process(options)
    async with started(receiver, sender):
        inboxes = await receiver.listen(*(f"agent-{number}" for number in range(5_000)))
        await within(receiver.transport.wait_ready())
        for number in range(5_000):
            await sender.transport.publish(f"agent-{number}", frame_of())
        await within(asyncio.gather(*(inbox.first() for inbox in inboxes)))


async def test_many_may_wait_at_once_each_for_its_own_subscription():
    options = options_for()
    receiver, sender = Process(options, primary=True), Process(options)
    async with started(receiver, sender):

        async def subscribe_and_prove(number: int) -> None:
            [inbox] = await receiver.listen(f"agent-{number}")
            await receiver.transport.wait_ready()
            await sender.transport.publish(f"agent-{number}", frame_of())
            await inbox.first()

        await within(asyncio.gather(*(subscribe_and_prove(number) for number in range(200))))


async def test_a_cancelled_wait_disturbs_no_other():
    options = options_for()
    waiting, primary = Process(options), Process(options, primary=True)
    await waiting.transport.start()
    given_up, kept = (asyncio.create_task(waiting.transport.wait_ready()) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    async with started(primary):
        await within(kept)
        assert given_up.cancelled()
        await waiting.transport.stop()


async def test_who_comes_before_the_proxy_waits_and_says_so_once(caplog):
    caplog.set_level(logging.INFO)
    options = options_for()
    early = Process(options)
    [inbox] = await early.listen("agent")
    await early.transport.start()
    ready = asyncio.create_task(early.transport.wait_ready())
    await until(lambda: "waiting for the proxy" in caplog.text)
    primary = Process(options, primary=True)
    async with started(primary):
        await within(ready)
        await primary.transport.publish("agent", frame_of())
        await inbox.first()
        await early.transport.stop()
    assert caplog.text.count("waiting for the proxy at") == 1
    assert options.pub_addr in caplog.text
    assert early.link_events == []  # it was not there, so it was not lost


async def test_a_host_that_is_unknown_is_named_in_errors_and_once_in_the_log(caplog):
    """`.invalid` is reserved for names that do not resolve (RFC 6761)."""
    addresses = {
        side: f"tcp://no-such-host.invalid:{port}"
        for port, side in enumerate(("pub_addr", "sub_addr"), 5600)
    }
    process = Process(options_for(**addresses, connect_timeout=3, send_timeout=0.1))
    await process.transport.start()
    with pytest.raises(NotConnectedError, match=r"'no-such-host\.invalid' of the proxy is unknown"):
        await within(process.transport.wait_ready())
    with pytest.raises(NotConnectedError, match=r"'no-such-host\.invalid' of the proxy is unknown"):
        await within(process.transport.publish("a", frame_of()))
    await within(process.transport.stop())
    assert caplog.text.count("no-such-host.invalid' of the proxy is unknown") == 1


async def test_a_wait_may_have_an_end():
    process = Process(options_for(connect_timeout=0.1))
    await process.transport.start()
    with pytest.raises(NotConnectedError, match="civitas-zmq proxy"):
        await within(process.transport.wait_ready())
    await process.transport.stop()


async def test_a_frame_published_before_the_proxy_is_there_waits_for_it():
    options = options_for()
    early, primary = Process(options), Process(options, primary=True)
    [inbox] = await early.listen("_agency.all")
    await early.transport.start()
    publish = asyncio.create_task(early.transport.publish("_agency.all", frame_of()))
    async with started(primary):
        await within(publish)
        await inbox.first()
        await early.transport.stop()


async def test_fifty_processes_that_start_at_once_reach_each_other():
    options = options_for()
    processes = [Process(options, primary=not number) for number in range(50)]
    inboxes = [(await each.listen(f"agent-{n}"))[0] for n, each in enumerate(processes)]
    shared = Inbox()
    for each in processes:
        await each.transport.subscribe("_agency.hello", shared)
    async with started(*processes) as transports:
        for number, transport in enumerate(transports):
            await transport.publish(f"agent-{number - 1}" if number else "agent-49", frame_of())
        await within(asyncio.gather(*(inbox.first() for inbox in inboxes)))
        await transports[7].publish("_agency.hello", frame_of())
        await shared.first(50)


@pytest.mark.parametrize("prefix", ["a", "agent"])
async def test_an_address_gets_nothing_of_a_longer_one(prefix):
    options = options_for()
    receiver, sender = Process(options, primary=True), Process(options)
    short, long = await receiver.listen(prefix, f"{prefix}b")
    async with started(receiver, sender):
        for address in (f"{prefix}b", f"{prefix}c", prefix):
            await sender.transport.publish(address, frame_of(address.encode()))
        assert await short.first() == [frame_of(prefix.encode())]
        assert await long.first() == [frame_of(f"{prefix}b".encode())]
        assert receiver.drops == []  # what nobody here subscribed did not even come
