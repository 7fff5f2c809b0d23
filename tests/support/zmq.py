"""Builders for the tests of the zmq transport: addresses, options, transports and proxies."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from civitas import envelope
from civitas.envelope import Origin
from civitas.plugins import TransportContext
from civitas_zmq.options import CurveOptions, ZMQOptions
from civitas_zmq.sockets import TOPIC_END
from civitas_zmq.transport import ZMQTransport
from support.ports import free_port

ORIGIN = Origin(b"8 bytes!", 1)
PATIENCE = 30.0
"""Seconds after which a test gives up waiting."""

_nodes = itertools.count(1)


def free_address() -> str:
    """Return a tcp address where nobody listens."""
    return f"tcp://127.0.0.1:{free_port()}"


def options_for(**options: Any) -> ZMQOptions:
    """Return options with free addresses."""
    return ZMQOptions(**{"pub_addr": free_address(), "sub_addr": free_address(), **options})


def with_keys(options: ZMQOptions, server: Any, client: Any, **others: Any) -> ZMQOptions:
    """Return options with keys, those of the proxy included."""
    curve = CurveOptions(
        server_public_key=server.public_key,
        server_secret_key=server.secret_key,
        public_key=client.public_key,
        secret_key=client.secret_key,
    )
    return ZMQOptions(**{**options.model_dump(), "curve": curve.model_dump(), **others})


def frame_of(body: bytes = b"") -> bytes:
    """Return a frame."""
    return envelope.seal(body, "msgpack", ORIGIN)


def frame_in(parts: list[bytes]) -> bytes:
    """Return the frame in a message that was read with a bare socket."""
    return b"".join(parts).partition(TOPIC_END)[2]


class Inbox:
    """A handler that keeps the frames that it gets."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._news = asyncio.Condition()

    async def __call__(self, frame: bytes) -> None:
        self.frames.append(frame)
        async with self._news:
            self._news.notify_all()

    async def first(self, count: int = 1) -> list[bytes]:
        """Wait for so many frames, and return all. Thousands may wait: it looks at none of them."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.frames) >= count)
        return self.frames


class Process:
    """A transport as a process has it, and what it reported to its node."""

    def __init__(self, options: ZMQOptions, *, primary: bool = False) -> None:
        self.options = options
        self.link_events: list[str] = []
        self.drops: list[tuple[str, bytes]] = []
        self.failures: list[BaseException] = []
        self.transport = ZMQTransport(
            options,
            TransportContext(
                is_primary=primary,
                node=f"{next(_nodes):016x}",
                logger=logging.getLogger("civitas.tests.zmq"),
                dropped=lambda reason, frame: self.drops.append((reason, frame)),
                link_down=lambda _: self.link_events.append("down"),
                link_up=lambda: self.link_events.append("up"),
                failed=self.failures.append,
            ),
        )

    async def listen(self, *addresses: str) -> list[Inbox]:
        """Subscribe to addresses, not yet proved."""
        inboxes = [Inbox() for _ in addresses]
        for address, inbox in zip(addresses, inboxes, strict=True):
            await self.transport.subscribe(address, inbox)
        return inboxes


@asynccontextmanager
async def started(*processes: Process) -> AsyncIterator[list[ZMQTransport]]:
    """Start transports, wait until all are ready, and stop them in reverse."""
    transports = [process.transport for process in processes]
    try:
        for transport in transports:
            await transport.start()
        for transport in transports:
            await within(transport.wait_ready())
        yield transports
    finally:
        for transport in reversed(transports):
            await within(transport.stop())


async def within(work: Any, seconds: float = PATIENCE) -> Any:
    """Return what is awaited; fail when it takes too long."""
    async with asyncio.timeout(seconds):
        return await work


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


COMMAND = [sys.executable, "-c", "from civitas_zmq.cli import main; main()"]


class ProxyProcess:
    """`civitas-zmq proxy` in a process of its own. Use it as a context.

    Attributes:
        first_line: what it has printed, which says that it is ready.

    Args:
        arguments: those of the command.
        environment: variables of its environment, beside those of this process.
    """

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.first_line = ""
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, for the first time or again; return when it has printed its first line."""
        self._process = subprocess.Popen(
            [*COMMAND, "proxy", *self._arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **self._environment},
        )
        assert self._process.stdout is not None
        with self._process.stdout as output:  # it prints no more
            self.first_line = output.readline()

    def memory(self) -> int:
        """Return the bytes of memory that it has now."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        [line] = (line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) << 10

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal, wait, and return its exit code."""
        process, self._process = self._process, None
        assert process is not None, "the proxy is not running"
        process.send_signal(number)
        return process.wait(PATIENCE)

    def kill(self) -> None:
        """End it as a crash would, if it runs."""
        if self._process is not None:
            self.end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it stand still: it keeps its connections, and takes and gives nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # the signal takes its time

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def proxy_at(options: ZMQOptions) -> ProxyProcess:
    """Return a proxy at the options' addresses, not started yet."""
    return ProxyProcess("--pub-addr", options.pub_addr, "--sub-addr", options.sub_addr)


def proxy_with(folder: Path, options: ZMQOptions) -> ProxyProcess:
    """Return a proxy with all of the options, not started yet."""
    topology = folder / "topology.yaml"
    block = options.model_dump(mode="json", exclude_defaults=True)
    topology.write_text(json.dumps({"transport": {"type": "zmq", **block}}))
    return ProxyProcess("--topology", str(topology))
