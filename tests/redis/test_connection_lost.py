"""What becomes of a connection when the server ends, stands still, or cuts it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time

import pytest

from civitas.errors import (
    CivitasError,
    MessageRoutingError,
    NotConnectedError,
    OutcomeUnknownError,
)
from civitas.testing import TcpLink
from support.redis.nodes import NOTICED, Agent, Node, frame_of, until, within
from support.redis.server import RedisServer
from support.tcp_proxy import tcp_proxy

LARGE = frame_of("." * 200_000)


async def hears(node: Node, agent: Agent, body: str) -> None:
    """See that what a node sends comes to an agent, as soon as both are back."""

    async def look() -> bool:
        try:
            await node.transport.publish("worker", frame_of(body))
        except (NotConnectedError, MessageRoutingError):
            return False
        return True

    await until(look)
    await until(lambda: body in agent.bodies)


# --- it ends ------------------------------------------------------------------------------------


async def test_what_is_published_while_no_server_is_there_is_an_error_at_once(server):
    async with Node(server.url) as node:
        await asyncio.to_thread(server.kill)
        await until(lambda: node.told == ["down"])
        for _ in range(3):
            with pytest.raises(NotConnectedError, match="no connection to redis://127"):
                await within(node.transport.publish("far", frame_of()), NOTICED)


async def test_under_load_every_frame_arrives_or_is_lost_or_is_an_error_and_all_keep_order(server):
    async with Node(server.url) as sender, Node(server.url) as receiver:
        worker = await receiver.agent("worker")
        stop = asyncio.Event()
        load = asyncio.ensure_future(count(sender, stop))
        await worker.has(100)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await sender.lost_and_found()
        await receiver.lost_and_found()
        await worker.has(len(worker.bodies) + 100)
        stop.set()
        accepted, unknown = await within(load)
        await until(lambda: str(max(accepted)) in worker.bodies)
        numbers = [int(body) for body in worker.bodies]
        assert numbers == sorted(set(numbers))
        assert set(numbers) <= accepted | unknown
        assert len(unknown) <= 1, "a sender that waits has one frame under way"


async def count(node: Node, stop: asyncio.Event) -> tuple[set[int], set[int]]:
    """Publish numbers until `stop` is set; return those accepted, and those of unknown outcome."""
    number, accepted, unknown = 0, set(), set()
    while not stop.is_set():
        try:
            await node.transport.publish("worker", frame_of(str(number)))
            accepted.add(number)
        except OutcomeUnknownError:
            unknown.add(number)
        except (NotConnectedError, MessageRoutingError):
            await asyncio.sleep(0.01)
        number += 1
    return accepted, unknown


async def test_what_is_subscribed_while_a_connection_greets_the_server_disturbs_nothing(
    server, caplog
):
    """In the middle of the greeting, the answer would be taken for one to the greeting."""
    worker, greetings, tasks = Agent(), [], []

    async def subscribe(data: bytes) -> None:
        if b"SETNAME" in data:
            greetings.append(data)
            if len(greetings) == 2:  # the first is that of the connection that publishes
                tasks.append(asyncio.ensure_future(node.transport.subscribe("worker", worker)))

    async with tcp_proxy(server, subscribe) as url:
        node = Node(url)
        async with node, Node(server.url) as other:
            await within(asyncio.gather(*tasks))
            await other.send("worker", "hello")
            await worker.has_done(1)
        assert len(greetings) == 2
    assert caplog.text == ""


# --- it stands still ----------------------------------------------------------------------------


async def test_while_a_server_stands_still_a_publish_says_so_at_once(server):
    async with Node(server.url) as node:
        server.pause()
        await until(lambda: node.told == ["down"], seconds=NOTICED)
        with pytest.raises(NotConnectedError, match=r"no answer from redis:.* for 1 s"):
            await within(node.transport.publish("worker", frame_of("?")), NOTICED)


async def test_what_a_server_that_stands_still_has_not_taken_holds_up_neither_publish_nor_stop(
    server,
):
    """redis-py leaves such a socket open, which the end of this test would notice."""
    async with Node(server.url) as node:
        server.pause()
        frames = [node.transport.publish("far", LARGE) for _ in range(100)]
        told = await within(asyncio.gather(*frames, return_exceptions=True), NOTICED)
        kinds = {type(error) for error in told}
        assert kinds == {OutcomeUnknownError, NotConnectedError}  # some were sent, others not


async def test_a_connection_that_stands_still_alone_is_noticed_by_all_who_wait_for_it(
    server, caplog
):
    armed = []

    async def swallow(data: bytes) -> None:
        if armed and b"PUBLISH" in data:
            raise EOFError  # the way of what is published ends here, and nobody is told

    async with tcp_proxy(server, swallow) as url, Node(url) as node, Node(server.url) as other:
        worker = await node.agent("worker")
        armed.append(True)
        ready = asyncio.ensure_future(node.transport.wait_ready())
        with pytest.raises(OutcomeUnknownError):
            await within(node.transport.publish("far", frame_of()), NOTICED)
        armed.clear()
        await node.lost_and_found()
        await within(ready)
        await hears(other, worker, "new")
    gc.collect()  # an error that nobody looked at is told when it goes
    assert "never retrieved" not in caplog.text


async def test_much_that_waits_on_a_slow_way_is_not_taken_for_a_server_that_stands_still(server):
    async def slow(data: bytes) -> None:
        await asyncio.sleep(len(data) / 12_000_000)

    async with tcp_proxy(server, slow) as url, Node(url) as node, Node(server.url) as other:
        worker = await other.agent("worker")
        frames = [node.transport.publish("worker", LARGE) for _ in range(100)]  # 20 MB
        await within(asyncio.gather(*frames))
        await worker.has(len(frames))
        assert node.told == []


async def test_a_loop_that_is_blocked_while_a_probe_is_under_way_keeps_its_connection(server):
    armed, blocked = [], []

    async def block(data: bytes) -> None:
        if b"civitas:_probe." in data and armed and not blocked:
            time.sleep(1.5)  # noqa: ASYNC251 - as work on a GPU does
            blocked.append(data)

    async with tcp_proxy(server, block) as url, Node(url) as node, Node(server.url) as other:
        worker = await node.agent("worker")
        armed.append(True)
        await until(lambda: blocked)
        await hears(other, worker, "new")
        assert node.told == []


# --- it cuts ------------------------------------------------------------------------------------


async def test_a_subscriber_that_the_server_cuts_is_back_and_hears_again(server):
    async with Node(server.url) as sender, Node(server.url) as receiver:
        worker = await receiver.agent("worker")
        name = f"civitas-{receiver.process.replace(' ', '%20')}"
        with server.client() as client:
            [cut] = [each["id"] for each in server.subscribers() if each["name"] == name]
            assert client.client_kill_filter(_id=cut) == 1
        await receiver.lost_and_found()
        await hears(sender, worker, "new")
        assert sender.told == []


@pytest.mark.slow
async def test_a_process_that_reads_too_slowly_is_cut_and_is_back(tmp_path):
    limits = {"client-output-buffer-limit": "pubsub 1mb 1mb 1"}
    with RedisServer(tmp_path, settings=limits) as server:
        async with Node(server.url) as receiver:
            worker = await receiver.agent("worker")
            with server.client() as client:
                while server.subscribers():  # this process reads nothing meanwhile
                    client.publish("civitas:worker", LARGE)
            await receiver.lost_and_found()
            async with Node(server.url) as sender:
                await hears(sender, worker, "new")


async def test_what_comes_as_soon_as_it_is_subscribed_again_can_be_answered(server):
    with TcpLink(server.port) as link:
        async with Node(f"redis://127.0.0.1:{link.port}") as node, Node(server.url) as asker:
            answers = await asker.agent("asker")
            failed: list[Exception] = []

            async def answer(frame: bytes) -> None:
                try:
                    await node.transport.publish("asker", frame)
                except CivitasError as error:
                    failed.append(error)

            await within(node.transport.subscribe("worker", answer))
            await within(node.transport.wait_ready())
            await asyncio.to_thread(link.cut)
            await until(lambda: node.told == ["down"])
            asking = asyncio.create_task(ask_for_ever(asker))
            await asyncio.to_thread(link.mend)
            await answers.has(1)
            await node.lost_and_found()
            asking.cancel()
            await asyncio.wait([asking])
            assert failed == []


async def ask_for_ever(asker: Node) -> None:
    while True:
        with contextlib.suppress(MessageRoutingError):
            await asker.transport.publish("worker", frame_of("?"))
        await asyncio.sleep(0)
