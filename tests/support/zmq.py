"""Builders for the tests of the zmq transport: addresses, options, transports and proxies."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from civitas import envelope
from civitas.envelope import Origin
from civitas.plugins import TransportContext
from civitas_zmq.options import CurveOptions, ZMQOptions
from civitas_zmq.transport import ZMQTransport

ORIGIN = Origin(b"8 bytes!", 1)
PATIENCE = 15.0
"""Seconds after which a test gives up waiting."""

# Below the ports that the system gives to connections, in an order of this process's own.
_ports = itertools.cycle(random.Random(os.getpid()).sample(range(12_000, 32_000), 4_000))
_nodes = itertools.count(1)


def free_address() -> str:
    """Return a tcp address where nobody listens."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return f"tcp://127.0.0.1:{port}"
    raise AssertionError("no port is free")


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


class Inbox:
    """A handler that keeps the frames that it gets."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    async def __call__(self, frame: bytes) -> None:
        self.frames.append(frame)

    async def first(self, count: int = 1) -> list[bytes]:
        """Wait for so many frames, and return all."""
        await until(lambda: len(self.frames) >= count)
        return self.frames


class Process:
    """A transport as a process has it, and what it reported to its node."""

    def __init__(self, options: ZMQOptions, *, primary: bool = False) -> None:
        self.link_events: list[str] = []
        self.drops: list[tuple[str, bytes]] = []
        self.transport = ZMQTransport(
            options,
            TransportContext(
                is_primary=primary,
                node=f"{next(_nodes):016x}",
                logger=logging.getLogger("civitas.tests.zmq"),
                dropped=lambda reason, frame: self.drops.append((reason, frame)),
                link_down=lambda _: self.link_events.append("down"),
                link_up=lambda: self.link_events.append("up"),
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


class ProxyProcess:
    """`civitas-zmq proxy` in a process of its own."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "proxy", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        assert self._process.stdout is not None
        self.first_line = self._process.stdout.readline()

    def close_output(self) -> None:
        """Read no more of its output, so that no descriptor of it stays open here."""
        assert self._process.stdout is not None
        self._process.stdout.close()

    def tell(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self._process.pid, number)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send it a signal, wait, and return its exit code."""
        if self._process.poll() is None:
            self.tell(number)
        with self._process:
            return self._process.wait(PATIENCE)


COMMAND = [sys.executable, "-c", "from civitas_zmq.cli import main; main()"]


@contextmanager
def proxy_at(options: ZMQOptions) -> Iterator[ProxyProcess]:
    """Run a proxy process at the options' addresses."""
    process = run_proxy(options)
    try:
        yield process
    finally:
        process.end()


def run_proxy(options: ZMQOptions) -> ProxyProcess:
    """Start a proxy process; the caller ends it."""
    places = ("--pub-addr", options.pub_addr, "--sub-addr", options.sub_addr)
    return ProxyProcess(*places)
