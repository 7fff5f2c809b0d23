"""Which logins a server accepts, which are refused at once, and over which connections."""

from __future__ import annotations

import asyncio

import pytest

from civitas.errors import AccessDeniedError, ConfigurationError, NotConnectedError
from support.certificates import tls_files
from support.nats.cluster import NatsCluster
from support.nats.logins import credentials, nkey_user
from support.nats.nodes import Node, durable, until, within
from support.nats.server import NatsServer
from support.nats.starts import SYSTEM, start_fails, works

pytestmark = [pytest.mark.slow, pytest.mark.each_release]

LIMIT = 1.5
"""Seconds for connecting in these tests."""


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
    with pytest.raises(AccessDeniedError) as caught:
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
        text = await start_fails(node, AccessDeniedError)
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


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_a_certificate_for_another_name_is_not_believed(
    tmp_path, certificates, scheme, caplog
):
    """It is for 127.0.0.1, which is reached by the name 127.1 as well."""
    with NatsServer(tmp_path, tls=certificates, token="sesame") as server:
        url = f"{scheme}://127.1:{server.port}"
        login = {"tls": {"ca": certificates.ca}, "token": "sesame"}
        text = await start_fails(Node(url, connect_timeout=LIMIT, **login), NotConnectedError)
        assert "certificate verify failed" in text.lower()
        assert "mismatch" in text.lower()
        for shown in (text, caplog.text):
            assert "sesame" not in shown


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
