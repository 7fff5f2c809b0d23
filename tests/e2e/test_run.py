"""`civitas run`: real processes, real signals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import Running
from support.environments import make_bare

Start = Callable[..., Any]
App = Callable[..., Path]

pytestmark = pytest.mark.slow


SLOW = """
class Slow(AgentProcess):
    async def on_start(self):
        for n in range(5):
            await self.send(self.name, {"n": n})

    async def handle(self, message):
        print("begin", message.payload["n"], flush=True)
        await asyncio.sleep(0.1)
        print("end", message.payload["n"], flush=True)

    async def on_stop(self):
        print("on_stop", flush=True)

class Blocking(AgentProcess):
    async def on_start(self):
        await self.send(self.name, {})

    async def handle(self, message):
        print("blocking", flush=True)
        for _ in range(600):  # a signal that comes just before one sleep is heard after it
            time.sleep(0.1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_work_drains_and_exits_with_0(
    start: Start, app: App, number: signal.Signals
) -> None:
    app(SLOW, "name: slow, type: agents.Slow")
    running = start("run")
    running.until("begin 0")
    running.signal(number)
    assert running.wait() == 0
    done = [line for line in running.out if line.startswith("end")]
    assert done == [f"end {n}" for n in range(5)]
    assert running.out[-1] == "on_stop"
    assert any("once more to stop at once" in line for line in running.err)


def test_a_second_signal_stops_at_once(start: Start, app: App) -> None:
    app(SLOW, "name: slow, type: agents.Slow")
    running = start("run")
    running.until("begin 0")
    running.signal(signal.SIGTERM)
    running.until("once more")
    running.signal(signal.SIGTERM)
    assert running.wait() == 128 + signal.SIGTERM
    assert "end 4" not in running.out


def test_a_second_signal_stops_at_once_though_a_handler_blocks_the_loop(
    start: Start, app: App
) -> None:
    app(
        SLOW,
        "name: slow, type: agents.Slow",
        "name: blocking, type: agents.Blocking",
    )
    running = start("run", "--set", "send_timeout=1")
    running.until("blocking")
    running.signal(signal.SIGINT)
    running.until("once more")
    running.signal(signal.SIGTERM)
    assert running.wait() == 128 + signal.SIGTERM


def test_an_agent_that_ignores_its_cancellation_does_not_keep_the_process_alive(
    start: Start, app: App
) -> None:
    app(
        """
        class Deaf(AgentProcess):
            async def on_start(self):
                await self.send(self.name, {})

            async def handle(self, message):
                print("handling", flush=True)
                while True:
                    try:
                        await asyncio.sleep(60)
                    except asyncio.CancelledError:
                        pass
        """,
        "name: deaf, type: agents.Deaf, shutdown_timeout: 0.1",
    )
    running = start("run")
    running.until("handling")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert any("does not let itself be cancelled" in line for line in running.err)


def test_an_agent_that_stays_broken_ends_the_run_with_1(start: Start, app: App) -> None:
    app(
        """
        class Broken(AgentProcess):
            async def on_start(self):
                await self.send(self.name, {})

            async def handle(self, message):
                raise ValueError("always")
        """,
        "name: broken, type: agents.Broken",
        more="  max_restarts: 2\n  backoff_base: 0.01\n",
    )
    running = start("run")
    assert running.wait() == 1
    assert running.err[-1] == "error: the root supervisor gave up: ValueError: always"
    assert not any("Traceback" in line for line in running.err)
    assert sum("agent 'broken' crashed" in line for line in running.err) == 3


def test_an_agent_that_can_not_start_is_one_clear_line(start: Start, app: App) -> None:
    app(
        """
        class Broken(AgentProcess):
            async def on_start(self):
                raise OSError("no database at port 5432")
        """,
        "name: broken, type: agents.Broken",
    )
    running = start("run")
    assert running.wait() == 1
    assert running.err == [
        "error: agent 'broken' could not start: OSError: no database at port 5432"
    ]


def test_passwords_in_urls_are_not_shown_by_errors_and_logs(start: Start, app: App) -> None:
    app(
        """
        import logging

        class Broken(AgentProcess):
            async def on_start(self):
                logging.getLogger("a_client").warning("trying db://ada:sesame@host")
                raise OSError("refused by db://host/one?password=sesame&timeout=3")
        """,
        "name: broken, type: agents.Broken",
    )
    running = start("run")
    assert running.wait() == 1
    log, error = running.err
    assert log.endswith("trying db://***@host")
    assert error.endswith("refused by db://host/one?password=***&timeout=3")


def test_a_run_whose_agents_are_done_ends_with_0(start: Start, app: App) -> None:
    app(
        """
        class Done(AgentProcess):
            async def on_start(self):
                print("working", flush=True)
                self.stop()
        """,
        "name: done, type: agents.Done",
    )
    running = start("run", "topology.yaml")
    assert running.wait() == 0
    assert running.out == ["working"]


def test_tracebacks_are_shown_when_asked_for(start: Start, app: App) -> None:
    app(
        """
        class Once(AgentProcess):
            async def on_start(self):
                await self.send(self.name, {})

            async def on_error(self, error, message):
                return ErrorAction.ESCALATE

            async def handle(self, message):
                raise ValueError("look here")
        """,
        "name: once, type: agents.Once",
        more="  max_restarts: 0\n",
    )
    running = start("run", "--log-level", "debug")
    assert running.wait() == 1
    assert any("Traceback" in line for line in running.err)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "a.yaml", "--topology", "b.yaml"], "two topologies"),
        (["run", "--log-level", "loud"], "--log-level is one of"),
        (["run", "--transport", "in_proces"], "did you mean"),
        (["run", "--set", "supervision.stratgy=one_for_all"], "stratgy"),
        (["run", "-p", "worker_9"], "'worker_9' can't be run on its own"),
    ],
)
def test_bad_input_exits_with_2_and_no_traceback(
    start: Start, app: App, arguments: list[str], expected: str
) -> None:
    app(SLOW, "name: slow, type: agents.Slow")
    running = start(*arguments)
    assert running.wait() == 2
    text = "\n".join(running.err)
    assert expected in " ".join(text.split())
    assert "Traceback" not in text


def test_a_transport_that_is_not_installed_is_bad_input(app: App, tmp_path: Path) -> None:
    app(SLOW, "name: slow, type: agents.Slow")
    bare = make_bare(tmp_path / "environment").with_name("civitas")
    running = Running(["run", "--transport", "redis"], tmp_path, {}, command=bare)
    try:
        assert running.wait() == 2
    finally:
        running.close()
    text = " ".join(" ".join(running.err).split())
    assert 'pip install "civitas-redis-example"' in text
    assert "Traceback" not in text


def test_transport_and_set_really_apply(start: Start, app: App) -> None:
    topology = app(
        """
        class Show(AgentProcess):
            def __init__(self, name, word="none"):
                super().__init__(name)
                self.word = word

            async def on_start(self):
                print(self.word, self.mailbox_size, flush=True)
                self.stop()
        """,
        "name: show, type: agents.Show",
    )
    topology.write_text("transport: {type: zmq, pub_addr: x}\n" + topology.read_text())
    running = start(
        "run",
        "--transport=in_process",
        "--set=supervision.children.0.agent.config={word: changed}",
        "--set=supervision.children.0.agent.mailbox_size=5",
    )
    assert running.wait() == 0, running.err
    assert running.out == ["changed 5"]
    assert any("note:" in line and "zmq" in line and "pub_addr" in line for line in running.err)


def test_an_agent_with_a_process_runs_here_and_it_is_said(start: Start, app: App) -> None:
    app(
        """
        class Done(AgentProcess):
            async def on_start(self):
                self.stop()
        """,
        "name: done, type: agents.Done, process: worker",
    )
    running = start("run")
    assert running.wait() == 0
    assert any("'in_process' stays within one process" in line for line in running.err)
    refused = start("run", "--process", "worker")
    assert refused.wait() == 2
