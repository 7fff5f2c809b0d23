"""Programs, the installed `civitas` above all: run to their end, or watched while they run."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

COMMAND = Path(sys.executable).with_name("civitas")
DEADLINE = 60.0
"""Seconds for what a program does next: on a busy machine its start alone takes ten."""

_AT_MOST = 200.0
"""Seconds for a program to end; a test has 300."""


def completed(
    *command: str | Path, cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; return its exit code and all that it wrote.

    Args:
        command: the program and its arguments.
        cwd: where it runs.
        settings: variables of its environment, beside those of this process.
    """
    return subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_AT_MOST,
        check=False,
    )


def printed_by(code: str) -> str:
    """Run Python code in a process of its own; return what it printed."""
    done = completed(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Running:
    """A `civitas` process whose output can be waited for.

    Attributes:
        title: the command, as it is shown to who reads of it.
        out: the lines of its stdout.
        err: the lines of its stderr.
    """

    def __init__(
        self, arguments: list[str], cwd: Path, env: dict[str, str], command: Path = COMMAND
    ) -> None:
        self.title = shlex.join([command.name, *arguments])
        self.process = subprocess.Popen(
            [str(command), *arguments],
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

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def until(self, text: str, deadline: float = DEADLINE) -> None:
        """Wait until a line of the output contains the text."""
        self.wait_for(lambda: self.count(text) > 0, f"{text!r} to come", deadline)

    def count(self, text: str) -> int:
        """Return how many lines contain the text."""
        return sum(text in line for line in (*self.out, *self.err))

    def wait_for(
        self, condition: Callable[[], bool], what: str, deadline: float = DEADLINE
    ) -> None:
        """Wait until the output fulfils a condition."""
        with self._news:
            seen = self._news.wait_for(condition, deadline)
        assert seen, f"waited for {what}; out: {self.out}, err: {self.err}"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, deadline: float = DEADLINE) -> int:
        """Return the exit code, and all output in `out` and `err`."""
        code = self.process.wait(deadline)
        for reader in self._readers:
            reader.join(DEADLINE)
        return code

    def close(self) -> None:
        """Kill it if it still runs, and close what was opened."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
