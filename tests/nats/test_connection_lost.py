"""What becomes of a connection when servers end, stand still, refuse, or pass on nonsense."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from civitas.errors import NotConnectedError, TransportError
from civitas.messages import RESERVED_PREFIX
from civitas_nats.dialing import hang_up
from civitas_nats.tasks import end
from civitas_nats.wire import forget_unsent, wire_of
from support.nats.impostor import impostor
from support.nats.nodes import Agent, Node, bare, durable, frame_of, until, within
from support.nats.server import NatsServer

SYSTEM = f"{RESERVED_PREFIX}test"
LARGE = frame_of("." * 100_000)


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


async def test_a_node_is_told_once_that_its_link_is_lost_and_once_that_it_is_back(server):
    async with Node(server.url) as node:
        agent = await node.agent("worker")
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        await asyncio.to_thread(server.kill)
        await until(lambda: node.told == ["down"])
        await asyncio.to_thread(server.start)
        await until(lambda: node.told == ["down", "up"])
        async with Node(server.url) as other:
            await other.send("worker", "1")
            await other.send(SYSTEM, "2")
            await agent.has_done(1)
            await heard.has_done(1)
        assert node.told == ["down", "up"]


async def test_what_is_published_while_no_server_is_there_is_an_error_at_once(server):
    async with Node(server.url, send_timeout=60) as node:
        await asyncio.to_thread(server.kill)
        await until(lambda: node.told == ["down"])
        for _ in range(3):
            with pytest.raises(NotConnectedError):
                await within(node.transport.publish("far", frame_of()), 1)


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
    """Publish numbers until told to stop; return how many were accepted."""
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
        await until(lambda: node.told == ["down", "up"], seconds=3 * (2 * 0.3 + 1 + 1))
        stop.set()
        await within(asyncio.gather(*load))
        await hears(node, heard, "new")
        assert of_node([server for server in servers if server is not still], node)


async def press(node: Node, stop: asyncio.Event) -> None:
    """Publish large frames until told to stop; each has to end in its time."""
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
        await until(lambda: node.told == ["down", "up"], seconds=3 * (2 * 0.3 + 1 + 1))
        await hears(node, heard, "new")


async def fill(node: Node) -> None:
    """Publish large frames until one is refused."""
    while True:
        await within(node.transport.publish("far", LARGE), 3 * node.options.send_timeout)


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


@pytest.mark.parametrize("full", [False, True])
async def test_the_only_server_stands_still_and_goes_on(server, full):
    async with Node(server.url, send_timeout=0.5) as node:
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        server.pause()
        if full:
            with pytest.raises(TransportError):
                await fill(node)
        await until(lambda: node.told == ["down"], seconds=3 * (2 * 0.3 + 1))
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
    """Most -ERR lines close nats-py's client, whatever it is told about connecting again."""
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


# --- others pass on nonsense --------------------------------------------------------------------


def say(server: NatsServer, *lines: bytes) -> None:
    """Say something to a server in its own words, and return when it has taken it."""
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n')
        connection.sendall(b"".join(lines) + b"PING\r\n")
        answer = b""
        while b"PONG" not in answer:
            answer += connection.recv(4096)
    assert b"-ERR" not in answer, answer


def with_headers(subject: str, headers: bytes, payload: bytes) -> bytes:
    """Return what publishes a message whose headers are any bytes."""
    size = len(headers)
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (
        subject.encode(),
        size,
        size + len(payload),
        headers,
        payload,
    )


BROKEN_HEADERS = [
    b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
    b"NATS/1.0 200 \xff\r\n\r\n",
    b"NATS/1.0",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
    b"\xff" * 20,
    b"",
]


@pytest.mark.parametrize("headers", BROKEN_HEADERS)
async def test_headers_that_can_not_be_read_do_not_end_the_reader(server, headers):
    """nats-py's reader ends at some of them, and the connection stands until pings are missed."""
    async with Node(server.url, ping_interval=60) as node:
        agent = await node.agent("worker")
        await within(node.transport.wait_ready())
        say(server, with_headers("civitas.agent.worker", headers, frame_of("1")))
        async with Node(server.url) as other:
            await other.send("worker", "2")
            assert (await agent.has_done(2))[-2:] == ["1", "2"]
        assert node.told == []


@pytest.mark.parametrize("headers", BROKEN_HEADERS)
async def test_a_stored_message_with_such_headers_is_handled_and_the_next(
    jetstream, unique, headers
):
    """It would end the reader again each time it is given."""
    async with durable(jetstream.url, unique, ping_interval=60) as node:
        agent = await node.agent("worker")
        say(jetstream, with_headers(f"{unique}.worker", headers, frame_of("1")))
        await node.send("worker", "2")
        assert await agent.has_done(2) == ["1", "2"]


async def test_a_reply_subject_that_is_no_text_does_not_end_the_reader(server):
    async with Node(server.url, ping_interval=60) as node:
        agent = await node.agent("worker")
        await within(node.transport.wait_ready())
        frame = frame_of("1")
        say(server, b"PUB civitas.agent.worker \xff\xfe %d\r\n%s\r\n" % (len(frame), frame))
        async with Node(server.url) as other:
            await other.send("worker", "2")
            assert await agent.has_done(2) == ["1", "2"]


async def test_a_line_that_nats_py_can_not_read_costs_the_connection_which_comes_back(server):
    """A vertical tab is whitespace to its parser, and a letter to the server."""
    async with Node(server.url) as node:
        agent = await node.agent("worker")
        await within(node.transport.wait_ready())
        frame = frame_of("1")
        say(server, b"PUB civitas.agent.worker a\x0bb %d\r\n%s\r\n" % (len(frame), frame))
        await until(lambda: node.told == ["down", "up"])
        async with Node(server.url) as other:
            await other.send("worker", "2")
            await until(lambda: "2" in agent.done)


async def test_what_a_slow_process_can_not_take_is_counted(server):
    async with Node(server.url, max_pending_messages=10) as node, Node(server.url) as other:
        agent = await node.agent("worker")
        await within(node.transport.wait_ready())
        for number in range(500):
            await other.transport.publish("worker", frame_of(str(number)))
        await within(other.transport.wait_ready())  # the server has them
        time.sleep(0.1)  # noqa: ASYNC251 - as work on a GPU does
        await until(lambda: len(agent.done) + len(node.drops) == 500)
        assert len(node.drops) > 0
        assert {reason for reason, _ in node.drops} == {"this process reads too slowly"}


# --- the end ------------------------------------------------------------------------------------


@pytest.fixture(params=["core", "jetstream"])
def make(request, unique) -> Callable[..., Node]:
    """Make nodes of both kinds."""
    if request.param == "core":
        return Node
    return lambda url, **options: durable(url, unique, **options)


async def test_a_stop_while_no_server_is_there_leaves_nothing(jetstream, make):
    async with make(jetstream.url) as node:
        await node.agent("worker")
        await asyncio.to_thread(jetstream.kill)
        await until(lambda: node.told == ["down"])


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
    async with make(jetstream.url, ping_interval=60, linger=0.3) as node:
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


async def test_several_stops_at_a_time_and_after_another_are_one(jetstream, make):
    async with make(jetstream.url) as node:
        await node.agent("worker")
        await within(asyncio.gather(*(node.transport.stop() for _ in range(3))))
        await within(node.transport.stop())
        with pytest.raises(NotConnectedError):
            await node.transport.publish("far", frame_of())


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


async def send_large(node: Node, accepted: list[str]) -> None:
    """Send large frames until one is refused, and note the others."""
    while True:
        body = str(len(accepted)).ljust(100_000)
        await node.send("worker", body)
        accepted.append(body)


# --- what is private to nats-py -----------------------------------------------------------------


async def test_the_socket_of_a_client_is_found_and_aborting_it_ends_the_connection(server):
    async with bare(server.url) as client:
        wire = wire_of(client)
        assert wire is not None
        assert wire.get_extra_info("peername") == (server.host, server.port)
        wire.abort()
        await until(lambda: not client.is_connected)


async def test_a_client_that_was_never_connected_has_no_socket():
    assert wire_of(Client()) is None


async def test_what_waits_for_the_socket_is_forgotten(server):
    async with bare(server.url) as client:
        await client.publish("far", b"unsent")
        assert client.pending_data_size > 0
        forget_unsent(client)
        assert client.pending_data_size == 0
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        await client.publish(inbox, b"sent")
        assert (await subscription.next_msg(10)).data == b"sent"
        assert server.varz()["in_msgs"] == 1


async def test_a_client_with_unsent_bytes_and_no_connection_is_hung_up(server):
    async def ignore(error: Exception) -> None:
        """It is told of the loss."""

    client = Client()
    await client.connect(server.url, error_cb=ignore)
    await client.subscribe("news", cb=ignore)
    server.kill()
    await until(lambda: client.is_reconnecting)
    await client.publish("far", b"unsent")
    await within(hang_up(client))
    assert client.is_closed


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
    await within(end(task))
    assert task.cancelled()


async def test_ending_a_task_that_has_ended_is_nothing():
    async def work() -> None:
        """Do nothing."""

    task = asyncio.ensure_future(work())
    await task
    await within(end(task))
    await within(end(None))
