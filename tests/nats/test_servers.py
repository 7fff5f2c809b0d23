"""The servers of the tests are what they say, as the bare client sees it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoServersError
from nats.js.api import StreamConfig
from nats.js.errors import ServiceUnavailableError

from support.certificates import tls_files
from support.disks import small_disk
from support.machines import two_machines
from support.nats.logins import credentials, nkey_user
from support.nats.programs import executable
from support.nats.server import NatsServer, NoServerError
from support.processes import Watched
from support.waiting import eventually

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
PATIENCE = 30.0


@asynccontextmanager
async def client_of(server: NatsServer, **options: Any) -> AsyncIterator[Client]:
    """Have a client that does not try again."""

    async def ignore(error: Exception) -> None:
        """Leave it to what is awaited."""

    settings: dict[str, Any] = {"allow_reconnect": False, "connect_timeout": 5, "error_cb": ignore}
    client = Client()
    try:
        await client.connect(server.url, **settings, **options)
        yield client
    finally:
        with suppress(TimeoutError):  # 2.16: after a failed handshake a close never ends
            await asyncio.wait_for(client.close(), 1)


async def echo(client: Client) -> bytes:
    """Return what the server gave back."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(inbox, b"here")
    return (await subscription.next_msg(PATIENCE)).data


async def refused(server: NatsServer, **options: Any) -> None:
    """See that the server does not let a client in."""
    with pytest.raises((NoServersError, nats.errors.Error, OSError)):
        async with client_of(server, **options) as client:
            await echo(client)


async def test_a_server_is_up_when_it_has_started(server):
    async with client_of(server) as client:
        assert await echo(client) == b"here"
        (connection,) = server.clients()
        assert connection["cid"] == client.client_id
        assert server.varz()["connections"] == 1


async def test_a_server_listens_at_the_loopback_interface_only(jetstream):
    tables = (Path(f"/proc/{jetstream.pid}/net/{kind}").read_text() for kind in ("tcp", "tcp6"))
    inodes = set()
    for link in Path(f"/proc/{jetstream.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(os.readlink(link).removeprefix("socket:[").rstrip("]"))
    rows = [row.split() for table in tables for row in table.splitlines()[1:]]
    places = {row[1] for row in rows if row[3] == "0A" and row[9] in inodes}
    assert len(places) == 2  # for clients, and for the monitor
    assert {place.partition(":")[0] for place in places} == {"0100007F"}


async def test_what_jetstream_has_acknowledged_is_there_after_a_kill_and_a_restart(jetstream):
    async with client_of(jetstream) as client:
        stream = client.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept.*"])
        for number in range(20):
            await stream.publish("kept.one", str(number).encode())
    url = jetstream.url
    jetstream.restart()
    assert jetstream.url == url
    async with client_of(jetstream) as client:
        assert (await client.jetstream().stream_info("KEPT")).state.messages == 20
    assert jetstream.streams()["KEPT"]["state"]["messages"] == 20


async def test_a_paused_server_keeps_its_connections_and_takes_nothing(server):
    async with client_of(server) as client:
        server.pause()
        answer = asyncio.ensure_future(echo(client))
        done, _ = await asyncio.wait({answer}, timeout=0.2)
        assert not done
        server.resume()
        assert await answer == b"here"


async def test_a_paused_server_can_be_ended(server):
    server.pause()
    server.terminate()
    assert not server.is_running


async def test_a_server_that_does_not_come_up_says_why(tmp_path):
    with pytest.raises(NoServerError, match="nonsense"):
        NatsServer(tmp_path, config="jetstream: nonsense").start()


async def test_a_server_whose_port_was_taken_meanwhile_takes_another(tmp_path, server):
    other = NatsServer(tmp_path / "other")
    other.port = server.port
    with other:
        assert other.port != server.port
        async with client_of(other) as client:
            assert await echo(client) == b"here"


async def test_a_server_may_be_started_by_a_thread_that_ends(tmp_path):
    server = NatsServer(tmp_path)
    await asyncio.to_thread(server.start)
    await asyncio.get_running_loop().shutdown_default_executor()
    try:
        async with client_of(server) as client:
            assert await echo(client) == b"here"
    finally:
        server.kill()


def test_servers_end_with_the_tests_that_are_killed(tmp_path):
    code = (
        "import signal, sys\n"
        "from pathlib import Path\n"
        "from support.nats.server import NatsServer\n"
        "server = NatsServer(Path(sys.argv[1])).start()\n"
        "server.pause()\n"
        "print(server.pid, flush=True)\n"
        "signal.pause()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as tests:
        assert tests.stdout is not None
        with Watched(int(tests.stdout.readline())) as left:
            tests.send_signal(signal.SIGKILL)
            assert left.has_ended(PATIENCE)


async def test_a_message_may_be_as_large_as_the_settings_say(tmp_path):
    with NatsServer(tmp_path, max_payload=5000) as server:
        async with client_of(server) as client:
            assert client.max_payload == 5000


@pytest.mark.each_release
async def test_streams_together_are_not_larger_than_the_settings_say(tmp_path):
    with NatsServer(tmp_path, jetstream=True, max_file_store=100_000) as server:
        async with client_of(server) as client:
            with pytest.raises(nats.js.errors.APIError, match="insufficient storage"):
                await client.jetstream().add_stream(name="BIG", subjects=["a"], max_bytes=200_000)


# --- who may come in --------------------------------------------------------------------------


async def test_a_token_lets_in(tmp_path):
    with NatsServer(tmp_path, token="open sesame") as server:
        async with client_of(server, token="open sesame") as client:
            assert await echo(client) == b"here"
        await refused(server)
        await refused(server, token="close sesame")


async def test_a_user_with_a_password_is_let_in(tmp_path):
    with NatsServer(tmp_path, user="ali", password="sesame") as server:
        async with client_of(server, user="ali", password="sesame") as client:
            assert await echo(client) == b"here"
        await refused(server, user="ali", password="barley")


async def test_an_nkey_lets_in(tmp_path):
    user, stranger = nkey_user(tmp_path / "user"), nkey_user(tmp_path / "stranger")
    with NatsServer(tmp_path, config=user.config) as server:
        async with client_of(server, nkeys_seed=str(user.file)) as client:
            assert await echo(client) == b"here"
        await refused(server, nkeys_seed_str=stranger.seed)


async def test_credentials_let_in_and_their_account_has_jetstream(tmp_path):
    user, stranger = credentials(tmp_path / "user"), credentials(tmp_path / "stranger")
    with NatsServer(tmp_path, jetstream=True, config=user.config) as server:
        async with client_of(server, user_credentials=str(user.file)) as client:
            await client.jetstream().add_stream(name="OURS", subjects=["ours"])
            await client.jetstream().publish("ours", b"one")
        assert server.streams()["OURS"]["state"]["messages"] == 1
        await refused(server)
        await refused(server, user_credentials=str(stranger.file))


def trust(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


async def test_an_encrypted_connection_shows_the_certificate_of_the_server(tmp_path, certificates):
    with NatsServer(tmp_path, tls=certificates) as server:
        assert server.url.startswith("tls://")
        async with client_of(server, tls=trust(certificates.ca)) as client:
            assert await echo(client) == b"here"
        await refused(server, tls=trust(tls_files(tmp_path / "another").ca))


async def test_a_client_has_to_show_a_certificate_where_it_is_asked_for(tmp_path, certificates):
    with NatsServer(tmp_path, tls=certificates, verify=True) as server:
        await refused(server, tls=trust(certificates.ca))
        context = trust(certificates.ca)
        context.load_cert_chain(certificates.client_cert, certificates.client_key)
        async with client_of(server, tls=context) as client:
            assert await echo(client) == b"here"


# --- one for all tests --------------------------------------------------------------------------


@pytest.mark.parametrize("time", ["first", "second"])
async def test_the_shared_server_is_for_whoever_keeps_to_names_of_its_own(
    shared_jetstream, unique, time
):
    async with client_of(shared_jetstream) as client:
        await client.jetstream().add_stream(name=unique, subjects=[f"{unique}.*"])
        await client.jetstream().publish(f"{unique}.a", time.encode())
        assert (await client.jetstream().stream_info(unique)).state.messages == 1


async def test_the_shared_server_without_jetstream_is_one(shared_nats):
    async with client_of(shared_nats) as client:
        assert await echo(client) == b"here"


# --- a cluster ----------------------------------------------------------------------------------


@pytest.mark.each_release
async def test_a_message_goes_from_one_server_of_a_cluster_to_another(cluster):
    first, _, third = cluster.servers
    async with client_of(first) as here, client_of(third) as there:
        subscription = await here.subscribe("to.here")
        await here.flush()
        eventually(lambda: there_knows(third, "to.here"))
        await there.publish("to.here", b"from there")
        assert (await subscription.next_msg(PATIENCE)).data == b"from there"


def there_knows(server: NatsServer, subject: str) -> bool:
    routes = server.ask("routez?subs=1")["routes"]
    return any(subject in route.get("subscriptions_list", ()) for route in routes)


@pytest.mark.each_release
async def test_a_cluster_elects_another_leader_of_a_stream_and_keeps_what_it_acknowledged(cluster):
    async with client_of(cluster.servers[0]) as client:
        await client.jetstream().add_stream(
            StreamConfig(name="KEPT", subjects=["kept.*"], num_replicas=3)
        )
        for number in range(20):
            await client.jetstream().publish("kept.one", str(number).encode())
    lost = cluster.leader("KEPT")
    lost.kill()
    leader = cluster.leader("KEPT")
    assert leader is not lost
    async with client_of(leader) as client:
        assert (await client.jetstream().stream_info("KEPT")).state.messages == 20
    lost.start()
    cluster.wait_joined()
    eventually(lambda: lost.streams()["KEPT"]["state"]["messages"] == 20)


# --- machines and disks -------------------------------------------------------------------------


async def test_two_machines_reach_each_other_but_not_when_the_cable_is_out(tmp_path):
    with two_machines() as (here, there), NatsServer(tmp_path, machine=there) as server:
        read = f"exec 3<>/dev/tcp/{server.host}/{server.port} && head -n 1 <&3"

        def greeting(within: float) -> bytes:
            """Return the first line that the server says to the other machine."""
            command = here.command("timeout", str(within), "bash", "-c", read)
            return subprocess.run(command, capture_output=True, check=False).stdout

        assert greeting(PATIENCE).startswith(b"INFO ")
        there.cut()
        assert greeting(0.5) == b""
        there.mend()
        assert eventually(lambda: greeting(PATIENCE)).startswith(b"INFO ")
        assert server.varz()["server_name"] == server.name


def test_nothing_is_left_of_machines_that_are_gone():
    with two_machines() as machines:
        sleeper = subprocess.Popen(machines[0].command("sleep", "infinity"))
        names = {machine.name for machine in machines}
        assert names <= {each.name for each in Path("/run/netns").iterdir()}
    assert sleeper.wait(PATIENCE) == -signal.SIGKILL
    assert not names & {each.name for each in Path("/run/netns").iterdir()}


@pytest.mark.each_release
async def test_a_small_disk_is_soon_full(tmp_path):
    with (
        small_disk(tmp_path / "disk", megabytes=4) as disk,
        NatsServer(tmp_path, jetstream=True, store=disk, max_file_store=1 << 30) as server,
    ):
        async with client_of(server) as client:
            await client.jetstream().add_stream(name="FULL", subjects=["full"])
            while shutil.disk_usage(disk).free > 200_000:
                await client.jetstream().publish("full", bytes(100_000), timeout=PATIENCE)
            # 2.10 says so; 2.9.10 and 2.15.1 say nothing at all
            with pytest.raises((nats.errors.TimeoutError, ServiceUnavailableError)):
                await publish_for_ever(client, "full")
    assert list(disk.iterdir()) == []


async def publish_for_ever(client: Client, subject: str) -> None:
    while True:
        await client.jetstream().publish(subject, bytes(100_000), timeout=1)


def test_the_server_is_found():
    assert os.access(executable(), os.X_OK)
