"""The rows: asks and streams between processes, and the start of a worker."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks.child import Child
from benchmarks.harness import Row, paired

ASKS: Final = 400
STREAM: Final = 10_000
PATIENCE: Final = 20.0

CIVITAS: Final = Path(sys.executable).with_name("civitas")
LIBRARIES: Final = (
    "import asyncio, pluggy, importlib_metadata, msgpack, yaml, typer, zmq;"
    "from pydantic import BaseModel"
)

TOPOLOGY: Final = """
transport: {type: zmq, pub_addr: "%s", sub_addr: "%s"}
supervision:
  name: root
  children:
    - agent: {name: fresh, type: benchmarks.crew.Echo, process: fresh}
"""


def free_addresses() -> tuple[str, str]:
    """Return two addresses at free ports."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        first, second = (f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in (one, two))
    return first, second


class _Start:
    """The start of a worker, until its agent answers the primary."""

    def __init__(self, primary: Child, folder: Path, addresses: tuple[str, str]) -> None:
        self._primary = primary
        self._topology = folder / "topology.yaml"
        self._topology.write_text(TOPOLOGY % addresses)

    def __call__(self) -> float:
        """Start one, and end it; return the milliseconds of the start."""
        command: list[Any] = [CIVITAS, "run", self._topology, "--process", "fresh"]
        began = perf_counter()
        worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._primary("answered", agent="fresh")
            return (perf_counter() - began) * 1e3
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(PATIENCE)


def _imports() -> float:
    began = perf_counter()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return (perf_counter() - began) * 1e3


def rows() -> list[Row]:
    """Measure asks, streams and starts, with all processes kept but those that are started."""
    ours, raw = free_addresses(), free_addresses()
    with (
        tempfile.TemporaryDirectory() as folder,
        Child("processes.ours", "alone") as alone,
        Child("processes.ours", "primary", *ours) as primary,
        Child("processes.ours", "worker", *ours),
    ):
        kinds = json.dumps(primary("capture", sub_addr=ours[1]))
        with (
            Child("processes.raw", "server", *raw, kinds),
            Child("processes.raw", "client", *raw, kinds) as client,
        ):
            return [
                paired(
                    "ask between two processes, zmq (p50)",
                    "us",
                    lambda: client("ask", count=ASKS),
                    lambda: primary("ask", agent="far", count=ASKS),
                    1.3,
                ),
                paired(
                    "stream between two processes, zmq",
                    "us",
                    lambda: client("stream", count=STREAM),
                    lambda: primary("stream", count=STREAM),
                    2.0,
                ),
                paired(
                    "ask within a process, zmq against in_process (p50)",
                    "us",
                    lambda: alone("ask", agent="near", count=ASKS),
                    lambda: primary("ask", agent="near", count=ASKS),
                    1.2,
                ),
                paired(
                    "start of a worker until it answers",
                    "ms",
                    _imports,
                    _Start(primary, Path(folder), ours),
                    2.0,
                    turns=2,
                ),
            ]
