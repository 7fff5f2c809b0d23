"""BenchSystem: the primary of the command, and what it asks of the agents that are measured."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from civitas._node.build import components_of
from civitas.cli.bench.agents import UNTIL, EchoAgent, SinkAgent
from civitas.errors import MessageRoutingError, NotConnectedError, OutcomeUnknownError
from civitas.plugins.loader import capabilities_of
from civitas.process import AgentProcess
from civitas.runtime import Runtime
from civitas.supervisor import Supervisor

if TYPE_CHECKING:
    from civitas.topology import Topology

TIMEOUT: Final = 30.0
"""Seconds for a start, and for an answer."""

_LOST_AFTER: Final = 10.0

_AT_ONCE: Final = 256
"""Sends that are under way together where each is stored: one alone waits for the storage."""

_RETRY: Final = 0.01


class Names(NamedTuple):
    """What the parts of the system are called: like nothing else that may be there."""

    system: str
    worker: str
    echo: str
    sink: str

    @classmethod
    def random(cls) -> Names:
        """Return new names."""
        name = f"bench-{secrets.token_hex(4)}"
        return cls(name, f"{name}-worker", f"{name}-echo", f"{name}-sink")

    def agents(self) -> list[AgentProcess]:
        """Make the agents that are measured."""
        return [EchoAgent(self.echo), SinkAgent(self.sink)]


class StreamResult(NamedTuple):
    """What a stream came to: messages a second, and how many were lost."""

    rate: float
    lost: int


def with_options(topology: Topology, options: Any) -> Topology:
    """Return a topology whose transport has other options of its plugin."""
    return replace(topology, transport=replace(topology.transport, options=options))


class BenchSystem:
    """Asks and sends to the agents that are measured.

    Args:
        runtime: what asks and sends; it is started.
        names: the names of the agents.
        durable: whether each message is stored.
        lost_after: seconds after the last send in which all must be handled.
    """

    def __init__(
        self,
        runtime: Runtime,
        names: Names,
        *,
        durable: bool = False,
        lost_after: float = _LOST_AFTER,
    ) -> None:
        self._runtime = runtime
        self._names = names
        self._lost_after = lost_after
        self._at_once = _AT_ONCE if durable else 1
        self._sent = 0

    @classmethod
    @asynccontextmanager
    async def running(
        cls, topology: Topology, names: Names, *, alone: bool
    ) -> AsyncIterator[BenchSystem]:
        """Run the primary, with the agents in it where it is `alone`.

        Raises:
            CivitasError: it can't start.
        """
        transport = topology.transport
        assert transport.plugin is not None
        claims = capabilities_of(transport.plugin, transport.options, transport.where)
        agents = names.agents() if alone else []
        runtime = Runtime(
            Supervisor("bench", agents), components=components_of(topology, watched=False)
        )
        try:
            async with asyncio.timeout(TIMEOUT):
                await runtime.start()
        except TimeoutError:
            raise NotConnectedError(
                f"the transport did not connect within {TIMEOUT:g} s; is what it connects to there?"
            ) from None
        try:
            yield cls(runtime, names, durable=claims.at_least_once)
        finally:
            await runtime.stop()

    async def wait_ready(self) -> None:
        """Return when both agents have answered.

        Raises:
            NotConnectedError: they did not in time.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                while True:
                    try:
                        await self.ask(1, 1)
                        await self._counted(0, TIMEOUT)
                    except (MessageRoutingError, OutcomeUnknownError):
                        await asyncio.sleep(_RETRY)  # the worker is not found yet
                    else:
                        return
        except TimeoutError:
            raise NotConnectedError(
                f"the worker of this command was not reached within {TIMEOUT:g} s"
            ) from None

    async def ask(self, size: int, count: int) -> list[float]:
        """Ask one after the other with a text of so many bytes; return the seconds of each."""
        payload, echo, seconds = _payload(size), self._names.echo, []
        for _ in range(count):
            began = perf_counter()
            await self._runtime.ask(echo, payload, timeout=TIMEOUT)
            seconds.append(perf_counter() - began)
        return seconds

    async def stream(self, size: int, count: int) -> StreamResult:
        """Send as fast as the transport takes it, and wait until all is handled."""
        payload = _payload(size)
        began = perf_counter()
        numbers = iter(range(count))
        await asyncio.gather(*(self._send(payload, numbers) for _ in range(self._at_once)))
        self._sent += count
        try:
            await self._counted(self._sent, self._lost_after)
        except TimeoutError:
            handled = await self._counted(0, TIMEOUT)
            lost, self._sent = self._sent - handled, handled
            return StreamResult(0.0, lost)
        return StreamResult(count / (perf_counter() - began), 0)

    async def _send(self, payload: dict[str, Any], numbers: Iterable[int]) -> None:
        for _ in numbers:
            await self._runtime.send(self._names.sink, payload)

    async def _counted(self, count: int, timeout: float) -> int:
        """Return what the sink has counted, when it is at least `count`."""
        asked = {"count": count}
        answer = await self._runtime.ask(self._names.sink, asked, UNTIL, timeout=timeout)
        return int(answer.payload["count"])


def _payload(size: int) -> dict[str, Any]:
    return {"text": "x" * size}
