"""What the server reports about a frame, and which frames reach it."""

from __future__ import annotations

import asyncio

import pytest

from civitas import Runtime, Supervisor, Worker, envelope
from civitas.errors import MessageRoutingError
from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX
from civitas.testing import TcpLink
from support.agents import Scripted, echo
from support.redis.nodes import QUICK, Node, frame_of, until, within
from support.redis.server import RedisServer
from support.tcp_proxy import tcp_proxy

SYSTEM = f"{RESERVED_PREFIX}test"


async def test_a_frame_that_the_server_gives_to_nobody_is_an_error_to_its_sender(server):
    async with Node(server.url) as node, Node(server.url) as other:
        with pytest.raises(MessageRoutingError, match="nobody listens at 'worker'"):
            await node.send("worker", "into the void")
        worker = await other.agent("worker")
        await node.send("worker", "heard")
        await worker.has_done(1)
        await within(other.transport.unsubscribe("worker"))
        await until(lambda: unheard(node))
        assert worker.bodies == ["heard"] * len(worker.bodies)


async def unheard(node: Node) -> bool:
    try:
        await node.send("worker", "heard")
    except MessageRoutingError:
        return True
    return False


async def test_what_its_sender_was_told_of_is_not_counted_as_lost_besides(server):
    def at(port: int) -> dict[str, object]:
        return {"type": "redis", **QUICK, "url": f"redis://127.0.0.1:{port}"}

    root, far = Supervisor("root"), Scripted("far", echo)
    root.add_remote_child("far")
    with TcpLink(server.port) as link:
        worker = Worker([far], transport=at(link.port))
        async with Runtime(root, transport=at(server.port)) as runtime, worker:
            await runtime.ask("far", {"number": 0})
            await asyncio.to_thread(link.cut)
            await until(lambda: not server_has(server, b"civitas:far"))
            for send in (runtime.send, runtime.ask):
                with pytest.raises(MessageRoutingError, match="nobody listens at 'far'"):
                    await within(send("far", {"number": 1}))
            await asyncio.to_thread(link.mend)
            await until(lambda: server_has(server, b"civitas:far"))
            await within(runtime.ask("far", {"number": 2}))
            assert [message.payload["number"] for message in far.got] == [0, 2]
            assert worker.stats().lost == {}


async def test_what_its_sender_has_cancelled_is_neither_lost_nor_warned_of(server, caplog):
    """Losses are counted by the numbers of frames; see `civitas._bus.windows`."""
    to = {"type": "redis", **QUICK, "url": server.url}
    root, far = Supervisor("root"), Scripted("far", echo)
    root.add_remote_child("far")
    worker = Worker([far], transport=to)
    async with Runtime(root, transport=to) as runtime, worker:
        await runtime.ask("far", {"number": 0})
        for turns in range(12):
            verbs = (runtime.send, runtime.ask)
            many = [
                asyncio.ensure_future(verbs[number % 2]("far", {"number": number}))
                for number in range(1, 40)
            ]
            for _ in range(turns % 5):
                await asyncio.sleep(0)
            for each in many[turns % 3 :: 3]:
                each.cancel()
            await within(asyncio.gather(*many, return_exceptions=True))
        await within(runtime.ask("far", {"number": -1}))
        assert worker.stats().lost == {}
        assert runtime.stats().lost == {}
    assert "lost" not in caplog.text


def server_has(server: RedisServer, channel: bytes) -> bool:
    with server.client() as client:
        return channel in client.pubsub_channels()


async def test_a_reply_to_nobody_is_counted_and_a_system_frame_for_nobody_is_not(server):
    async with Node(server.url) as node:
        await node.send(SYSTEM, "for whoever listens")
        reply = envelope.with_reply_to(frame_of(), f"{REPLY_PREFIX}gone.1")
        await within(node.transport.publish(f"{REPLY_PREFIX}gone", reply))
        assert node.drops == [("reply without a request", reply)]


async def test_ready_means_that_the_server_has_the_subscription_however_slow_the_way_is(server):
    async def slow(data: bytes) -> None:
        if b"SUBSCRIBE" in data and b"civitas:worker" in data:
            await asyncio.sleep(0.3)  # what is published on the other connection is faster

    async with tcp_proxy(server, slow) as url, Node(url) as node, Node(server.url) as other:
        worker = await node.agent("worker")
        await other.send("worker", "the very first")
        await worker.has_done(1)


async def test_a_sender_that_gives_up_disturbs_no_other(server):
    async with Node(server.url) as sender, Node(server.url) as receiver:
        worker = await receiver.agent("worker")
        many = [
            asyncio.ensure_future(sender.transport.publish("worker", frame_of(str(number))))
            for number in range(200)
        ]
        await asyncio.sleep(0)  # the first of them are being sent, the others wait
        for each in many[::2]:
            each.cancel()
        await within(asyncio.gather(*many, return_exceptions=True))
        wanted = [str(number) for number in range(1, 200, 2)]
        await until(lambda: [body for body in worker.bodies if int(body) % 2], wanted.__eq__)
        assert sender.told == []


async def test_systems_with_prefixes_of_their_own_do_not_hear_each_other(server):
    async with (
        Node(server.url, prefix="one:") as one,
        Node(server.url, prefix="two:") as two,
        Node(server.url, prefix="two:") as other,
    ):
        ears = [await one.agent("worker"), await two.agent("worker")]
        await other.send("worker", "for two")
        await ears[1].has_done(1)
        with server.client() as client:
            assert client.pubsub_numpat() == 0, "it subscribes to a pattern"
            assert set(client.pubsub_channels("*worker")) == {b"one:worker", b"two:worker"}
            assert client.publish("one:worker", frame_of("for one")) == 1
        await ears[0].has_done(1)
        assert [ear.bodies for ear in ears] == [["for one"], ["for two"]]


async def test_the_process_names_of_nodes_are_in_the_list_of_clients(server):
    async with Node(server.url):
        [subscriber] = server.subscribers()
        assert subscriber["name"].startswith("civitas-node%20")


async def test_bytes_of_anybody_are_survived(server):
    async with Node(server.url) as node:
        worker = await node.agent("worker")
        with server.client() as client:
            [own] = [each for each in client.pubsub_channels() if b":_probe." in each]
            client.publish(own, b"\xff no token of a probe")
            client.publish("civitas:worker", b"")
            client.publish("civitas:worker", b"\xff" * 100)
            client.publish("civitas:worker", frame_of("sound"))
        await worker.has_done(1)
        await within(node.transport.wait_ready())
        assert node.told == []
        assert [reason for reason, _ in node.drops] == ["refused: frame"] * 2
