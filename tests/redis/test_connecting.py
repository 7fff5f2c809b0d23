"""Which logins a server accepts, which are refused at once, and a server that is not there."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from civitas.errors import AccessDeniedError, ConfigurationError, NotConnectedError
from support.certificates import Certificates
from support.ports import free_port
from support.redis.nodes import NOTICED, Node, until, within
from support.redis.server import RedisServer

pytestmark = pytest.mark.slow

ALLOWED = "resetchannels &civitas:* -@all +publish +subscribe +unsubscribe +ping +client|setname"
"""What a user must be allowed who may send to and hear everybody."""


async def works(node: Node) -> None:
    worker = await node.agent("worker")
    async with Node(node.url, **node.given) as other:
        await other.send("worker", "hello")
        await worker.has_done(1)


# --- who may come in ----------------------------------------------------------------------------


async def test_a_password_lets_in_and_is_not_shown(tmp_path, caplog):
    caplog.set_level("DEBUG")
    with RedisServer(tmp_path, password="sesame") as server:
        async with Node(server.url, password="sesame") as node:
            await works(node)
        url = server.url.replace("//", "//:sesame@")
        async with Node(url) as node:
            await works(node)
            await asyncio.to_thread(server.kill)
            await until(lambda: node.told == ["down"])
            await asyncio.to_thread(server.start)
            await node.lost_and_found()
    assert "sesame" not in caplog.text


@pytest.mark.parametrize("options", [{}, {"password": "barley"}], ids=["none", "wrong"])
async def test_who_is_not_let_in_is_told_at_once_and_no_secret_is(tmp_path, options, caplog):
    caplog.set_level("DEBUG")
    with RedisServer(tmp_path, password="sesame") as server:
        node = Node(server.url, connect_timeout=60, **options)
        with pytest.raises(AccessDeniedError, match="check username and password") as caught:
            await within(node.transport.start(), NOTICED)
        assert server.url in str(caught.value)
        for shown in (str(caught.value), caplog.text):
            assert "barley" not in shown


async def test_a_user_needs_the_commands_of_pub_sub_and_the_channels_of_the_prefix(tmp_path):
    with RedisServer(tmp_path, settings={"user": f"ali on >sesame {ALLOWED}"}) as server:
        login = {"username": "ali", "password": "sesame"}
        async with Node(server.url, **login) as node:
            await works(node)
        other = Node(server.url, prefix="other:", connect_timeout=60, **login)
        with pytest.raises(AccessDeniedError, match="the option prefix"):
            await within(other.transport.start(), NOTICED)


async def test_who_is_let_in_no_more_is_told_why_and_tries_until_it_is(tmp_path):
    with RedisServer(tmp_path) as server:
        async with Node(server.url) as node:
            with server.client() as client:
                client.config_set("requirepass", "sesame")
                client.execute_command("AUTH", "sesame")
                client.client_kill_filter(_type="pubsub")
                await until(lambda: node.told == ["down"])
                await until(lambda: denied(node))
                client.config_set("requirepass", "")
            await node.lost_and_found()


async def denied(node: Node) -> bool:
    try:
        await node.send("worker", "hello")
    except NotConnectedError as error:
        return "does not let this process in" in str(error)
    return False


# --- encrypted connections ----------------------------------------------------------------------


async def test_an_encrypted_connection_shows_and_asks_for_certificates(
    tmp_path, certificates, caplog
):
    with RedisServer(tmp_path, tls=certificates) as server:
        async with Node(server.url, tls=files(certificates)) as node:
            await works(node)
            await asyncio.to_thread(server.kill)
            await until(lambda: node.told == ["down"])
            await asyncio.to_thread(server.start)
            await node.lost_and_found()
        for tls, reason in (
            ({}, "certificate verify failed"),
            ({"ca": str(certificates.ca)}, "while reading|closed"),  # it wants one, and hangs up
        ):
            caplog.clear()
            stranger = Node(server.url, connect_timeout=60, tls=tls)
            starting = asyncio.ensure_future(stranger.transport.start())
            await until(
                lambda r=reason: re.search(f"no connection to rediss://.*({r})", caplog.text)
            )
            await within(stranger.transport.stop())
            with pytest.raises(NotConnectedError):
                await within(starting)


async def test_a_certificate_for_another_name_is_not_believed(tmp_path, certificates, caplog):
    """It is for 127.0.0.1, which is reached by the name 127.1 as well."""
    with RedisServer(tmp_path, tls=certificates) as server:
        url = server.url.replace("127.0.0.1", "127.1")
        node = Node(url, connect_timeout=1, password="sesame", tls=files(certificates))
        with pytest.raises(NotConnectedError, match="certificate verify failed: .* mismatch"):
            await within(node.transport.start())
    assert "sesame" not in caplog.text


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_a_file_that_is_not_what_it_should_be_is_named(tmp_path, certificates, name):
    for wrong in (tmp_path / "nowhere.pem", Path(__file__)):
        options = {**files(certificates), name: str(wrong)}
        with pytest.raises(ConfigurationError, match=wrong.name):
            Node(f"rediss://127.0.0.1:{free_port()}", tls=options)


async def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(
    tmp_path, certificates
):
    locked = tmp_path / "locked.key"
    lock = ["openssl", "ec", "-in", str(certificates.client_key), "-out", str(locked), "-aes256"]
    lock += ["-passout", "pass:sesame"]
    await asyncio.to_thread(subprocess.run, lock, check=True, capture_output=True)
    options = {**files(certificates), "key": str(locked)}
    with pytest.raises(ConfigurationError, match="has a passphrase"):
        Node(f"rediss://127.0.0.1:{free_port()}", tls=options)


async def test_a_file_that_is_gone_when_it_connects_is_named(tmp_path, certificates):
    gone = tmp_path / "gone.pem"
    gone.write_bytes(certificates.ca.read_bytes())
    node = Node(f"rediss://127.0.0.1:{free_port()}", tls={"ca": str(gone)})
    gone.unlink()
    with pytest.raises(ConfigurationError, match=gone.name):
        await within(node.transport.start())


def files(certificates: Certificates) -> dict[str, str]:
    return {
        "ca": str(certificates.ca),
        "cert": str(certificates.client_cert),
        "key": str(certificates.client_key),
    }


# --- no server ----------------------------------------------------------------------------------


async def test_a_start_without_a_server_says_why_and_leaves_nothing(caplog):
    node = Node(f"redis://127.0.0.1:{free_port()}", connect_timeout=0.5)
    for _ in range(2):
        with pytest.raises(NotConnectedError, match=r"redis://127.*refused|Connect call failed"):
            await within(node.transport.start(), NOTICED)
    assert node.told == []


async def test_a_start_waits_for_a_server_that_comes(tmp_path):
    server = RedisServer(tmp_path)
    node = Node(server.url, connect_timeout=60)
    starting = asyncio.ensure_future(node.transport.start())
    try:
        await asyncio.to_thread(server.start)
        await within(starting)
        await works(node)
        assert node.told == []
    finally:
        await within(node.transport.stop())
        server.kill()


async def test_a_server_that_accepts_and_says_nothing_is_not_waited_for_longer(server):
    server.pause()
    node = Node(server.url, connect_timeout=0.5)
    with pytest.raises(NotConnectedError, match="does not answer"):
        await within(node.transport.start(), NOTICED)
    server.resume()


async def test_a_stop_while_it_starts_ends_the_start(tmp_path):
    node = Node(f"redis://127.0.0.1:{free_port()}", connect_timeout=60)
    starting = asyncio.ensure_future(node.transport.start())
    await asyncio.sleep(0)
    await within(node.transport.stop(), NOTICED)
    with pytest.raises(NotConnectedError, match="stopped"):
        await within(starting, NOTICED)
