"""Control planes for tests, and the wire between them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from civitas._cluster.control_plane import CONTROL_NAME, ControlPlane, TaskRunner
from civitas._cluster.events import Event, NodeSeen
from civitas._cluster.liveness import STALLED, OwnNode
from civitas._cluster.membership import Membership
from civitas._cluster.protocol import (
    ControlMessage,
    NodeInfo,
)
from civitas._platform import ThreadRunner
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas.envelope import Origin
from civitas.errors import NotConnectedError
from civitas.transport import Handler

DEADLINE = 20.0
FAST = HeartbeatPolicy(interval=0.2, timeout=5.0, threshold=3)


class Wire:
    """What the transports of one test have in common; each of them may live in its own thread."""

    def __init__(self) -> None:
        self.ends: list[WireTransport] = []
        self.said: list[tuple[str, bytes]] = []
        """Everything that was published, in order."""

    def end(self, **options: Any) -> WireTransport:
        self.ends.append(WireTransport(self, **options))
        return self.ends[-1]


class WireTransport:
    """Carries frames between the event loops of several threads."""

    def __init__(
        self, wire: Wire, *, fails: BaseException | None = None, gate: threading.Event | None = None
    ) -> None:
        self._wire = wire
        self._fails = fails
        self._gate = gate
        self._handlers: dict[str, list[Handler]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.stops = 0
        self.thread: threading.Thread | None = None

    async def start(self) -> None:
        self.thread = threading.current_thread()
        self._loop = asyncio.get_running_loop()
        while self._gate is not None and not self._gate.is_set():
            await asyncio.sleep(0)
        if self._fails is not None:
            raise self._fails

    async def stop(self) -> None:
        self.stops += 1
        self._loop = None
        self._handlers.clear()

    async def subscribe(self, address: str, handler: Handler) -> None:
        self._handlers.setdefault(address, []).append(handler)

    async def publish(self, address: str, data: bytes) -> None:
        if self._loop is None:
            raise NotConnectedError("not started")
        self._wire.said.append((address, data))
        await asyncio.sleep(0)
        for end in self._wire.ends:
            end.arrive(address, data)

    def arrive(self, address: str, data: bytes) -> None:
        loop = self._loop
        if loop is None:
            return
        for handler in self._handlers.get(address, ()):
            loop.call_soon_threadsafe(handler.take, data)  # type: ignore[attr-defined]

    async def request(self, address: str, data: bytes, timeout: float) -> bytes:
        raise NotImplementedError

    async def wait_ready(self) -> None:
        pass

    def has_reply_address(self, address: str) -> bool:
        return False


class PlaneNode:
    """A node's loop, reduced to what a control plane needs of it."""

    def __init__(self, transport: WireTransport, label: int, role: str, shared: bool) -> None:
        self.origin = Origin(bytes([label]) * 8, 1)
        self.id = self.origin.node.hex()
        self.events: list[Event] = []
        self.dropped: list[str] = []
        self.failures: list[BaseException] = []
        self.told: Callable[[Event], None] = self._keep
        self.threads: set[threading.Thread] = set()
        self.beaten_at = time.monotonic()
        self.transport = transport
        process = "supervisor" if role == "primary" else f"process{label}"
        info = NodeInfo(self.id, 1, process, role, {f"agent{label}": ("running", 0)})
        policies = {f"agent{n}": FAST for n in range(9)}
        self.made: list[Membership] = []
        own = OwnNode(self.agents, self.stalled, self.counters)

        def make(
            send: Callable[[str, ControlMessage], None], tell: Callable[[Event], None]
        ) -> Membership:
            self.made.append(Membership(info, own, send, tell, set(), policies))
            return self.made[0]

        self.plane = ControlPlane(
            transport,
            self.origin,
            make,
            lambda event: self.told(event),  # noqa: PLW0108 - tests replace it
            lambda reason, _frame: self.dropped.append(reason),
            self.failures.append,
            owns_transport=not shared,
            runner=TaskRunner(self.failures.append) if shared else ThreadRunner(CONTROL_NAME),
        )

    def agents(self) -> Mapping[str, tuple[str, int]]:
        return {}

    def stalled(self) -> float:
        silent = time.monotonic() - self.beaten_at
        return silent if silent > STALLED else 0.0

    def counters(self) -> Mapping[str, Any]:
        return {}

    def heard(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def join(self) -> None:
        self.plane.post(lambda members, now: members.join(now))

    def _keep(self, event: Event) -> None:
        self.threads.add(threading.current_thread())
        self.events.append(event)
        if isinstance(event, NodeSeen):
            node = event.info.node
            self.plane.post(lambda members, now: members.admit(node, now))


def node(
    wire: Wire, label: int = 1, role: str = "worker", *, shared: bool = False, **options: Any
) -> PlaneNode:
    return PlaneNode(wire.end(**options), label, role, shared)


@asynccontextmanager
async def running(*nodes: PlaneNode) -> AsyncIterator[None]:
    try:
        for each in nodes:
            await each.plane.start()
            each.join()
        yield
    finally:
        for each in nodes:
            await each.plane.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)
