"""A start connects, or says within its time what hinders it; half a start is cleaned up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from civitas.errors import CivitasError, ConfigurationError, NotConnectedError
from civitas.messages import RESERVED_PREFIX
from civitas_nats.errors import AuthenticationError
from support.certificates import tls_files
from support.nats.cluster import NatsCluster
from support.nats.impostor import impostor
from support.nats.logins import credentials, nkey_user
from support.nats.nodes import Node, durable, until, within
from support.nats.server import NatsServer
from support.ports import free_port

SYSTEM = f"{RESERVED_PREFIX}test"
LIMIT = 1.5
"""Seconds for connecting in these tests."""


async def works(node: Node) -> None:
    """See that a frame goes to the server and comes back."""
    heard = await node.agent(SYSTEM)
    await within(node.transport.wait_ready())
    await node.send(SYSTEM, "hello")
    await heard.has_done(1)


async def start_fails(node: Node, error: type[CivitasError]) -> str:
    """See that a start fails in its time, and return what it says."""
    try:
        with pytest.raises(error) as caught:
            await within(node.transport.start(), 3 * node.options.connect_timeout)
    finally:
        await within(node.transport.stop())
    return str(caught.value)


# --- nobody there -------------------------------------------------------------------------------


async def test_where_no_server_is_a_start_fails_in_time_and_says_where_and_why():
    place = f"127.0.0.1:{free_port()}"
    node = Node(f"nats://ali:sesame@{place}", connect_timeout=0.5)
    text = await start_fails(node, NotConnectedError)
    assert f"nats://{place}" in text
    assert "within 0.5 s" in text
    assert "Connect call failed" in text
    assert "sesame" not in text
    assert "ali" not in text


async def test_a_name_that_is_no_host_is_told():
    text = await start_fails(
        Node("nats://nowhere.invalid:4222", connect_timeout=LIMIT), NotConnectedError
    )
    assert "nats://nowhere.invalid:4222" in text
    assert "not known" in text or "resolution" in text


@pytest.mark.parametrize("greeting", [b"", b"220 mail.example ESMTP\r\n", b"INFO {nonsense\r\n"])
async def test_somebody_at_the_port_who_is_no_nats_server_fails_a_start_in_time(greeting):
    async with impostor(greeting) as somebody:
        text = await start_fails(Node(somebody.url, connect_timeout=0.5), NotConnectedError)
        assert somebody.url in text


async def test_a_server_that_stands_still_fails_a_start_in_time(server):
    server.pause()
    text = await start_fails(Node(server.url, connect_timeout=0.5), NotConnectedError)
    assert server.url in text


async def test_of_several_servers_one_has_to_be_there(server):
    down = [f"nats://127.0.0.1:{free_port()}" for _ in range(3)]
    async with Node(*down, server.url) as node:
        await works(node)


async def test_a_server_that_stands_still_is_passed_over_for_another(tmp_path):
    with NatsServer(tmp_path, name="still") as still, NatsServer(tmp_path, name="well") as well:
        still.pause()
        nodes = [Node(still.url, well.url, connect_timeout=20) for _ in range(4)]
        try:  # some of them try the one that stands still first
            await within(asyncio.gather(*(node.transport.start() for node in nodes)))
            assert len(well.clients()) == 4
        finally:
            await within(asyncio.gather(*(node.transport.stop() for node in nodes)))


async def test_a_server_that_comes_up_within_connect_timeout_is_found(server):
    await asyncio.to_thread(server.kill)
    node = Node(server.url, connect_timeout=20)
    starting = asyncio.ensure_future(node.transport.start())
    await asyncio.to_thread(server.start)
    await within(starting)
    await works(node)
    await within(node.transport.stop())


# --- who may come in ----------------------------------------------------------------------------


WRONG: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "no token": ({"token": "sesame"}, {}),
    "token": ({"token": "sesame"}, {"token": "barley"}),
    "no user": ({"user": "ali", "password": "sesame"}, {}),
    "user": ({"user": "ali", "password": "sesame"}, {"user": "baba", "password": "barley"}),
    "password": ({"user": "ali", "password": "sesame"}, {"user": "ali", "password": "barley"}),
}


@pytest.mark.parametrize("case", WRONG)
async def test_who_is_not_let_in_is_told_at_once_and_no_secret_is(tmp_path, case):
    settings, options = WRONG[case]
    with NatsServer(tmp_path, **settings) as server:  # type: ignore[arg-type]
        node = Node(server.url, connect_timeout=60, **options)
        text = await refused_at_once(node, server)
        assert "sesame" not in text
        assert "barley" not in text
        assert "check credentials, nkey_seed, token, or user and password" in text


async def refused_at_once(node: Node, server: NatsServer) -> str:
    """See that a start is refused long before its time, without trying for ever."""
    with pytest.raises(AuthenticationError) as caught:
        await within(node.transport.start(), 5)
    await within(node.transport.stop())
    assert server.varz()["total_connections"] <= 2
    assert server.url in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "secret", [{"token": "sesame"}, {"user": "ali", "password": "sesame"}], ids=["token", "user"]
)
async def test_who_shows_the_right_secret_is_let_in(tmp_path, secret):
    with NatsServer(tmp_path, **secret) as server:
        async with Node(server.url, **secret) as node:
            await works(node)


async def test_user_and_password_may_stand_in_the_url_and_are_not_shown(tmp_path, caplog):
    caplog.set_level("DEBUG")
    with NatsServer(tmp_path, user="ali", password="sesame") as server:
        place = f"{server.host}:{server.port}"
        async with Node(f"nats://ali:sesame@{place}") as node:
            await works(node)
            await asyncio.to_thread(server.restart)
            await until(lambda: node.told == ["down", "up"])
        text = await refused_at_once(Node(f"nats://ali:barley@{place}"), server)
        for secret in ("sesame", "barley"):
            assert secret not in text
            assert secret not in caplog.text


async def test_what_the_only_url_says_of_the_user_is_for_the_other_servers_of_its_cluster_too(
    tmp_path,
):
    with NatsCluster(tmp_path, jetstream=False, user="ali", password="sesame") as cluster:
        first = cluster.servers[0]
        async with Node(f"nats://ali:sesame@{first.host}:{first.port}") as node:
            await asyncio.to_thread(first.kill)
            await until(lambda: node.told == ["down", "up"])
            await works(node)


async def test_an_nkey_lets_in_and_another_does_not(tmp_path):
    user, stranger = nkey_user(tmp_path / "user"), nkey_user(tmp_path / "stranger")
    with NatsServer(tmp_path, config=user.config) as server:
        async with Node(server.url, nkey_seed=user.seed) as node:
            await works(node)
    with NatsServer(tmp_path / "again", config=user.config) as server:
        text = await refused_at_once(
            Node(server.url, nkey_seed=stranger.seed, connect_timeout=60), server
        )
        assert stranger.seed not in text


async def test_credentials_let_in_and_others_do_not(tmp_path, unique):
    user, stranger = credentials(tmp_path / "user"), credentials(tmp_path / "stranger")
    with NatsServer(tmp_path, jetstream=True, config=user.config) as server:
        async with durable(server.url, unique, credentials=user.file) as node:
            await works(node)
            await node.send("worker", "stored")
    with NatsServer(tmp_path / "again", jetstream=True, config=user.config) as server:
        text = await refused_at_once(
            Node(server.url, credentials=stranger.file, connect_timeout=60), server
        )
        assert stranger.file.read_text().splitlines()[1] not in text


async def test_the_connection_comes_back_with_the_same_credentials(tmp_path):
    """The client signs another nonce each time."""
    user = nkey_user(tmp_path / "user")
    with NatsServer(tmp_path, config=user.config) as server:
        async with Node(server.url, nkey_seed=user.seed) as node:
            await asyncio.to_thread(server.restart)
            await until(lambda: node.told == ["down", "up"])
            await works(node)


async def test_a_user_who_may_not_subscribe_is_told_so(tmp_path):
    config = (
        'authorization { users: [ { user: "ali", password: "sesame",'
        ' permissions: { subscribe: "civitas.>" } } ] }'
    )
    with NatsServer(tmp_path, config=config) as server:
        node = Node(server.url, user="ali", password="sesame", connect_timeout=LIMIT)
        text = await start_fails(node, NotConnectedError)
        assert "permissions violation for subscription" in text.lower()


# --- encryption ---------------------------------------------------------------------------------


async def test_an_encrypted_connection_works(tmp_path, certificates):
    with NatsServer(tmp_path, tls=certificates) as server:
        assert server.url.startswith("tls://")
        async with Node(server.url, tls={"ca": certificates.ca}) as node:
            await works(node)


async def test_an_encrypted_connection_works_where_a_certificate_is_asked_for(
    tmp_path, certificates, unique
):
    files = {
        "ca": certificates.ca,
        "cert": certificates.client_cert,
        "key": certificates.client_key,
    }
    with NatsServer(tmp_path, jetstream=True, tls=certificates, verify=True) as server:
        url = f"nats://{server.host}:{server.port}"  # the option asks for encryption, too
        async with durable(url, unique, tls=files) as node:
            agent = await node.agent("worker")
            await works(node)
            await node.send("worker", "1")
            await agent.has_done(1)
            await asyncio.to_thread(server.restart)
            await until(lambda: node.told == ["down", "up"])
            await works_again(node)


async def works_again(node: Node) -> None:
    await node.transport.unsubscribe(SYSTEM)
    await works(node)


async def test_an_authority_that_is_not_trusted_fails_a_start_with_the_reason(
    tmp_path, certificates
):
    stranger = tls_files(tmp_path / "stranger")
    with NatsServer(tmp_path, tls=certificates) as server:
        node = Node(server.url, tls={"ca": stranger.ca}, connect_timeout=LIMIT)
        text = await start_fails(node, NotConnectedError)
        assert "certificate verify failed" in text.lower()


async def test_a_certificate_that_is_asked_for_and_not_shown_fails_a_start_with_the_reason(
    tmp_path, certificates
):
    with NatsServer(tmp_path, tls=certificates, verify=True) as server:
        node = Node(server.url, tls={"ca": certificates.ca}, connect_timeout=LIMIT)
        text = await start_fails(node, NotConnectedError)
        assert "bad certificate" in text or "certificate required" in text  # by version of Go


async def test_encryption_that_the_server_wants_and_nobody_configured_fails_with_the_reason(
    tmp_path, certificates
):
    with NatsServer(tmp_path, tls=certificates) as server:
        url = f"nats://{server.host}:{server.port}"
        text = await start_fails(Node(url, connect_timeout=LIMIT), NotConnectedError)
        assert "certificate verify failed" in text.lower()


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_a_server_that_does_not_encrypt_is_refused_when_it_should(
    server, certificates, scheme
):
    url = f"{scheme}://{server.host}:{server.port}"
    node = Node(url, tls={"ca": certificates.ca}, connect_timeout=60)
    text = await start_fails(node, ConfigurationError)
    assert f"{scheme}://{server.host}:{server.port} does not encrypt" in text


async def test_a_tls_url_alone_asks_for_encryption(server):
    node = Node(f"tls://{server.host}:{server.port}", connect_timeout=60)
    text = await start_fails(node, ConfigurationError)
    assert "does not encrypt" in text


# --- what does not fit --------------------------------------------------------------------------


async def test_a_server_that_takes_smaller_messages_is_refused_with_both_numbers(tmp_path):
    with NatsServer(tmp_path, max_payload=100_000) as server:
        text = await start_fails(
            Node(server.url, max_message_bytes=98_000, connect_timeout=60), ConfigurationError
        )
        assert "max_message_bytes is 98000" in text
        assert "takes 100000" in text
        assert "lower it to 95904" in text
        async with Node(server.url, max_message_bytes=95_904) as node:
            await works(node)


async def test_a_message_of_max_message_bytes_passes_with_its_headers(tmp_path, unique):
    with NatsServer(tmp_path, jetstream=True, max_payload=100_000) as server:
        async with durable(server.url, unique, max_message_bytes=95_904) as node:
            sizes: list[int] = []

            async def handle(frame: bytes) -> None:
                sizes.append(len(frame))

            await node.transport.subscribe("worker", handle)
            await within(node.transport.publish("worker", b"." * 95_904))
            await until(lambda: sizes == [95_904])


async def test_a_server_without_jetstream_is_told_from_one_that_does_not_answer(server, unique):
    node = durable(server.url, unique, send_timeout=1.0)
    text = await start_fails(node, ConfigurationError)
    assert f"JetStream is not enabled at {server.url}" in text
    assert "--jetstream" in text


async def test_an_account_without_jetstream_is_told(tmp_path, unique):
    config = (
        "accounts { A { jetstream: enabled, users: [ { user: a, password: a } ] },"
        " B { users: [ { user: b, password: b } ] } }"
    )
    with NatsServer(tmp_path, jetstream=True, config=config) as server:
        node = durable(server.url, unique, user="b", password="b")
        text = await start_fails(node, ConfigurationError)
        assert "JetStream is not enabled" in text


# --- half a start -------------------------------------------------------------------------------


STOPPED_AT = ["down", "silent", "still", "without jetstream"]


@asynccontextmanager
async def somewhere(kind: str, server: NatsServer) -> AsyncIterator[str]:
    """Have a place at which a start can't end."""
    if kind == "down":
        yield f"nats://127.0.0.1:{free_port()}"
    elif kind == "silent":
        async with impostor(b"") as somebody:
            yield somebody.url
    else:
        if kind == "still":
            server.pause()
        yield server.url


@pytest.mark.parametrize("kind", STOPPED_AT)
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.5])
async def test_a_start_that_is_cancelled_leaves_nothing_after_a_stop(server, unique, kind, seconds):
    async with somewhere(kind, server) as url:
        node = durable(url, unique, connect_timeout=60, send_timeout=60)
        await node.agent("worker")
        starting = asyncio.ensure_future(node.transport.start())
        await asyncio.wait((starting,), timeout=seconds)  # it may be anywhere
        starting.cancel()
        await asyncio.wait((starting,))
        assert starting.cancelled()
        async with asyncio.timeout(10):
            await node.transport.stop()


async def test_a_start_that_is_cancelled_at_any_step_leaves_nothing_after_a_stop(
    shared_jetstream, unique
):
    """One step more each time, until it comes to its end."""
    steps, ended = 0, False
    while not ended:
        steps += 1
        node = durable(shared_jetstream.url, unique)
        await node.agent("worker")
        starting = asyncio.ensure_future(node.transport.start())
        for _ in range(steps):
            await asyncio.sleep(0.001)
            if starting.done():
                break
        ended = starting.done()
        starting.cancel()
        await asyncio.wait((starting,))
        async with asyncio.timeout(10):
            await node.transport.stop()
    assert steps > 3


async def test_a_stop_in_the_middle_of_a_start_leaves_nothing(server, unique):
    node = durable(server.url, unique, send_timeout=60)  # JetStream is looked for in vain
    starting = asyncio.ensure_future(node.transport.start())
    await until(lambda: len(server.clients()) == 2)
    async with asyncio.timeout(10):
        await node.transport.stop()
    done: Any = await asyncio.wait((starting,), timeout=10)
    assert done[0], "the start went on"
    assert starting.exception() is not None
    await within(node.transport.stop())


async def test_a_failed_start_may_be_tried_again(server):
    await asyncio.to_thread(server.kill)
    node = Node(server.url, connect_timeout=0.3)
    await start_fails(node, NotConnectedError)
    await asyncio.to_thread(server.start)
    async with node:
        await works(node)
