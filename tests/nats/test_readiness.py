"""Ready is what has been proved: a frame that anyone publishes then arrives, and once."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client

from civitas.errors import NotConnectedError
from support.nats.impostor import impostor
from support.nats.nodes import Agent, Node, bare, durable, frame_of, until, within
from support.nats.server import NatsServer

PAIRS = 200
AT_A_TIME = 10


async def first_frames(make, *, count: int) -> list[list[str]]:
    """Have fresh pairs of nodes, each with a frame at once; return what came to each."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def pair(number: int) -> list[str]:
        async with gate, make() as receiver:
            agent = await receiver.agent(f"agent{number}")
            await within(receiver.transport.wait_ready())
            async with make() as sender:
                await sender.transport.publish(f"agent{number}", frame_of("first"))
                await agent.has_done(1)
            return agent.done

    return await asyncio.gather(*(pair(number) for number in range(count)))


@pytest.mark.slow
async def test_of_200_fresh_pairs_each_receiver_gets_its_first_frame_once(shared_nats):
    came = await first_frames(lambda: Node(shared_nats.url), count=PAIRS)
    assert came == [["first"]] * PAIRS


@pytest.mark.slow
async def test_of_50_fresh_pairs_on_jetstream_each_receiver_gets_its_first_frame_once(
    shared_jetstream, unique
):
    came = await first_frames(lambda: durable(shared_jetstream.url, unique), count=50)
    assert came == [["first"]] * 50


async def test_a_frame_of_a_node_that_was_there_before_arrives_right_after_wait_ready(shared_nats):
    async with Node(shared_nats.url) as sender, Node(shared_nats.url) as receiver:
        agents: list[Agent] = []
        for number in range(100):
            agents.append(await receiver.agent(f"late{number}"))
            await within(receiver.transport.wait_ready())
            await sender.transport.publish(f"late{number}", frame_of("first"))
        for agent in agents:
            assert await agent.has_done(1) == ["first"]


async def test_a_frame_of_another_client_arrives_right_after_wait_ready(shared_nats, unique):
    async with bare(shared_nats.url) as sender, Node(shared_nats.url) as receiver:
        agent = await receiver.agent(unique)
        await within(receiver.transport.wait_ready())
        await sender.publish(f"civitas.agent.{unique}", frame_of("first"))
        await sender.flush()
        assert await agent.has_done(1) == ["first"]


async def test_many_subscriptions_are_in_place_when_ready(server):
    async with Node(server.url) as node:
        names = [f"agent{number}" for number in range(2000)]
        for name in names:
            await node.transport.subscribe(name, Agent())
        await within(node.transport.wait_ready())
        wanted = {f"civitas.agent.{name}" for name in names}
        assert wanted <= subscriptions_of(server, node)


def subscriptions_of(server: NatsServer, node: Node) -> set[str]:
    """Return the subjects that a server knows of a node."""
    clients = server.ask("connz?subs=1&limit=100")["connections"]
    return {
        subject
        for client in clients
        if client.get("name") == f"node {node.id}"
        for subject in client.get("subscriptions_list", ())
    }


async def test_when_ready_the_server_has_taken_all_that_was_published_before(server):
    async with Node(server.url) as node:
        before = server.varz()["in_msgs"]
        for _ in range(20):
            await node.transport.publish("far", frame_of("." * 50_000))
        await within(node.transport.wait_ready())
        assert server.varz()["in_msgs"] - before >= 20


async def test_the_ping_of_a_flush_overtakes_a_subscription():
    """This is why a flush proves nothing (nats-py 2.16); if it fails, a flush would do."""
    async with impostor(b"INFO {}\r\nPONG\r\n") as server:
        client = Client()
        await client.connect(server.url, allow_reconnect=False)
        await until(lambda: b"PING\r\n" in server.heard)
        await client.subscribe("news")
        with pytest.raises(TimeoutError):
            await client.flush(timeout=0.1)  # type: ignore[arg-type]
        await until(lambda: b"SUB news" in server.heard)
        _, _, rest = server.heard.partition(b"PING\r\n")
        assert rest.startswith(b"PING\r\n")
        assert b"SUB news" in rest
        await client.close()


async def test_the_probe_of_wait_ready_follows_the_subscription():
    async with impostor(b"INFO {}\r\nPONG\r\n") as server:
        node = Node(server.url, connect_timeout=1.0)
        await node.agent("worker")
        with pytest.raises(NotConnectedError, match="no answer"):
            await within(node.transport.start())
        await within(node.transport.stop())
        heard = server.heard
        assert heard.index(b"SUB _INBOX") < heard.index(b"PUB _INBOX")


async def test_when_the_link_is_up_again_the_subscriptions_are_in_place(server):
    seen: list[set[str]] = []
    async with Node(server.url) as node:
        names = [f"agent{number}" for number in range(500)]
        for name in names:
            await node.transport.subscribe(name, Agent())
        await within(node.transport.wait_ready())
        node.when_up = lambda: seen.append(subscriptions_of(server, node))
        for _ in range(2):
            await asyncio.to_thread(server.restart)
            await until(lambda: node.told[-1:] == ["up"])
            node.told.clear()
        assert [subjects >= {f"civitas.agent.{name}" for name in names} for subjects in seen] == [
            True,
            True,
        ]


async def test_when_a_new_client_has_been_made_the_subscriptions_are_in_place(server):
    seen: list[set[str]] = []
    async with Node(server.url) as node:
        names = [f"agent{number}" for number in range(500)]
        for name in names:
            await node.transport.subscribe(name, Agent())
        await within(node.transport.wait_ready())
        node.when_up = lambda: seen.append(subscriptions_of(server, node))
        await node.send("x" * 5000, "a control line that is too long")
        await until(lambda: node.told == ["down", "up"])
        assert seen[0] >= {f"civitas.agent.{name}" for name in names}


async def test_what_is_subscribed_while_no_server_is_there_is_in_place_when_the_link_is_up(server):
    seen: list[set[str]] = []
    async with Node(server.url) as node:
        node.when_up = lambda: seen.append(subscriptions_of(server, node))
        await asyncio.to_thread(server.kill)
        await until(lambda: node.told == ["down"])
        await node.agent("kept")
        await node.agent("gone")
        await node.transport.unsubscribe("gone")
        await asyncio.to_thread(server.start)
        await until(lambda: node.told == ["down", "up"])
        assert "civitas.agent.kept" in seen[0]
        assert "civitas.agent.gone" not in seen[0]


async def test_wait_ready_fails_in_time_while_no_server_is_there(server):
    async with Node(server.url, connect_timeout=0.5) as node:
        await asyncio.to_thread(server.kill)
        await until(lambda: node.told == ["down"])
        with pytest.raises(NotConnectedError, match=r"within 0\.5 s"):
            await within(node.transport.wait_ready())


async def test_what_is_stored_before_anybody_reads_arrives_when_somebody_does(
    shared_jetstream, unique
):
    async with durable(shared_jetstream.url, unique) as sender:
        await sender.send("worker", "1", "2")
    async with durable(shared_jetstream.url, unique) as receiver:
        agent = await receiver.agent("worker")
        assert await agent.has_done(2) == ["1", "2"]
