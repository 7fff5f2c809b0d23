"""Modules of agents that change their process at import, threads and children: real commands."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, completed
from support.processes import MARK, outliving

Start = Callable[..., Any]
App = Callable[..., Path]

pytestmark = pytest.mark.slow

SPOILED = """
import atexit, io, logging.config, os, signal, sys, threading, warnings

print("foreign: import")
os.system("echo foreign: a child")
atexit.register(print, "foreign: exit")

def poll():
    while "ENDS" not in os.environ:
        print("foreign: thread")
        time.sleep(0.05)

threading.Thread(target=poll, name="poller").start()
os.chdir("/")
logging.config.dictConfig({"version": 1})
asyncio.set_event_loop_policy(Policy())
warnings.simplefilter("error")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
sys.stdout = io.TextIOWrapper(sys.stdout.buffer)
sys.stderr = None

class Spoiled(AgentProcess):
    async def on_start(self):
        await self.send(self.name, {})

    async def handle(self, message):
        print("handling", flush=True)

class Crashing(AgentProcess):
    async def on_start(self):
        await self.send(self.name, {})

    async def handle(self, message):
        sys.exit(0)
"""
POLICY = """
class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        loop = super().new_event_loop()
        if "run" not in __import__("sys").argv:
            loop.add_signal_handler = None
        return loop
"""


def spoiled(app: App, agent: str) -> None:
    app(POLICY + SPOILED, agent, more="  max_restarts: 0\n")


def test_the_result_of_a_command_is_alone_on_stdout(app: App, tmp_path: Path) -> None:
    spoiled(app, "name: a, type: agents.Spoiled")
    done = completed(COMMAND, "topology", "show", "--json", cwd=tmp_path, ENDS="now")
    assert done.returncode == 0
    assert json.loads(done.stdout)["transport"] == {"type": "in_process"}
    lines = done.stderr.splitlines()
    assert sorted(lines) == ["foreign: a child", "foreign: exit", "foreign: import"]


def test_a_module_that_raises_what_is_no_exception_is_bad_input_and_the_command_ends(
    app: App, tmp_path: Path
) -> None:
    app(
        """
        import threading
        threading.Thread(target=time.sleep, args=(10_000,), name="sleeper").start()
        raise type("PanicError", (BaseException,), {})("no device")
        """,
        "name: a, type: agents.A",
    )
    done = completed(COMMAND, "topology", "validate", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    error, left = done.stderr.splitlines()
    assert error.endswith(f"failed: PanicError: no device, at {tmp_path / 'agents.py'}:6")
    assert left == "note: left behind, as it had not ended after 0.5 s: thread 'sleeper'"


def test_run_says_what_it_has_to_say_and_ends_with_its_own_exit_code(
    start: Start, app: App
) -> None:
    spoiled(app, "name: a, type: agents.Crashing, shutdown_timeout: 0.1")
    running = start("run")
    assert running.wait() == 1
    assert any("a handler of SIGTERM that was set when agents were" in each for each in running.err)
    assert running.count("agent 'a' crashed: SystemExit: 0") == 1
    assert running.count("error: the root supervisor gave up: SystemExit: 0") == 1
    assert running.err[-1].startswith("note: left behind, ")
    assert "foreign: import" in running.out  # of `run` stdout is theirs


def test_up_starts_and_ends_processes_that_were_spoiled(
    start: Start, app: App, tmp_path: Path
) -> None:
    spoiled(app, "name: steady, type: agents.Spoiled, shutdown_timeout: 0.1")
    running = start("up", **{MARK: str(tmp_path)})
    running.until("supervisor | handling")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert running.count("SIGTERM: finishing the work in hand") == 1
    assert running.count("supervisor | note: left behind, ") == 1
    assert outliving(str(tmp_path), 0.0) == []


THREADS = """
import sys

class Working(AgentProcess):
    async def on_start(self):
        self.work = asyncio.create_task(asyncio.to_thread(time.sleep, 10_000))
        await asyncio.sleep(0)
        print("ready", flush=True)

    async def handle(self, message):
        pass

class Exiting(AgentProcess):
    async def on_start(self):
        asyncio.get_running_loop().call_soon(sys.exit)

    async def on_stop(self):
        print("stopped", flush=True)

class Failing(AgentProcess):
    async def on_start(self):
        self.work = asyncio.create_task(asyncio.to_thread(time.sleep, 10_000))
        await asyncio.sleep(0)
        raise OSError("no database")
"""


def test_a_stop_ends_though_a_thread_works_and_names_it(start: Start, app: App) -> None:
    app(THREADS, "name: a, type: agents.Working, shutdown_timeout: 0.2")
    running = start("run")
    running.until("ready")
    running.until("running: 1 agent")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert running.err[-1].startswith("note: left behind, as it had not ended after 0.")
    assert running.err[-1].endswith(" s: thread 'asyncio_0'")


def test_a_second_signal_ends_it_at_once_while_threads_are_waited_for(
    start: Start, app: App
) -> None:
    app(THREADS, "name: a, type: agents.Working, shutdown_timeout: 3600")
    running = start("run")
    running.until("running: 1 agent")
    running.signal(signal.SIGTERM)
    running.until("once more")
    running.signal(signal.SIGINT)
    assert running.wait() == 128 + signal.SIGINT


def test_a_start_that_fails_says_so_though_a_thread_works(start: Start, app: App) -> None:
    app(THREADS, "name: a, type: agents.Failing, shutdown_timeout: 0.1")
    running = start("run")
    assert running.wait() == 1
    error, left = running.err
    assert error == "error: agent 'a' could not start: OSError: no database"
    assert left.endswith("s: thread 'asyncio_0'")


def test_an_agent_that_exits_outside_of_its_hooks_has_failed_and_all_end_in_order(
    start: Start, app: App
) -> None:
    app(THREADS, "name: a, type: agents.Exiting")
    running = start("up")
    assert running.wait() == 1
    assert "supervisor | stopped" in running.out
    said = "error: an agent's code raised SystemExit outside of its hooks"
    assert f"supervisor | {said}" in running.err


CHILDREN = """
import multiprocessing, os, signal, sys

def work(started):
    started.set()
    time.sleep(10_000)

class Forking(AgentProcess):
    async def on_start(self):
        fork = multiprocessing.get_context("fork")
        for number in (signal.SIGTERM, signal.SIGINT):
            started = fork.Event()
            child = fork.Process(target=work, args=(started,))
            await asyncio.to_thread(child.start)
            started.wait()
            os.kill(child.pid, number)
            child.join()
            print(number.name, child.exitcode, flush=True)
        self.stop()
"""


@pytest.mark.parametrize("command", ["run", "up"])
def test_signals_end_the_children_that_an_agent_forks(start: Start, app: App, command: str) -> None:
    app(CHILDREN, "name: a, type: agents.Forking")
    running = start(command)
    assert running.wait() == 0
    ends = [each.split("| ")[-1] for each in running.out]
    assert ends == [f"SIGTERM {-signal.SIGTERM}", "SIGINT 1"]
    assert running.count("finishing the work in hand") == 0
