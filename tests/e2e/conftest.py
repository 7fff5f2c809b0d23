"""The installed command, run as a person would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("civitas")
REPOSITORY = Path(__file__).parents[2]
DEADLINE = 30.0


class Running:
    """A `civitas` process whose output can be waited for."""

    def __init__(self, arguments: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [str(COMMAND), *arguments],
            cwd=cwd,
            # As a user's shell has it: what shows only without buffering must not pass here.
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in (
                (self.process.stdout, self.out),
                (self.process.stderr, self.err),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Iterator[str], lines: list[str]) -> None:
        for line in stream:
            with self._news:
                lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def until(self, text: str) -> None:
        """Wait until a line of the output contains the text."""
        with self._news:
            seen = self._news.wait_for(
                lambda: any(text in line for line in (*self.out, *self.err)), DEADLINE
            )
        assert seen, f"{text!r} did not come; out: {self.out}, err: {self.err}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Return the exit code, and all output in `out` and `err`."""
        code = self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `civitas` with arguments, by default in a folder of the test's own."""
    started: list[Running] = []

    def begin(*arguments: str, cwd: Path = tmp_path, **env: str) -> Running:
        running = Running(list(arguments), cwd, env)
        started.append(running)
        return running

    yield begin
    for running in started:
        running.close()


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., Path]:
    """Write agents and a topology that runs them, and return the topology's path."""

    def write(code: str, *agents: str, more: str = "") -> Path:
        (tmp_path / "agents.py").write_text(
            "import asyncio, time\nfrom civitas import AgentProcess, ErrorAction, Message\n"
            + textwrap.dedent(code)
        )
        children = "".join(f"    - agent: {{{agent}}}\n" for agent in agents)
        topology = tmp_path / "topology.yaml"
        topology.write_text(f"supervision:\n  name: root\n{more}  children:\n{children}")
        return topology

    return write


@pytest.fixture
def repository() -> Path:
    return REPOSITORY
