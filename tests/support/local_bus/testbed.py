"""What a test needs of the local bus: its discovery, topologies that name it, a broker apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).parents[2]
SITE = TESTS / "support" / "plugins_site"
"""Stands for a site-packages in which the plugin's distribution is installed."""

DEADLINE = 30.0


@dataclass(frozen=True)
class LocalBus:
    """A local bus at a path of its own, which this process discovers as a plugin.

    Attributes:
        path: the broker's unix socket.
    """

    path: str

    def options(self, **more: Any) -> dict[str, Any]:
        """Return the keyword arguments for Runtime, Worker and build_component_set."""
        return {"transport": self.block(**more)}

    def block(self, **more: Any) -> dict[str, Any]:
        """Return the `transport:` block of a topology."""
        return {"type": "local_bus", "path": self.path, **more}

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a child process that discovers the plugin too."""
        return environment(**more)


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment, with the plugin to be found by `python` and `civitas`."""
    path = [str(TESTS), str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **more}


@contextmanager
def installed(folder: Path) -> Iterator[LocalBus]:
    """Make the plugin one that this process discovers; its socket is in `folder`."""
    sys.path.append(str(SITE))
    try:
        yield LocalBus(str(folder / "bus"))
    finally:
        sys.path.remove(str(SITE))


class BrokerProcess:
    """A broker in a process of its own, which can be stopped, killed and started again."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; when this returns, clients can connect."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.local_bus.broker", self.path],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            self.kill()
            raise AssertionError(f"no broker at {self.path}: see its output")
        self.process.stdout.close()  # it says no more

    def stop(self) -> int | None:
        """End it in good order, and return its exit code."""
        return self._end(subprocess.Popen.terminate)

    def kill(self) -> int | None:
        """End it at once; its socket's file stays."""
        return self._end(subprocess.Popen.kill)

    def pause(self) -> None:
        """Let it stand still: it keeps its connections and takes nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _end(self, how: Any) -> int | None:
        process, self.process = self.process, None
        if process is None:
            return None
        with process:
            how(process)
            return process.wait(DEADLINE)
