"""`civitas up`: the installed command, its processes and its signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, completed
from support.processes import MARK, Watched, outliving

Start = Callable[..., Any]
App = Callable[..., Path]

DEADLINE = 60.0
SHORTER_THAN_GRACE = 10.0

pytestmark = pytest.mark.slow

STEADY = """
import os, pathlib, signal

class Steady(AgentProcess):
    async def on_start(self):
        print("pid", os.getpid())
        await self.send(self.name, {})

    async def handle(self, message):
        print("begin")
        await asyncio.sleep(0.2)
        print("end")

    async def on_stop(self):
        print("stopping")
        pathlib.Path("stopped").write_text("in order")

class Blocking(AgentProcess):
    async def on_start(self):
        await self.send(self.name, {})

    async def handle(self, message):
        print("blocking")
        for _ in range(600):  # a signal that comes just before one sleep is heard after it
            time.sleep(0.1)

class Chatty(AgentProcess):
    async def on_start(self):
        await self.send(self.name, {})

    async def handle(self, message):
        print("word")
        await asyncio.sleep(0.01)
        await self.send(self.name, {})

class Deaf(AgentProcess):
    async def on_start(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("pid", os.getpid())
        print("begin")

class Done(AgentProcess):
    async def on_start(self):
        print("working")
        self.stop()

class Broken(AgentProcess):
    async def on_start(self):
        raise OSError("no database")

class Refuses(AgentProcess):
    def __init__(self, name):
        raise ValueError("not today")
"""


@pytest.fixture(autouse=True)
def no_orphans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(MARK, str(tmp_path))
    yield
    assert not outliving(str(tmp_path), SHORTER_THAN_GRACE)


def pid_of(running: Any) -> int:
    running.until("running: 1 agent")
    running.until("begin")
    return int(next(line for line in reversed(running.out) if "| pid" in line).split()[-1])


def test_lines_have_the_name_of_their_process_and_its_end_is_the_end(
    start: Start, app: App
) -> None:
    app(STEADY, "name: done, type: agents.Done")
    running = start("up", "topology.yaml")
    assert running.wait() == 0
    assert running.out == ["supervisor | working"]
    assert running.err == [
        "up         | starting supervisor; Ctrl-C stops",
        "supervisor | running: 1 agent; Ctrl-C stops",
    ]


def test_what_a_module_prints_is_on_stdout_once_with_the_name_of_its_process(
    start: Start, app: App
) -> None:
    app('print("imported")\n' + STEADY, "name: done, type: agents.Done")
    running = start("up")
    assert running.wait() == 0
    assert running.out == ["supervisor | imported", "supervisor | working"]


def test_the_exit_code_is_that_of_the_primary(start: Start, app: App) -> None:
    app(STEADY, "name: broken, type: agents.Broken")
    running = start("up")
    assert running.wait() == 1
    assert running.err[1:] == [
        "supervisor | error: agent 'broken' could not start: OSError: no database",
        "up         | supervisor ended with exit code 1",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_in_order_with_0(
    start: Start, app: App, tmp_path: Path, number: signal.Signals
) -> None:
    app(STEADY, "name: steady, type: agents.Steady")
    running = start("up")
    pid_of(running)
    running.signal(number)
    assert running.wait() == 0
    assert running.out[-2:] == ["supervisor | end", "supervisor | stopping"]
    assert (tmp_path / "stopped").exists()
    assert f"up         | {number.name}: ending all in order; once more to kill them" in running.err


def test_a_terminal_that_closes_signals_twice_and_kills_nobody(
    start: Start, app: App, tmp_path: Path
) -> None:
    app(STEADY, "name: steady, type: agents.Steady")
    running = start("up")
    pid_of(running)
    running.signal(signal.SIGHUP)
    running.until("once more to kill")
    running.signal(signal.SIGHUP)
    assert running.wait() == 0
    assert (tmp_path / "stopped").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_kills_all(start: Start, app: App, number: signal.Signals) -> None:
    app(STEADY, "name: deaf, type: agents.Deaf")
    running = start("up")
    with Watched(pid_of(running)) as primary:
        running.signal(signal.SIGTERM)
        running.until("once more to kill")
        running.signal(number)
        assert running.wait() == 128 + number
        assert primary.has_ended(SHORTER_THAN_GRACE)


def test_a_process_that_does_not_end_within_its_grace_is_killed(start: Start, app: App) -> None:
    app(STEADY, "name: blocking, type: agents.Blocking")
    running = start("up", "--grace=0.2")
    running.until("blocking")
    running.signal(signal.SIGTERM)
    assert running.wait() == 1
    assert running.err[-2:] == [
        "up         | supervisor has not ended within 0.2 s: killed",
        "up         | supervisor was killed by SIGKILL",
    ]


def test_nobody_is_orphaned_when_up_is_killed(start: Start, app: App, tmp_path: Path) -> None:
    app(STEADY, "name: steady, type: agents.Steady")
    running = start("up")
    with Watched(pid_of(running)) as primary:
        running.signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
        assert primary.has_ended(DEADLINE)
    assert (tmp_path / "stopped").read_text() == "in order"


def test_a_primary_that_is_killed_is_started_again(start: Start, app: App) -> None:
    app(STEADY, "name: steady, type: agents.Steady")
    running = start("up")
    os.kill(pid_of(running), signal.SIGKILL)
    running.until("supervisor was killed by SIGKILL; starting again in 0.")
    running.out.clear()
    running.err.clear()
    pid_of(running)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_what_the_user_should_know_of_the_topology_is_said_once(start: Start, app: App) -> None:
    topology = app(STEADY, "name: steady, type: agents.Steady")
    topology.write_text("transport: {type: pigeon}\n" + topology.read_text())
    running = start("up", "--transport=in_process")
    os.kill(pid_of(running), signal.SIGKILL)
    running.until("starting again in 0.")
    running.out.clear()
    pid_of(running)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert running.count("note: --transport in_process replaces") == 1


def test_a_worker_that_exits_with_0_in_the_middle_of_its_work_is_started_again(
    start: Start, app: App, tmp_path: Path
) -> None:
    code = """
    import os, pathlib

    class Leaves(AgentProcess):
        async def on_start(self):
            await self.send(self.name, {})

        async def handle(self, message):
            if pathlib.Path("left").exists():
                print("here again")
                self.stop()
            else:
                pathlib.Path("left").touch()
                os._exit(0)

    class Waits(AgentProcess):
        pass
    """
    topology = app(
        code, "name: leaves, type: agents.Leaves, process: gpu", "name: waits, type: agents.Waits"
    )
    bus = f"pub_addr: ipc://{tmp_path}/pub, sub_addr: ipc://{tmp_path}/sub"
    topology.write_text(f"transport: {{type: zmq, {bus}}}\n" + topology.read_text())
    running = start("up")
    running.until("gpu ended with exit code 0 in the middle of its work; starting again in 0.")
    running.until("here again")
    running.until("gpu is done")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_a_primary_that_exits_with_0_in_the_middle_of_its_work_is_a_failure(
    start: Start, app: App
) -> None:
    code = """
    import os

    class Leaves(AgentProcess):
        async def on_start(self):
            os._exit(0)
    """
    app(code, "name: leaves, type: agents.Leaves")
    running = start("up")
    assert running.wait() == 1
    assert running.err[-1] == (
        "up         | supervisor ended with exit code 0 in the middle of its work"
    )


def test_all_end_when_nobody_reads_the_output_any_more(app: App, tmp_path: Path) -> None:
    app(STEADY, "name: chatty, type: agents.Chatty, shutdown_timeout: 0.1")
    script = f"{COMMAND} up | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = completed("bash", "-c", script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "supervisor | word\n")
    assert "stdout can't be written to any more (Broken pipe); ending all" in done.stderr


def test_workers_that_the_transport_can_not_reach_run_in_the_primary(
    start: Start, app: App
) -> None:
    app(STEADY, "name: done, type: agents.Done, process: gpu")
    running = start("up")
    assert running.wait() == 0
    assert running.err[1] == (
        "up         | transport 'in_process' stays within one process: "
        "the agents of gpu run in supervisor too"
    )


def test_the_options_reach_the_processes(start: Start, app: App, tmp_path: Path) -> None:
    topology = app(STEADY, "name: steady, type: agents.Steady")
    topology.write_text("transport: {type: pigeon, loft: x}\n" + topology.read_text())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    running = start(
        "up",
        "-t",
        str(topology),
        "--app-dir=..",
        "--transport=in_process",
        "--set=supervision.children.steady.type=agents.Done",
        "--log-level=error",
        cwd=elsewhere,
    )
    assert running.wait() == 0
    assert running.out == ["supervisor | working"]
    assert "up         | note: --transport in_process replaces" in running.err[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["a.yaml", "--topology", "b.yaml"], "two topologies"),
        (["--log-level", "loud"], "--log-level is one of"),
        (["--transport", "in_proces"], "did you mean"),
        (["--set", "supervision.stratgy=one_for_all"], "stratgy"),
        (["--grace", "-1"], "--grace"),
        (["--grace", "inf"], "--grace"),
        (["--set", "supervision.children.done.type=agents.Refuses"], "ValueError: not today"),
    ],
)
def test_bad_input_exits_with_2_and_no_traceback(
    start: Start, app: App, arguments: list[str], expected: str
) -> None:
    app(STEADY, "name: done, type: agents.Done")
    running = start("up", *arguments)
    assert running.wait() == 2
    text = " ".join(" ".join(running.err).split())
    assert expected in text
    assert "Traceback" not in text


HOLDER = """
import os

class Holder(AgentProcess):
    def __init__(self, name, token="none"):
        super().__init__(name)
        self.token = token

    async def on_start(self):
        print("pid", os.getpid(), "holds", self.token)
"""


def test_what_set_gives_the_processes_stands_on_no_command_line_of_theirs(
    start: Start, app: App, tmp_path: Path
) -> None:
    topology = app(
        HOLDER, "name: a, type: agents.Holder", "name: b, type: agents.Holder, process: gpu"
    )
    bus = f"pub_addr: ipc://{tmp_path}/pub, sub_addr: ipc://{tmp_path}/sub"
    topology.write_text(f"transport: {{type: zmq, {bus}}}\n" + topology.read_text())
    sets = [f"--set=supervision.children.{each}.config.token=sesame" for each in "ab"]
    running = start("up", *sets)
    running.wait_for(lambda: running.count("holds sesame") == 2, "both to hold it")
    pids = {int(line.split()[3]) for line in running.out if "holds" in line}
    assert len(pids) == 2
    for pid in pids:
        for file in ("cmdline", "environ"):
            assert b"sesame" not in Path(f"/proc/{pid}/{file}").read_bytes()
        assert b"--process=" in Path(f"/proc/{pid}/cmdline").read_bytes()
    worker = next(int(line.split()[3]) for line in running.out if line.startswith("gpu"))
    os.kill(worker, signal.SIGKILL)
    running.wait_for(lambda: running.count("holds sesame") == 3, "the worker to hold it again")
    running.signal(signal.SIGINT)
    running.wait()
