"""The command `civitas-zmq`: a proxy in the foreground, and keys that stay secret."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess

import pytest

from civitas_zmq.keys import KeyPair, make_pair, public_key_of
from civitas_zmq.options import ZMQOptions
from support.commands import completed
from support.zmq import (
    COMMAND,
    Process,
    ProxyProcess,
    frame_of,
    options_for,
    proxy_at,
    started,
    with_keys,
)

pytestmark = pytest.mark.slow


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return completed(*COMMAND, *arguments, **{"COLUMNS": "100", **environment})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_proxy_says_when_it_is_ready_carries_frames_and_ends_with_0(number):
    options = options_for(start_proxy=False)
    with proxy_at(options) as proxy:
        told = f"ready: publish to {options.pub_addr}, subscribe at {options.sub_addr}\n"
        assert proxy.first_line == told
        process = Process(options, primary=True)
        [inbox] = await process.listen("_agency.all")
        async with started(process):
            await process.transport.publish("_agency.all", frame_of())
            await inbox.first()
        assert proxy.end(number) == 0


async def test_the_proxy_removes_its_ipc_files(tmp_path):
    options = options_for(pub_addr=f"ipc://{tmp_path}/pub", sub_addr=f"ipc://{tmp_path}/sub")
    with proxy_at(options) as proxy:
        assert sorted(os.listdir(tmp_path)) == ["pub", "sub"]
        assert proxy.end() == 0
    assert os.listdir(tmp_path) == []


async def test_keys_from_files_let_in_whom_they_name(tmp_path):
    server, client = make_pair(), make_pair()
    (tmp_path / "proxy.key").write_text(f"{server.secret_key}\n")
    (tmp_path / "clients").write_text(f"\n{make_pair().public_key}\n{client.public_key}\n")
    options = options_for(start_proxy=False)
    proxy = ProxyProcess(
        *("--pub-addr", options.pub_addr, "--sub-addr", options.sub_addr),
        *("--secret-key-file", str(tmp_path / "proxy.key")),
        *("--allow-file", str(tmp_path / "clients"), "--allow", make_pair().public_key),
    )
    with proxy:
        assert proxy.first_line.endswith("; keys let in: 3\n")
        keys = with_keys(options, KeyPair(server.public_key, ""), client)
        async with started(Process(keys)):
            pass
        assert proxy.end() == 0


TOPOLOGY = """
transport:
  type: zmq
  pub_addr: {pub}
  sub_addr: {sub}
  start_proxy: false
  curve:
    server_public_key: {server}
    server_secret_key: ${{PROXY_SECRET}}
    secret_key: ${{MY_SECRET:-}}
  allowed_clients: ["${{ALLOWED}}"]
supervision:
  name: root
  children:
    - agent: {{name: a, type: no.such.module.Agent, config: {{unset: "${{NOT_SET}}"}}}}
"""


def as_written(key: str) -> str:
    """Return a key as it stands in a topology; one in 300 has characters that begin a variable."""
    return json.dumps(key.replace("${", "$${"))


async def test_a_topology_gives_all_settings_and_only_its_transport_is_read(tmp_path):
    server, client = make_pair(), make_pair()
    options = options_for(start_proxy=False)
    file, overlay = tmp_path / "topology.yaml", tmp_path / "prod.yaml"
    key = as_written(server.public_key)
    file.write_text(TOPOLOGY.format(pub="ipc://of-dev", sub="ipc://of-dev", server=key))
    overlay.write_text(f"transport: {{pub_addr: '{options.pub_addr}'}}")
    secrets = {"PROXY_SECRET": server.secret_key, "ALLOWED": client.public_key}
    setting = {"CIVITAS_SET": f"transport.sub_addr={options.sub_addr}"}
    proxy = ProxyProcess("--topology", str(file), "--overlay", str(overlay), **secrets, **setting)
    with proxy:
        assert proxy.first_line.startswith(f"ready: publish to {options.pub_addr}")
        async with started(Process(with_keys(options, KeyPair(server.public_key, ""), client))):
            pass
        assert proxy.end() == 0


def test_the_key_of_the_proxy_need_not_be_in_the_topology(tmp_path):
    server, client = make_pair(), make_pair()
    options = options_for(start_proxy=False)
    topology, secret = tmp_path / "topology.yaml", tmp_path / "proxy.key"
    key = as_written(server.public_key)
    topology.write_text(TOPOLOGY.format(pub=options.pub_addr, sub=options.sub_addr, server=key))
    secret.write_text(server.secret_key)
    chosen = {"PROXY_SECRET": "", "ALLOWED": client.public_key}
    proxy = ProxyProcess("--topology", str(topology), "--secret-key-file", str(secret), **chosen)
    with proxy:
        assert "keys let in: 1" in proxy.first_line
        assert proxy.end() == 0
    secret.write_text(client.secret_key)
    done = run("proxy", "--topology", str(topology), "--secret-key-file", str(secret), **chosen)
    assert done.returncode == 2
    assert "must be of one pair" in done.stderr


def test_a_topology_with_mistakes_or_of_another_transport_is_refused(tmp_path):
    file = tmp_path / "topology.yaml"
    for text, reason in (
        ("transport: {type: in_process}", "has no transport of type zmq"),
        ("supervision: {name: root}", "has no transport of type zmq"),
        ("transport: {type: zmq, pub_adr: x}", "did you mean 'pub_addr'"),
        ("transport: {type: zmq, pub_addr: '${NOT_SET}'}", "NOT_SET"),
        ("- a list", "a topology is a mapping, not a list"),
    ):
        file.write_text(text)
        done = run("proxy", "--topology", str(file))
        assert done.returncode == 2, text
        assert reason in done.stderr, text
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--overlay", "x"), "--overlay changes a topology: give --topology as well"),
        (("--pub-addr", "udp://x"), "--pub-addr: 'udp://x' is neither"),
        (("--pub-addr", "tcp://127.0.0.1:5560"), "are both tcp://127.0.0.1:5560"),
        (("--allow", "short"), "a key has 40 characters"),
        (("--allow", "0" * 40), "needs the proxy's own key"),
        (("--secret-key-file", "/none"), "/none can't be read"),
        (("--log-level", "loud"), "--log-level is one of"),
    ],
)
def test_bad_input_ends_with_2(arguments, reason):
    done = run("proxy", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_shows_where_a_proxy_is_by_default():
    shown = run("proxy", "--help").stdout
    assert ZMQOptions().pub_addr in shown
    assert ZMQOptions().sub_addr in shown


def test_a_taken_port_ends_with_1():
    options = options_for()
    with socket.create_server(("127.0.0.1", int(options.pub_addr.rpartition(":")[2]))):
        places = ("--pub-addr", options.pub_addr, "--sub-addr", options.sub_addr)
        done = run("proxy", *places)
    assert (done.returncode, done.stdout) == (1, "")
    assert "somebody listens there already" in done.stderr


def test_keygen_prints_a_pair():
    made = json.loads(run("keygen", "--json").stdout)
    assert public_key_of(made["secret_key"]) == made["public_key"]
    assert "public_key: " in run("keygen").stdout


def test_keygen_writes_a_pair_whose_secret_is_for_the_owner_alone(tmp_path):
    name = tmp_path / "worker.one"
    done = run("keygen", str(name), "--json")
    secret_file, public_file = tmp_path / "worker.one.key", tmp_path / "worker.one.pub"
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    secret, public = secret_file.read_text().strip(), public_file.read_text().strip()
    assert public_key_of(secret) == public
    assert secret not in done.stdout + done.stderr
    assert json.loads(done.stdout)["public_key"] == public
    again = run("keygen", str(name))
    assert again.returncode == 2
    assert "File exists" in again.stderr
    assert secret_file.read_text().strip() == secret
