"""`civitas bench` as a user runs it: real processes, beside a system that runs."""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path

import psutil
import pytest

from support.commands import COMMAND, Running, completed

pytestmark = pytest.mark.slow

AGENTS = """
from civitas import AgentProcess

class Greeter(AgentProcess):
    async def handle(self, message):
        return self.reply({"hello": 1})
"""

PLUGIN = """
from dataclasses import replace
from civitas.plugins import hookimpl
from civitas_zmq import plugin

@hookimpl
def civitas_transports():
    [spec] = plugin.civitas_transports()
    yield replace(spec, name="pigeon", apart=APART)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A topology on zmq whose addresses are files."""
    (tmp_path / "agents.py").write_text(AGENTS)
    place = tempfile.mkdtemp(prefix="bench-", dir="/tmp")  # a path of a socket is short
    bus = {"type": "zmq", "pub_addr": f"ipc://{place}/pub", "sub_addr": f"ipc://{place}/sub"}
    agent = {"name": "greeter", "type": "agents.Greeter"}
    tree = {"name": "root", "children": [{"agent": agent}]}
    (tmp_path / "topology.yaml").write_text(json.dumps({"transport": bus, "supervision": tree}))
    return tmp_path


def plugin(folder: Path, apart: str) -> str:
    """Install a transport that is zmq with another `apart`, and have the topology name it."""
    topology = json.loads((folder / "topology.yaml").read_text())
    topology["transport"]["type"] = "pigeon"
    (folder / "topology.yaml").write_text(json.dumps(topology))
    info = folder / "site" / "pigeon-1.dist-info"
    info.mkdir(parents=True)
    (folder / "site" / "pigeon_plugin.py").write_text(PLUGIN.replace("APART", apart))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[civitas.v1.transports]\npigeon = pigeon_plugin\n")
    return str(folder / "site")


def bench(folder: Path, *arguments: str) -> str:
    done = completed(COMMAND, "bench", "--quick", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_it_measures_between_two_processes_and_leaves_the_running_system_alone(
    folder: Path,
) -> None:
    running = Running(["run"], folder, {})
    try:
        running.until("running: 1 agent")
        output = bench(folder)
        assert "note: apart from a running system: pub_addr: ipc:///" in output
        for size in ("100 B", "10 KiB", "1 MiB"):
            [line] = [line for line in output.splitlines() if line.startswith(size)]
            assert line.endswith(" 0")
        asked = completed(COMMAND, "ask", "greeter", cwd=folder)
        assert json.loads(asked.stdout) == {"hello": 1}
        stats = json.loads(completed(COMMAND, "stats", "--json", cwd=folder).stdout)
        assert [each["agent"] for each in stats["agents"]] == ["greeter"]
        assert not any("bench" in line for line in running.err)
    finally:
        running.close()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["ctrl-c", "sigterm", "sighup"],
)
def test_a_signal_ends_it_in_order_and_nothing_is_left(
    folder: Path, number: signal.Signals, code: int
) -> None:
    own = folder / "tmp"
    own.mkdir()
    running = Running(["bench"], folder, {"TMPDIR": str(own)})
    try:
        running.until("note: apart from a running system")
        [worker] = psutil.Process(running.pid).children()
        running.signal(number)
        assert running.wait() == code
        assert "Traceback" not in "".join(running.err)
        worker.wait(20)
        assert list(own.iterdir()) == []
    finally:
        running.close()


def test_the_worker_ends_when_the_command_is_killed(folder: Path) -> None:
    running = Running(["bench"], folder, {})
    try:
        running.until("note: apart from a running system")
        [worker] = psutil.Process(running.pid).children()
        running.signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
        worker.wait(20)
    finally:
        running.close()


@pytest.mark.parametrize("runs", [False, True], ids=["alone", "beside a system"])
def test_a_plugin_that_can_not_keep_systems_apart_is_measured_where_none_runs(
    folder: Path, runs: bool
) -> None:
    site = plugin(folder, "None")
    running = Running(["run"], folder, {"PYTHONPATH": site}) if runs else None
    try:
        if running is not None:
            running.until("running: 1 agent")
        done = completed(COMMAND, "bench", "--quick", cwd=folder, PYTHONPATH=site)
        assert done.returncode == int(runs), done.stderr
        assert "'pigeon' does not say how to be apart from a running system" in done.stderr
        assert done.stderr.count("error: ") == int(runs)
        assert "Traceback" not in done.stderr
        assert running is None or running.process.poll() is None
    finally:
        if running is not None:
            running.close()


def test_a_plugin_whose_apart_is_something_else_is_broken(folder: Path) -> None:
    site = plugin(folder, "lambda options, name: options")
    done = completed(COMMAND, "bench", cwd=folder, PYTHONPATH=site)
    assert done.returncode == 2
    assert "error: topology.yaml:1: transport 'pigeon' of pigeon 1 is broken: " in done.stderr
    assert "what its apart gives is no asynchronous context manager: ZMQOptions" in done.stderr
