"""The rows: asks and streams between processes, and the start of a worker."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks import ours
from benchmarks.child import Child
from benchmarks.harness import Effort, Pairing, Row, Work, one, pair
from benchmarks.payloads import fewer

ASKS: Final = 400
STREAM: Final = 10_000
PATIENCE: Final = 20.0
LARGEST: Final = 16 << 20

TCP: Final = "raw pyzmq through a proxy, tcp"
INPROC: Final = "raw pyzmq through a proxy, its own process over inproc"

ASK_TARGETS: Final = {"100 B": 1.15, "1 MiB": 1.5}
STREAM_TARGETS: Final = {"100 B": 1.2}

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


def options_at(addresses: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Return the options of ours, at these addresses."""
    return dict(zip(("zmq_pub_addr", "zmq_sub_addr"), addresses, strict=True)) | more


@contextmanager
def raw_client(hop: str, servers: int = 1) -> Iterator[Child]:
    """Run the processes of a floor; yield the one that asks, which reaches the proxy by `hop`."""
    addresses = free_addresses()
    with ExitStack() as stack:
        for number in range(servers):
            stack.enter_context(Child("processes.raw", "server", *addresses, str(number)))
        yield stack.enter_context(Child("processes.raw", "client", *addresses, hop, str(servers)))


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
            self._primary("answered", agents=["fresh"])
            return (perf_counter() - began) * 1e3
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(PATIENCE)


def _imports() -> float:
    began = perf_counter()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return (perf_counter() - began) * 1e3


def by_size(
    effort: Effort,
    place: str,
    floors: dict[str, Child],
    primary: Child,
    asks: dict[str, float],
    streams: dict[str, float],
) -> Iterator[Row]:
    """Measure asks and streams between two processes, by the size of their payload.

    Args:
        effort: how much.
        place: what names the rows, such as `zmq`.
        floors: the processes that ask, by what each floor is.
        primary: the process of ours.
        asks: targets of asks, by the name of a size.
        streams: those of streams.
    """
    for name, size in effort.sizes().items():
        count = {"count": effort.count(fewer(ASKS, size)), "size": size}
        yield from Pairing(
            {each: lambda c=child, m=count: c("ask", **m) for each, child in floors.items()},
            lambda m=count: primary("ask", **m),
            [
                Work("p50", f"ask over {place}, {name} (p50)", asks.get(name)),
                Work("p99", f"ask over {place}, {name} (p99)"),
            ],
            key=f"{place} ask",
            at=size,
        ).rows(effort)
    for name, size in effort.sizes().items():
        count = {"count": effort.count(fewer(STREAM, size)), "size": size}
        yield from Pairing(
            {each: lambda c=child, m=count: c("stream", **m) for each, child in floors.items()},
            lambda m=count: primary("stream", **m),
            [Work("each", f"stream over {place}, {name}", streams.get(name))],
            key=f"{place} stream",
            at=size,
        ).rows(effort)


def rows(effort: Effort) -> Iterator[Row]:
    """Measure asks, streams and starts, with all processes kept but those that are started."""
    addresses = free_addresses()
    options = options_at(addresses)
    with (
        tempfile.TemporaryDirectory() as folder,
        ours.primary("in_process") as alone,
        ours.primary("zmq", options) as primary,
        ours.worker("zmq", options),
        raw_client("tcp") as over_tcp,
        raw_client("inproc") as over_inproc,
    ):
        primary("answered", agents=["far", "sink"])
        floors = {TCP: over_tcp, INPROC: over_inproc}
        yield from by_size(effort, "zmq", floors, primary, ASK_TARGETS, STREAM_TARGETS)
        near = {"agents": ["near"], "count": effort.count(ASKS)}
        yield from Pairing(
            {"ours on in_process": lambda: alone("ask", **near)},
            lambda: primary("ask", **near),
            [Work("p50", "ask within a process on zmq (p50)", 1.1)],
        ).rows(effort)
        yield from pair(
            "start of a worker until it answers",
            "ms",
            "an import of the libraries that it needs",
            one(_imports),
            one(_Start(primary, Path(folder), addresses)),
            1.5,
        ).rows(effort)


def many_agents(effort: Effort) -> Iterator[Row]:
    """Measure asks to many agents of another process, in turn."""
    count = effort.count(ASKS)
    for agents in (100, 10_000):
        number = effort.count(agents)
        names = [f"echo_{each}" for each in range(number)]
        options = options_at(free_addresses())
        with (
            ours.primary("zmq", options) as primary,
            ours.worker("zmq", options, agents={"far": "Echo"}, many=number),
        ):
            primary("answered", agents=["far", *names])
            yield from Pairing(
                {"ours with one agent": lambda p=primary: p("ask", count=count)},
                lambda p=primary, n=names: p("ask", count=count, agents=n),
                [Work("p50", f"ask to {agents:,} agents of a worker in turn (p50)")],
                key="zmq agents",
                at=agents,
            ).rows(effort)
