"""Health of real processes: `run` and `up` with an address, and with a service manager's socket."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, Running, completed
from support.probing import probe, probed_until

Start = Callable[..., Any]
App = Callable[..., Path]

pytestmark = pytest.mark.slow

AGENTS = """
import os

class Plain(AgentProcess):
    async def on_start(self):
        print("pid", os.getpid(), "of", os.environ.get("NOTIFY_SOCKET"), flush=True)
"""


def two_processes(app: App, folder: Path) -> None:
    topology = app(
        AGENTS, "name: a, type: agents.Plain", "name: b, type: agents.Plain, process: kitchen"
    )
    bus = f"pub_addr: ipc://{folder}/pub, sub_addr: ipc://{folder}/sub"
    topology.write_text(f"transport: {{type: zmq, {bus}}}\n" + topology.read_text())


def urls(running: Running) -> dict[str, str]:
    """Return where the processes of `up` answer, by their names, once all have said so."""
    running.wait_for(lambda: running.count("health at http") >= 2, "the addresses")
    found = (re.match(r"(\w+) +\| .*health at (http://\S+);", line) for line in running.err)
    return {each[1]: each[2] for each in found if each is not None}


def manager(folder: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(folder / "notify"))
    made.settimeout(30)
    return made


def until(manager: socket.socket, line: str) -> None:
    while line not in manager.recv(4096).decode():
        pass


def test_up_gives_each_process_an_address_and_speaks_for_all(
    start: Start, app: App, tmp_path: Path
) -> None:
    two_processes(app, tmp_path)
    with manager(tmp_path) as systemd:
        notify = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "20000000"}
        running = start("up", "--health=0", **notify)
        until(systemd, "READY=1")
        at = urls(running)
        assert set(at) == {"supervisor", "kitchen"}
        for name, url in at.items():
            assert (probe(url, "/live").status, probe(url, "/ready").status) == (200, 200)
            assert f'process="{name}"' in probe(url, "/metrics").text
        told = completed(COMMAND, "check", "--process=kitchen", cwd=tmp_path)
        assert (told.returncode, told.stdout) == (0, "ok: 1 process, 1 agent\n"), told.stderr
        pids = {line.split()[3]: line for line in running.out if " pid " in line}
        assert all(line.endswith("of None") for line in pids.values())
        [kitchen] = [pid for pid, line in pids.items() if line.startswith("kitchen")]
        os.kill(int(kitchen), signal.SIGKILL)
        until(systemd, "kitchen: not running")
        # A peer that is away is no reason to end the others.
        assert probe(at["supervisor"], "/live").status == 200
        until(systemd, "STATUS=2 of 2 processes run")
        running.signal(signal.SIGTERM)
        until(systemd, "STOPPING=1")
    assert running.wait() == 0


def test_run_says_where_it_answers_also_as_json_and_tells_its_service_manager(
    start: Start, app: App, tmp_path: Path
) -> None:
    app(AGENTS, "name: a, type: agents.Plain")
    with manager(tmp_path) as systemd:
        notify = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        running = start("run", "--health=127.0.0.1:0", "--log-format=json", **notify)
        until(systemd, "READY=1")
        until(systemd, "STATUS=1 agent runs")
        running.until("running: 1 agent")
        told = [json.loads(line)["message"] for line in running.err]
        [url] = [text.split()[1] for text in told if text.startswith("health: ")]
        assert f"running: 1 agent, health at {url}; Ctrl-C stops" in told
        assert probed_until(url, "/ready", "ready").status == 200
        running.until("of None")
        running.signal(signal.SIGTERM)
        until(systemd, "STOPPING=1")
    assert running.wait() == 0


def test_an_address_in_use_is_1_and_a_wrong_one_2_with_its_line(
    start: Start, app: App, tmp_path: Path
) -> None:
    topology = app(AGENTS, "name: a, type: agents.Plain")
    text = topology.read_text()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        topology.write_text(f"health:\n  listen: {port}\n{text}")
        running = start("run")
        assert running.wait() == 1
    said = f"error: topology.yaml:2: this process can't listen for probes at 127.0.0.1:{port}: "
    assert said in running.err[-1]
    topology.write_text(f"health:\n  listen: here\n{text}")
    for command in (["run"], ["topology", "validate"], ["up"]):
        done = completed(COMMAND, *command, "topology.yaml", cwd=tmp_path)
        assert done.returncode == 2
        assert "topology.yaml:2: health.listen: an address to listen at is HOST:PORT" in done.stderr
    done = completed(COMMAND, "up", "--health=65535x", cwd=tmp_path)
    assert (done.returncode, "--health" in done.stderr) == (2, True)


def test_up_says_when_there_are_not_enough_ports(app: App, tmp_path: Path) -> None:
    two_processes(app, tmp_path)
    done = completed(COMMAND, "up", "--health=65535", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "process 2 would listen at port 65536" in done.stderr
