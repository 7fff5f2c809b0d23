"""What becomes of a connection when servers end, stand still, refuse, or pass on nonsense."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from civitas.errors import NotConnectedError, TransportError
from civitas.messages import RESERVED_PREFIX
from support.nats.impostor import impostor
from support.nats.nodes import LARGE, Agent, Node, fill, frame_of, until, within
from support.nats.server import NatsServer

pytestmark = pytest.mark.slow

SYSTEM = f"{RESERVED_PREFIX}test"

LEFT_WITHIN = 20.0
"""Seconds until a server that stands still is left, which takes 3; nats-py alone needs 25."""


async def hears(node: Node, agent: Agent, body: str) -> None:
    """See that what a node sends from now on comes to an agent."""

    async def look() -> bool:
        try:
            await node.transport.publish(SYSTEM, frame_of(body))
        except TransportError:
            return False
        return body in agent.bodies

    await until(look)


def of_node(servers: list[NatsServer], node: Node) -> NatsServer:
    """Return the server to which a node is connected."""
    name = f"node {node.id}"
    return next(
        server for server in servers if name in {each.get("name") for each in server.clients()}
    )


# --- a server ends ------------------------------------------------------------------------------


async def test_what_is_published_while_no_server_is_there_is_an_error_at_once(server):
    async with Node(server.url, send_timeout=60) as node:
        await asyncio.to_thread(server.kill)
        await until(lambda: node.told == ["down"])
        for _ in range(3):
            with pytest.raises(NotConnectedError):
                await within(node.transport.publish("far", frame_of()), LEFT_WITHIN)


async def test_nothing_is_taken_for_a_lost_connection_before_its_loss_is_told(server):
    """nats-py would keep it, and send it some time, or never."""
    async with Node(server.url) as node:
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        server.kill()
        refused = await until(lambda: publish_refused(node))
        assert refused
        server.start()
        await until(lambda: node.told == ["down", "up"])
        await hears(node, heard, "new")
        assert "kept" not in heard.bodies[1:]


async def test_who_waits_for_room_hears_of_the_loss_at_once(server):
    async with Node(server.url, ping_interval=60, send_timeout=60) as node:
        server.pause()
        filling = asyncio.ensure_future(fill(node))
        done, _ = await asyncio.wait((filling,), timeout=0.5)
        assert not done
        server.kill()
        with pytest.raises(NotConnectedError):
            await within(filling)


async def publish_refused(node: Node) -> bool:
    try:
        await node.transport.publish(SYSTEM, frame_of("kept"))
    except NotConnectedError:
        return True
    return False


async def test_frames_on_both_sides_of_a_restart_are_in_order(server):
    async with Node(server.url) as sender, Node(server.url) as receiver:
        heard = await receiver.agent("worker")
        await within(receiver.transport.wait_ready())
        stop = asyncio.Event()
        sending = asyncio.ensure_future(count(sender, stop))
        await heard.has(100)
        await asyncio.to_thread(server.restart)
        await until(lambda: sender.told[-1:] == receiver.told[-1:] == ["up"])
        before = len(heard.bodies)
        await heard.has(before + 100)
        stop.set()
        sent = await within(sending)
        numbers = [int(body) for body in heard.bodies]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= sent


async def count(node: Node, stop: asyncio.Event) -> int:
    """Publish numbers until `stop` is set; return how many were accepted."""
    number = accepted = 0
    while not stop.is_set():
        try:
            await node.transport.publish("worker", frame_of(str(number)))
            accepted += 1
        except TransportError:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        number += 1
    return accepted


@pytest.mark.each_release
async def test_one_of_three_servers_of_a_cluster_is_killed_and_who_was_on_it_goes_on(cluster):
    first, *others = cluster.servers
    async with Node(*(server.url for server in others)) as moving, Node(first.url) as staying:
        far = await staying.agent("worker")
        heard = await moving.agent(SYSTEM)
        await within(staying.transport.wait_ready())
        await asyncio.to_thread(of_node(others, moving).kill)
        await until(lambda: moving.told == ["down", "up"])
        await hears(moving, heard, "new")
        await until(lambda: reaches(moving, far))
        assert staying.told == []


async def reaches(sender: Node, far: Agent) -> bool:
    await sender.send("worker", "over the route")
    return "over the route" in far.bodies


# --- a server stands still ----------------------------------------------------------------------


@asynccontextmanager
async def two_servers(folder: Path, **settings) -> AsyncIterator[list[NatsServer]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(NatsServer(folder, name=name, **settings)) for name in ("a", "b")
        ]


async def test_a_server_that_stands_still_under_load_is_left_for_another(tmp_path):
    async with (
        two_servers(tmp_path) as servers,
        Node(*(server.url for server in servers), send_timeout=1) as node,
    ):
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        still = of_node(servers, node)
        stop = asyncio.Event()
        load = [asyncio.ensure_future(press(node, stop)) for _ in range(4)]
        await until(lambda: any(server.varz()["in_msgs"] > 100 for server in servers))
        still.pause()
        await until(lambda: node.told == ["down", "up"], seconds=LEFT_WITHIN)
        stop.set()
        await within(asyncio.gather(*load))
        await hears(node, heard, "new")
        assert of_node([server for server in servers if server is not still], node)


async def press(node: Node, stop: asyncio.Event) -> None:
    """Publish large frames until `stop` is set; each has to end in its time."""
    while not stop.is_set():
        try:
            await within(node.transport.publish("far", LARGE), 3 * node.options.send_timeout)
        except TransportError:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)


async def test_bytes_that_a_server_has_not_taken_do_not_hold_up_the_way_to_another(tmp_path):
    """nats-py waits, to close its socket, until the system has sent them: 25 s and more."""
    async with (
        two_servers(tmp_path) as servers,
        Node(*(server.url for server in servers), send_timeout=1) as node,
    ):
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        of_node(servers, node).pause()
        with pytest.raises(TransportError):
            await fill(node)
        await until(lambda: node.told == ["down", "up"], seconds=LEFT_WITHIN)
        await hears(node, heard, "new")


async def test_a_publish_on_a_link_that_stands_still_fails_within_send_timeout(server):
    """The flush of nats-py has no limit of its own: a publish stood for 90 s."""
    async with Node(server.url, send_timeout=0.5, ping_interval=60, linger=0.2) as node:
        server.pause()
        for _ in range(3):
            with pytest.raises(TransportError, match=r"took nothing for 0\.5 s"):
                await fill(node)
        assert node.told == []  # that is for the pings to find out


async def test_a_link_that_stood_still_takes_frames_again_when_the_server_goes_on(server):
    async with Node(server.url, send_timeout=0.5, ping_interval=60) as node:
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        server.pause()
        with pytest.raises(TransportError):
            await fill(node)
        server.resume()
        await hears(node, heard, "new")
        assert node.told == []


async def test_the_only_server_stands_still_with_bytes_not_taken_and_goes_on(server):
    async with Node(server.url, send_timeout=0.5) as node:
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        server.pause()
        with pytest.raises(TransportError):
            await fill(node)
        await until(lambda: node.told == ["down"], seconds=LEFT_WITHIN)
        server.resume()
        await until(lambda: node.told == ["down", "up"])
        await hears(node, heard, "new")


async def test_a_loop_that_is_blocked_for_some_pings_keeps_its_connection(server):
    async with Node(server.url, ping_interval=0.1) as node:
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        for _ in range(3):
            time.sleep(0.5)  # noqa: ASYNC251 - as work on a GPU does
            await hears(node, heard, "new")
        assert node.told == []


# --- a server refuses ---------------------------------------------------------------------------


async def test_an_error_of_the_server_that_ends_the_client_for_good_is_outlived(server):
    """Most -ERR lines close nats-py's client, whatever its options say about connecting again."""
    async with Node(server.url) as node:
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        await node.send("x" * 5000, "a control line that is too long")
        await until(lambda: node.told == ["down", "up"])
        await hears(node, heard, "new")
        assert "Maximum Control Line" in server.log or "maximum control line" in server.log.lower()


async def test_a_node_that_is_let_in_no_more_tries_until_it_is(tmp_path):
    with NatsServer(tmp_path, token="first") as server:
        async with Node(server.url, token="first") as node:
            heard = await node.agent(SYSTEM)
            await within(node.transport.wait_ready())
            await reload(server, tmp_path, "first", "second")
            await until(lambda: node.told == ["down"])
            await until(lambda: refused_for(node, "authorization violation"))
            await reload(server, tmp_path, "second", "first")
            await until(lambda: node.told == ["down", "up"])
            await hears(node, heard, "new")


async def test_a_server_that_takes_too_few_subscriptions_is_outlived(tmp_path, server):
    """It ends each client in the middle of its subscriptions."""
    async with Node(server.url) as node:
        for number in range(50):
            await node.agent(f"agent{number}")
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        await asyncio.to_thread(server.kill)
        narrow = NatsServer(tmp_path / "narrow", config="max_subscriptions: 10")
        narrow.port = server.port
        await asyncio.to_thread(narrow.start)
        await until(lambda: narrow.varz()["total_connections"] >= 5)
        assert node.told == ["down"]
        await asyncio.to_thread(narrow.kill)
        await asyncio.to_thread(server.start)
        await until(lambda: node.told == ["down", "up"])
        await hears(node, heard, "new")


async def test_a_server_that_ends_each_client_at_once_is_outlived(server):
    greeting = b"INFO {}\r\nPONG\r\n-ERR 'Go Away'\r\n"
    async with Node(server.url) as node:
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        await asyncio.to_thread(server.kill)
        async with impostor(greeting, server.port) as bad:
            await until(lambda: bad.visits >= 5)
            assert node.told == ["down"]
        await asyncio.to_thread(server.start)
        await until(lambda: node.told == ["down", "up"])
        await hears(node, heard, "new")


async def test_tries_that_fail_leave_no_sockets_behind(server):
    """nats-py forgets, open, each socket over which connecting again has failed."""
    async with Node(server.url) as node:
        await asyncio.to_thread(server.kill)
        refusing = b"INFO {}\r\n-ERR 'Authorization Violation'\r\n"
        async with impostor(refusing, server.port) as bad:
            await until(lambda: bad.visits >= 8)
            assert bad.present <= 1
        await asyncio.to_thread(server.start)
        await until(lambda: node.told == ["down", "up"])


async def reload(server: NatsServer, folder: Path, old: str, new: str) -> None:
    """Change a server's configuration while it runs."""
    file = folder / "nats.conf"
    file.write_text(file.read_text().replace(f'token: "{old}"', f'token: "{new}"'))
    reloads = server.log.count("Reloaded server configuration")
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: server.log.count("Reloaded server configuration") > reloads)


async def refused_for(node: Node, reason: str) -> bool:
    try:
        await node.transport.publish("far", frame_of())
    except NotConnectedError as error:
        return reason in str(error).lower()
    return False
