"""ServerProcess: a server that a test can kill, start again, and let stand still."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Self

HOST: Final = "127.0.0.1"
_PAUSE: Final = 0.01
_SHOWN: Final = 3000
"""Bytes of what a server wrote that are shown when it does not come up."""

_PORTS: Final = range(12_000, 32_000)
"""Below those that systems give to connections: a client that tries again and again to reach a
server that is down could get the server's own port, and would then talk to itself."""


class ServerProcess:
    """A process that listens at a port of the loopback interface. Use it as a context.

    It has the methods that the kit's fixtures `broker` and `freezer` need.

    Args:
        command: the program and its arguments; in each of them `{port}` stands for the port.
        port: where it listens; a free one when left out, and the same after a restart.
        up_within: seconds within which it must let clients in, and must end.
        cwd: the folder in which it runs.
        environment: its environment; that of this process when left out.

    Attributes:
        port: where it listens.

    Example:
        In a file of tests, one process for all of them:

            @pytest.fixture(scope="module")
            def loft():
                with ServerProcess([sys.executable, "-m", "loft", "{port}"]) as server:
                    yield server
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int | None = None,
        up_within: float = 20.0,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port() if port is None else port
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._up_within = up_within
        self._cwd = cwd
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it lets clients in.

        Raises:
            RuntimeError: it ended, or did not come up in time; the text has what it wrote.
        """
        assert self._process is None, "the server is running"
        with tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._cwd,
                env=self._environment,
                start_new_session=True,  # so that Ctrl-C is for the tests alone
            )
            try:
                self._wait_up(self._process, output)
            except BaseException:
                self.kill()
                raise

    def kill(self) -> None:
        """End it as a crash would; return when it is gone. Nothing happens when it is not there."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(self._up_within)

    def pause(self) -> None:
        """Let it stand still: it keeps its connections, and takes and gives nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _wait_up(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        deadline = time.monotonic() + self._up_within
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1.0):
                return
            time.sleep(_PAUSE)
        status = process.poll()
        problem = "does not let clients in" if status is None else f"ended with {status}"
        output.seek(0)
        written = output.read()[-_SHOWN:].decode(errors="replace").strip() or "nothing"
        raise RuntimeError(f"{' '.join(self._command)} {problem}; it wrote:\n{written}")


def free_port() -> int:
    """Return a port of the loopback interface at which nobody listens now."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port
    raise RuntimeError("no port is free")
