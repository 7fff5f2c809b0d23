"""NatsServer: a real server at a port of its own, which ends with the test that started it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final, Self, Unpack

from support.last_will import LastWill
from support.machines import Machine
from support.nats.programs import executable
from support.nats.server_config import Settings, configuration
from support.ports import free_port

UP_WITHIN: Final = 20.0
"""Seconds for a server to accept clients, and for one to end."""

_PAUSE: Final = 0.01
_LOG_SHOWN: Final = 3000
_numbers: Final = itertools.count(1)


class NoServerError(RuntimeError):
    """A server does not come up."""


class PortTakenError(NoServerError):
    """Somebody listens at the port meanwhile."""


class NatsServer:
    """A nats-server process.

    Attributes:
        host: the address at which it listens.
        port: where clients connect; a free one, and the same after a restart.
        store: where JetStream keeps its files.
        is_paused: whether it stands still.

    Args:
        folder: where its configuration, its log and its store are.
        name: its name, by which its files are called.
        machine: where it runs; on this machine's loopback interface when left out.
        settings: see `Settings`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "nats",
        machine: Machine | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        self.name = name
        self.host: Final = "127.0.0.1" if machine is None else machine.address
        self.port = free_port()
        self.store: Final = settings.get("store") or folder / f"{name}-store"
        self.is_paused = False
        self._monitor_port = free_port()
        # Should another server be at the monitor's port, it does not answer for this one.
        self._monitor_path = f"/{os.getpid()}-{next(_numbers)}"
        self._folder = folder
        self._machine = machine
        self._settings = settings
        self._log_begin = 0
        self._was_up = False
        self._process: subprocess.Popen[bytes] | None = None
        self._will: LastWill | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        scheme = "tls" if "tls" in self._settings else "nats"
        return f"{scheme}://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives, be it that it stands still."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it has written, in all of its lives."""
        file = self._folder / f"{self.name}.log"
        return file.read_text() if file.exists() else ""

    def start(self) -> Self:
        """Start it, and return when it accepts clients.

        Raises:
            NoServerError: it did not come up; its log says why.
        """
        while True:
            self.launch()
            try:
                self.wait_up()
            except PortTakenError:
                if self._was_up:  # its clients know the port
                    raise
                self.use_other_ports()
            else:
                return self

    def launch(self) -> None:
        """Start it, and do not wait."""
        assert not self.is_running, f"{self.name} is running"
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{self.name}.conf"
        file.write_text(self._configuration())
        self._log_begin = len(self.log)
        command = [executable(), "-c", str(file)]
        if self._machine is not None:
            command = self._machine.command(*command)
        self._will = LastWill()
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._will.change("kill", "-9", str(self.pid))

    def wait_up(self, within: float = UP_WITHIN) -> None:
        """Return when it accepts clients, and JetStream is ready; otherwise end it.

        Raises:
            NoServerError: it ended, or did not come up in time; its log says why.
        """
        deadline = time.monotonic() + within
        while self.is_running and time.monotonic() < deadline:
            if self._is_healthy():
                self._was_up = True
                return
            time.sleep(_PAUSE)
        self.kill()
        log = self.log[self._log_begin :]
        error = PortTakenError if "address already in use" in log else NoServerError
        raise error(f"{self.name} did not come up:\n{log[-_LOG_SHOWN:]}")

    def configure(self, config: str) -> None:
        """Have it read other text for `config` at its next start."""
        self._settings["config"] = config

    def use_other_ports(self) -> None:
        """Have it listen elsewhere from its next start on."""
        self.port, self._monitor_port = free_port(), free_port()

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """End it as a crash would, and start it again at its port, with its store."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Have it stand still, and return when it does: it keeps its connections, takes nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        self.is_paused = True
        while not all(_is_stopped(thread) for thread in Path(f"/proc/{self.pid}/task").iterdir()):
            time.sleep(_PAUSE)

    def resume(self) -> None:
        """Have it go on."""
        os.kill(self.pid, signal.SIGCONT)
        self.is_paused = False

    def ask(self, what: str) -> Any:
        """Return what its monitor reports: `varz`, `subsz`, `jsz?streams=1&config=1` and so on.

        Raises:
            OSError: it does not answer.
        """
        connection = HTTPConnection(self.host, self._monitor_port, timeout=5)
        if self._machine is not None:
            connection.sock = self._machine.connect(self._monitor_port, timeout=5)
        try:
            connection.request("GET", f"{self._monitor_path}/{what}")
            answer = connection.getresponse().read()
        except HTTPException as error:
            raise ConnectionError(f"{self.name} does not answer: {error!r}") from error
        finally:
            connection.close()
        return json.loads(answer)

    def varz(self) -> dict[str, Any]:
        """Return its state: counts of messages, connections, slow consumers and so on."""
        state: dict[str, Any] = self.ask("varz")
        return state

    def clients(self) -> list[dict[str, Any]]:
        """Return the connections of clients, with their `name` and `subscriptions_list`."""
        connections: list[dict[str, Any]] = self.ask("connz?subs=1")["connections"]
        return connections

    def neighbours(self) -> int:
        """Return how many servers of its cluster it has routes to, which may be several for each.

        Routes are pooled (nats-server 2.10 and later).
        """
        return len({route["remote_id"] for route in self.ask("routez")["routes"]})

    def streams(self) -> dict[str, dict[str, Any]]:
        """Return its streams by name, each with its `state`, `config`, `cluster` and consumers."""
        accounts = self.ask("jsz?accounts=1&streams=1&consumers=1&config=1")["account_details"]
        return {
            stream["name"]: stream
            for account in accounts
            for stream in account.get("stream_detail", ())
        }

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _configuration(self) -> str:
        places = (
            f'server_name: "{self.name}"',
            f"listen: {self.host}:{self.port}",
            f"http: {self.host}:{self._monitor_port}",
            f'http_base_path: "{self._monitor_path}"',
        )
        return "\n".join((*places, configuration({**self._settings, "store": self.store}), ""))

    def _is_healthy(self) -> bool:
        try:
            return bool(self.ask("healthz")["status"] == "ok")
        except (OSError, ValueError, KeyError):
            return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        self.is_paused = False
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # one that stands still hears it, too
        process.wait(UP_WITHIN)
        will, self._will = self._will, None
        if will is not None:
            will.revoke()


def _is_stopped(thread: Path) -> bool:
    """Return whether a thread stands still, or has ended (proc(5): the state follows the name)."""
    try:
        state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "TtZX"
