"""Systems whose nodes share a cluster's key, on real brokers, and a stranger on the same wire."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from civitas import AgentProcess, Message, Runtime, Supervisor, Worker
from civitas._signing.settings import FORMER_NODE, NOT_AUTHENTICATED, REPLAYED
from civitas.components import build_component_set
from civitas.errors import AgentError, MessageRoutingError
from support.agents import until
from support.nats.server import NatsServer
from support.redis.server import RedisServer
from support.zmq import ProxyProcess

KEY = "the-key-of-this-system"
WIRES = ("zmq", "nats", "jetstream", "redis")


class Broker(Protocol):
    """What stands in the middle of a wire."""

    def kill(self) -> None: ...
    def start(self) -> object: ...


class Wire(NamedTuple):
    """A transport block, and the broker that runs."""

    block: dict[str, Any]
    broker: Broker


@contextmanager
def wire_of(name: str, folder: Path) -> Iterator[Wire]:
    """Run a broker."""
    if name == "zmq":
        ends = [f"ipc://{folder}/{end}" for end in ("pub", "sub")]
        block = {"type": "zmq", "pub_addr": ends[0], "sub_addr": ends[1], "start_proxy": False}
        with ProxyProcess("--pub-addr", ends[0], "--sub-addr", ends[1]) as proxy:
            yield Wire(block, proxy)
    elif name == "redis":
        with RedisServer(folder / "server") as redis:
            yield Wire({"type": "redis", "url": redis.url}, redis)
    else:
        durable = name == "jetstream"
        with NatsServer(folder / "server", jetstream=durable) as nats:
            yield Wire({"type": "nats", "servers": nats.url, "jetstream": durable}, nats)


class Member(AgentProcess):
    """Counts what it is sent, and asks whom it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.handled: Counter[Any] = Counter()

    async def handle(self, message: Message) -> Message | None:
        self.handled[message.payload.get("n")] += 1
        other = message.payload.get("ask")
        if other is None:
            return self.reply({"by": self.name})
        answer = await self.ask(other, {"n": message.payload.get("n")}, timeout=10.0)
        return self.reply({"by": answer.payload["by"]})


class Nodes:
    """Nodes on one wire, each with an agent of the name of its process."""

    def __init__(self, wire: dict[str, Any], stack: AsyncExitStack) -> None:
        self.wire = wire
        self.all: dict[str, Runtime | Worker] = {}
        self.agents: dict[str, Member] = {}
        self._stack = stack

    async def start(self, name: str, **settings: Any) -> Runtime | Worker:
        """Start a node: the primary, or a worker of this name."""
        agent = self.agents[name] = Member(name)
        node: Runtime | Worker
        if name == "primary":
            node = Runtime(Supervisor("root", [agent]), transport=self.wire, **settings)
        else:
            node = Worker([agent], transport=self.wire, process=name, **settings)
        self.all[name] = node
        self._stack.push_async_callback(node.stop)
        await node.start()
        return node

    async def stop(self, name: str) -> None:
        """Stop a node."""
        await self.all.pop(name).stop()

    async def talk(self) -> None:
        """Have each agent ask each other one."""
        for name, node in self.all.items():
            for other in self.all:
                if other != name:
                    answer = await asked(node, name, {"ask": other, "n": "talk"})
                    assert answer.payload == {"by": other}

    def dropped(self, reason: str) -> int:
        """Return how many frames all nodes have dropped for a reason."""
        return sum(node.stats().dropped.get(reason, 0) for node in self.all.values())

    @property
    def refused(self) -> dict[str, int]:
        """What the nodes did not believe, by reason."""
        counts = {r: self.dropped(r) for r in (NOT_AUTHENTICATED, REPLAYED, FORMER_NODE)}
        return {reason: count for reason, count in counts.items() if count}


async def asked(node: Runtime | Worker, agent: str, payload: dict[str, Any]) -> Message:
    """Ask an agent, whose node this one may have to meet still."""
    async with asyncio.timeout(20.0):
        while True:
            with suppress(MessageRoutingError, AgentError):
                return await node.ask(agent, payload, timeout=10.0)


@asynccontextmanager
async def nodes_on(wire: dict[str, Any]) -> AsyncIterator[Nodes]:
    """Make nodes, and stop in the end those that live, the last one first."""
    async with AsyncExitStack() as stack:
        yield Nodes(wire, stack)


class Stranger:
    """Who reaches the wire and has no key: hears what is published, and publishes what it likes.

    It speaks by another transport than it hears by, which would keep its own frames to itself.
    """

    def __init__(self, wire: dict[str, Any]) -> None:
        ears, mouth = (build_component_set(wire, is_primary=False, process=n) for n in "ab")
        self._ears, self._mouth = ears.transport, mouth.transport
        self.heard: list[tuple[str, bytes]] = []

    async def __aenter__(self) -> Stranger:
        await self._ears.start()
        await self._mouth.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ears.stop()
        await self._mouth.stop()

    async def listen(self, *addresses: str) -> None:
        """Record what comes at some addresses."""
        for address in addresses:

            async def note(frame: bytes, address: str = address) -> None:
                self.heard.append((address, frame))

            await self._ears.subscribe(address, note)
        await self._ears.wait_ready()

    async def heard_at(self, address: str, count: int = 1) -> list[bytes]:
        """Wait for frames at an address, and return them."""

        def frames() -> list[bytes]:
            return [frame for where, frame in self.heard if where == address]

        await until(lambda: len(frames()) >= count)
        return frames()

    async def say(self, address: str, *frames: bytes) -> None:
        """Publish frames."""
        for frame in frames:
            await self._mouth.publish(address, frame)
