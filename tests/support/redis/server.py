"""RedisServer: a real server at a port of its own, which ends with the test that started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Final, Self

import redis

from support.certificates import Certificates
from support.last_will import LastWill
from support.ports import free_port

UP_WITHIN: Final = 20.0
"""Seconds for a server to accept clients, and for one to end."""

_PAUSE: Final = 0.01
_LOG_SHOWN: Final = 3000


class NoServerError(RuntimeError):
    """There is no redis-server on this machine, or it does not come up."""


def executable() -> str:
    """Return where redis-server is."""
    found = shutil.which("redis-server")
    if found is None:
        raise NoServerError("these tests need redis-server: `make programs` installs it")
    return found


class RedisServer:
    """A redis-server process that keeps nothing.

    Attributes:
        port: where clients connect; a free one, and the same after a restart.

    Args:
        folder: where its log is.
        password: what clients have to say; none when left out.
        tls: its certificates; then it talks to nobody unencrypted, and asks clients for one.
        settings: more lines of its configuration, such as `"client-output-buffer-limit": "..."`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str = "",
        tls: Certificates | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self._folder = folder
        self._password = password
        self._tls = tls
        self._settings = settings or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._will: LastWill | None = None

    @property
    def url(self) -> str:
        """Where clients connect to, without a password."""
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written, in all of its lives."""
        return (self._folder / "redis.log").read_text()

    def start(self) -> Self:
        """Start it, and return when it accepts clients.

        Raises:
            NoServerError: it did not come up; its log says why.
        """
        assert self._process is None, "the server is running"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._will = LastWill()
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [executable(), "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._will.change("kill", "-9", str(self.pid))
        assert self._process.stdin is not None
        with self._process.stdin as configuration:
            configuration.write(self._configuration().encode())
        self._wait_up()
        return self

    def kill(self) -> None:
        """End it as a crash would, and return when it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL)
        process.wait(UP_WITHIN)
        will, self._will = self._will, None
        if will is not None:
            will.revoke()

    def pause(self) -> None:
        """Have it stand still, and return when it does: it keeps its connections, takes nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def resume(self) -> None:
        """Have it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def client(self) -> redis.Redis:
        """Return a client without anything of ours around it."""
        return redis.Redis(port=self.port, password=self._password or None)

    def subscribers(self) -> list[dict[str, Any]]:
        """Return the connections that subscribe, with their `name`, `id`, `omem` and so on."""
        with self.client() as client:
            found: list[dict[str, Any]] = client.client_list(_type="pubsub")
        return found

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _configuration(self) -> str:
        lines = {
            "bind": "127.0.0.1",
            "save": '""',
            "appendonly": "no",
            "dir": str(self._folder),
            "port": str(self.port),
            **self._settings,
        }
        if self._password:
            lines["requirepass"] = self._password
        if self._tls is not None:
            lines |= {
                "port": "0",
                "tls-port": str(self.port),
                "tls-ca-cert-file": str(self._tls.ca),
                "tls-cert-file": str(self._tls.cert),
                "tls-key-file": str(self._tls.key),
            }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def _wait_up(self) -> None:
        deadline = time.monotonic() + UP_WITHIN
        assert self._process is not None
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(_PAUSE)
            else:
                return
        self.kill()
        raise NoServerError(f"the server did not come up:\n{self.log[-_LOG_SHOWN:]}")
