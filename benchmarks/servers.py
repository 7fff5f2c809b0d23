"""Servers: a broker at a port of its own, which ends with the suite, however that ends."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from benchmarks.harness import MissingError

_TETHERED: Final = '"$@" & read -r _; kill $!; wait $!'
"""Runs a command until nobody is left who has the other end of its standard input."""

_PATIENCE: Final = 20.0
"""Seconds for a server to start."""

_LARGEST: Final = 16 << 20
"""Bytes of the largest message that a NATS server takes; its own default is 1 MiB."""

_UNREAD: Final = 1 << 30
"""Bytes that may wait for a client, which is cut off then; the default is 64 MiB, Redis has 32."""


def program(name: str) -> str:
    """Return where a program is. Debian keeps servers where only root looks.

    Raises:
        MissingError: it is not on this machine.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise MissingError(f"there is no {name} on PATH; `make programs` installs it")
    return found


@contextmanager
def nats_server() -> Iterator[str]:
    """Run a server with JetStream at a free port of the loopback interface; yield its URL.

    Raises:
        MissingError: there is no nats-server on this machine.
    """
    server = program("nats-server")
    with tempfile.TemporaryDirectory(prefix="civitas-benchmarks-") as folder:
        place, log = Path(folder), Path(folder) / "log"
        config = place / "nats.conf"
        config.write_text(f"max_payload: {_LARGEST}\nmax_pending: {_UNREAD}\n")
        # It chooses the port itself, and writes a file with it.
        where = ["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir", folder]
        store = ["--jetstream", "--store_dir", str(place / "store")]
        command = [server, "--config", str(config), *where, *store, "--log", str(log)]

        def url() -> str | None:
            for ports in place.glob("*.ports"):
                with suppress(ValueError):  # it is still being written
                    return str(json.loads(ports.read_text())["nats"][0])
            return None

        with _running(command, url, log) as found:
            yield found


@contextmanager
def redis_server() -> Iterator[str]:
    """Run a server at a free port of the loopback interface; yield its URL.

    Raises:
        MissingError: there is no redis-server on this machine.
    """
    server = program("redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="civitas-benchmarks-") as folder:
        log = Path(folder) / "log"
        where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", folder]
        unread = ["--client-output-buffer-limit", f"pubsub {_UNREAD} 0 0"]
        command = [server, *where, *unread, "--save", "", "--logfile", str(log)]

        def url() -> str | None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return f"redis://127.0.0.1:{port}"
            return None

        with _running(command, url, log) as found:
            yield found


@contextmanager
def _running(command: list[str], url: Callable[[], str | None], log: Path) -> Iterator[str]:
    # In a group of its own, since a Ctrl-C is for the parent alone.
    with subprocess.Popen(
        ["/bin/sh", "-c", _TETHERED, "sh", *command], stdin=subprocess.PIPE, process_group=0
    ):  # at the end the pipe is closed, and the process awaited
        deadline = monotonic() + _PATIENCE
        while (found := url()) is None:
            if monotonic() > deadline:
                told = log.read_text() if log.exists() else ""
                raise RuntimeError(f"{command[0]} did not start:\n{told}")
            sleep(0.01)
        yield found
