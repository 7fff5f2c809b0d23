"""NatsServer: a real server at a port of its own, which ends with the test that started it."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

UP_WITHIN: Final = 20.0
"""Seconds for a server to accept clients."""

_PAUSE: Final = 0.01
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)


class NoServerError(RuntimeError):
    """There is no nats-server on this machine."""


def executable() -> str:
    """Return where nats-server is. Debian keeps it where only root looks."""
    found = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/sbin")
    if found is None:
        raise NoServerError(
            "these tests need nats-server: install it (on Debian: apt-get install nats-server)"
        )
    return found


def free_port() -> int:
    """Return a port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class NatsServer:
    """A nats-server process.

    Args:
        folder: where its configuration, its log and its store are.
        jetstream: whether it stores streams.
        config: more text for its configuration file.
        port: where it listens; a free one when left out.
        name: its name, by which its files are called.
        command: what runs it, such as `ip netns exec NAME`.
        host: the address at which it listens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        jetstream: bool = False,
        config: str = "",
        port: int | None = None,
        name: str = "nats",
        command: Iterable[str] = (),
        host: str = "127.0.0.1",
    ) -> None:
        self.name = name
        self.host = host
        self.port = port or free_port()
        self.monitor_port = free_port()
        self.store = folder / f"{name}-store"
        self._folder = folder
        self._jetstream = jetstream
        self._config = config
        self._command = list(command)
        self._fixed = port is not None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"nats://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written."""
        file = self._folder / f"{self.name}.log"
        return file.read_text() if file.exists() else ""

    def start(self) -> Self:
        """Start it, and return when it accepts clients."""
        deadline = time.monotonic() + UP_WITHIN
        while True:
            self._launch()
            if self._comes_up(deadline):
                return self
            self.kill()
            if "address already in use" not in self.log or self._fixed:
                raise RuntimeError(f"nats-server did not come up:\n{self.log[-3000:]}")
            self.port, self.monitor_port = free_port(), free_port()

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Have it stand still."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """End it as a crash would, and start it again at its port, with its store."""
        self.kill()
        self._fixed = True
        self.start()

    def ask(self, what: str) -> Any:
        """Return what its monitor tells: `varz`, `connz?subs=1`, `jsz?streams=1` and so on."""
        url = f"http://{self.host}:{self.monitor_port}/{what}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())

    def clients(self) -> list[dict[str, Any]]:
        """Return the connections of clients."""
        connections: list[dict[str, Any]] = self.ask("connz?subs=1")["connections"]
        return connections

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def _launch(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{self.name}.conf"
        lines = [
            f'server_name: "{self.name}"',
            f"listen: {self.host}:{self.port}",
            f"http: {self.host}:{self.monitor_port}",
        ]
        if self._jetstream:
            lines.append(f'jetstream {{ store_dir: "{self.store}" }}')
        file.write_text("\n".join([*lines, self._config, ""]))
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, executable(), "-c", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - a test's process has few threads
            )

    def _comes_up(self, deadline: float) -> bool:
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self.ask("healthz")["status"] == "ok":
                    return True
            except (OSError, ValueError, KeyError):
                time.sleep(_PAUSE)
        return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # one that stands still hears it, too
            process.wait(UP_WITHIN)


def _end_with_parent() -> None:
    """Have the kernel end a server whose test was killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
