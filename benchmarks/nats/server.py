"""Server: a nats-server at a port of its own, which ends with the suite, however that ends."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from benchmarks.harness import MissingError

_TETHERED: Final = '"$@" & read -r _; kill $!; wait $!'
"""Runs a command until nobody is left who has the other end of its standard input."""

_PATIENCE: Final = 20.0
"""Seconds for the server to start."""


@contextmanager
def nats_server() -> Iterator[str]:
    """Run a server with JetStream at a free port of the loopback interface; yield its URL.

    Raises:
        MissingError: there is no nats-server on this machine.
    """
    program = _program()
    with tempfile.TemporaryDirectory(prefix="civitas-benchmarks-") as folder:
        place, log = Path(folder), Path(folder) / "log"
        # It chooses the port itself, and writes a file with it.
        where = ["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir", folder]
        store = ["--jetstream", "--store_dir", str(place / "store")]
        command = [program, *where, *store, "--log", str(log)]
        with subprocess.Popen(
            ["/bin/sh", "-c", _TETHERED, "sh", *command], stdin=subprocess.PIPE
        ):  # at the end the pipe is closed, and the process awaited
            yield _url(place, log)


def _program() -> str:
    """Return where nats-server is. Debian keeps it where only root looks."""
    found = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/sbin")
    if found is None:
        raise MissingError("there is no nats-server on PATH; `make programs` installs it")
    return found


def _url(place: Path, log: Path) -> str:
    deadline = monotonic() + _PATIENCE
    while monotonic() < deadline:
        for ports in place.glob("*.ports"):
            with suppress(ValueError):  # it is still being written
                return str(json.loads(ports.read_text())["nats"][0])
        sleep(0.01)
    raise RuntimeError(f"nats-server did not start:\n{log.read_text() if log.exists() else ''}")
