"""Stops of all kinds leave nothing behind, and what is private to nats-py is as it was seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from nats.aio.client import Client

from civitas.errors import TransportError
from civitas_nats.client import HardenedClient, cancel_and_wait, discard_unsent, socket_of
from civitas_nats.connector import close_client
from support.nats.nodes import Node, bare, durable, fill, until, within

# --- the end ------------------------------------------------------------------------------------


@pytest.fixture(params=["core", "jetstream"])
def make(request, unique) -> Callable[..., Node]:
    """Make nodes of both kinds."""
    if request.param == "core":
        return Node
    return lambda url, **options: durable(url, unique, **options)


async def test_a_stop_at_the_moment_of_the_loss_leaves_nothing(jetstream, make):
    async with make(jetstream.url) as node:
        await node.agent("worker")
        jetstream.kill()
    assert node.told in ([], ["down"])


async def test_a_stop_while_a_connection_is_made_again_leaves_nothing(jetstream, make):
    async with make(jetstream.url) as node:
        await node.agent("worker")
        await asyncio.to_thread(jetstream.kill)
        await until(lambda: node.told == ["down"])
        jetstream.launch()
        await asyncio.sleep(0)


async def test_a_stop_while_the_server_stands_still_leaves_nothing_and_ends_in_time(
    jetstream, make
):
    async with make(jetstream.url, ping_interval=60, linger=0.3, send_timeout=60) as node:
        await node.agent("worker")
        jetstream.pause()
        async with asyncio.timeout(10):
            await node.transport.stop()


async def test_a_stop_with_bytes_that_the_server_has_not_taken_ends_in_time(server):
    async with Node(server.url, ping_interval=60, linger=0.3, send_timeout=0.5) as node:
        server.pause()
        with pytest.raises(TransportError):
            await fill(node)
        async with asyncio.timeout(10):
            await node.transport.stop()


async def test_a_stop_while_a_new_client_is_made_leaves_nothing(server):
    async with Node(server.url) as node:
        await node.send("x" * 5000, "a control line that is too long")
        server.pause()
        await until(lambda: node.told == ["down"])


async def test_a_stop_waits_until_the_server_has_taken_what_was_accepted(server):
    options = {"ping_interval": 60, "send_timeout": 0.5, "linger": 20}
    async with Node(server.url, **options) as sender, Node(server.url, **options) as receiver:
        agent = await receiver.agent("worker")
        await within(receiver.transport.wait_ready())
        server.pause()
        accepted: list[str] = []
        with pytest.raises(TransportError):
            await send_large(sender, accepted)
        stopping = asyncio.ensure_future(sender.transport.stop())
        done, _ = await asyncio.wait((stopping,), timeout=0.2)
        assert not done
        server.resume()
        await within(stopping)
        assert await agent.has_done(len(accepted)) == accepted


async def test_a_stop_waits_for_no_server_that_is_lost_meanwhile(server, caplog):
    async with Node(server.url, ping_interval=60, linger=60) as node:
        await within(node.transport.wait_ready())
        server.pause()
        stopping = asyncio.ensure_future(node.transport.stop())
        done, _ = await asyncio.wait((stopping,), timeout=0.2)
        assert not done
        server.kill()
        await within(stopping)
    assert caplog.text.count("stopped before a server had taken all") == 1


async def test_a_cancelled_stop_leaves_nothing(server):
    async with Node(server.url, ping_interval=60, linger=60) as node:
        server.pause()
        stopping = asyncio.ensure_future(node.transport.stop())
        done, _ = await asyncio.wait((stopping,), timeout=0.2)
        assert not done
        stopping.cancel()
        await within(asyncio.wait((stopping,)))
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def send_large(node: Node, accepted: list[str]) -> None:
    """Send large frames until one is refused, and note the others."""
    while True:
        body = str(len(accepted)).ljust(100_000)
        await node.send("worker", body)
        accepted.append(body)


# --- what is private to nats-py -----------------------------------------------------------------


async def test_the_socket_of_a_client_is_found_and_aborting_it_ends_the_connection(server):
    async with bare(server.url) as client:
        socket = socket_of(client)
        assert socket is not None
        assert socket.get_extra_info("peername") == (server.host, server.port)
        socket.abort()
        await until(lambda: not client.is_connected)


async def test_a_client_that_was_never_connected_has_no_socket():
    assert socket_of(Client()) is None


async def test_what_waits_for_the_socket_is_forgotten(server):
    async with bare(server.url) as client:
        await client.publish("far", b"unsent")
        assert client.pending_data_size > 0
        discard_unsent(client)
        assert client.pending_data_size == 0
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        await client.publish(inbox, b"sent")
        assert (await subscription.next_msg(10)).data == b"sent"
        assert server.varz()["in_msgs"] == 1


async def test_a_client_with_unsent_bytes_and_no_connection_is_hung_up(server):
    async def ignore(error: Exception) -> None:
        """The loss is reported to it."""

    client = Client()
    await client.connect(server.url, error_cb=ignore)
    await client.subscribe("news", cb=ignore)
    server.kill()
    await until(lambda: client.is_reconnecting)
    await client.publish("far", b"unsent")
    await within(close_client(client))
    assert client.is_closed


class Stubborn(HardenedClient):
    """One that goes on to connect again though it was cancelled, as `wait_for` can make it do."""

    lost: asyncio.Event | None = None
    """Set when it has lost its connection."""

    async def _select_next_server(self) -> None:
        if self.lost is not None and not self.lost.is_set():
            self.lost.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await super()._select_next_server()


async def test_a_client_that_is_closed_connects_no_more_though_a_cancellation_was_lost(server):
    async def ignore(error: Exception) -> None:
        """The loss is reported to it."""

    client = Stubborn(encrypted=False)
    await client.connect(server.url, error_cb=ignore)
    lost = client.lost = asyncio.Event()
    server.restart()
    await within(lost.wait())
    await within(close_client(client))
    assert client.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await until(lambda: not server.clients())


async def test_a_client_whose_close_is_cancelled_is_closed_all_the_same(server):
    async def ignore(error: Exception) -> None:
        """The loss is reported to it."""

    client = Stubborn(encrypted=False)
    await client.connect(server.url, error_cb=ignore)
    lost = client.lost = asyncio.Event()
    await asyncio.to_thread(server.kill)
    await within(lost.wait())
    closing = asyncio.ensure_future(close_client(client))
    await asyncio.sleep(0)
    closing.cancel()
    await within(asyncio.wait((closing,)))
    assert client.is_closed
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_a_task_is_ended_though_wait_for_swallows_a_cancellation():
    """CPython issue 86296: an answer and a cancellation that come together, in Python 3.11."""

    async def ask() -> None:
        await asyncio.wait_for(answer, 60)
        passed.set()
        await asyncio.Event().wait()

    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    passed = asyncio.Event()
    task = asyncio.ensure_future(ask())
    await asyncio.sleep(0)
    answer.set_result(None)
    await within(cancel_and_wait(task))
    assert task.cancelled()


async def test_ending_a_task_that_has_ended_is_nothing():
    async def work() -> None:
        """Do nothing."""

    task = asyncio.ensure_future(work())
    await task
    await within(cancel_and_wait(task))
    await within(cancel_and_wait(None))
