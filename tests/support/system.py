"""One system for a test: the same agents on any transport, in one node or spread over several."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import pytest

from civitas import AgentProcess, Runtime, Supervisor, Worker
from civitas._node.counters import AgentStats
from civitas._supervision.remote import RemoteChild
from civitas.components import build_component_set
from civitas.errors import MailboxFullError
from support.agents import SOON, fill, until
from support.ledger import Ledger

PRIMARY = 0

PLENTY: Final = 100
"""Messages that are more than an agent of these tests has room for."""

PLACES: Final = {
    "in_process": (0,),
    "local_bus": (0,),
    "local_bus primary worker worker": (0, 1, 2),
    "local_bus worker worker primary": (1, 2, 0),
    "ledger": (0,),
    "zmq worker primary": (1, 0),
    "nats worker primary": (1, 0),
    "jetstream worker primary": (1, 0),
    "redis worker primary": (1, 0),
}
"""A transport, and the nodes of the first agent, the second, and so on; 0 is the primary.

Each is of a kind of its own: one node without any other, and on a transport that reaches others;
who asks in the primary, and in a worker; a transport that keeps messages, within one node; and
each transport of ours between two, where all goes over the wire. Within one node those hand over
what local_bus does, by the same `InProcessTransport`.
"""

SPREAD: Final = [name for name, nodes in PLACES.items() if len(nodes) > 1]


@dataclass(frozen=True)
class Place:
    """Where agents live: on which transport, and in which node each.

    Attributes:
        transport: the transport, as Runtime and Worker take it.
        nodes: the node of the first agent, of the second, and so on, round and round; 0 is the
            primary, the others are workers.
        deliveries: how often a message is given that fails each time; more than once only where
            the transport is at-least-once.
    """

    transport: Any = "in_process"
    nodes: Sequence[int] = (PRIMARY,)
    deliveries: int = 1

    @property
    def at_least_once(self) -> bool:
        """Whether the transport keeps a message until it is processed, and gives it again."""
        return self.deliveries > 1

    @property
    def spread(self) -> bool:
        """Whether there is more than one node."""
        return set(self.nodes) != {PRIMARY}

    def of(self, index: int) -> int:
        """Return the node of the agent with this index."""
        return self.nodes[index % len(self.nodes)]


@dataclass
class System:
    """A running system: a runtime and the workers beside it, at a place."""

    runtime: Runtime
    workers: list[Worker]
    place: Place

    def __post_init__(self) -> None:
        self.ask = self.runtime.ask
        self.send = self.runtime.send
        self.broadcast = self.runtime.broadcast
        self.on_crash = self.runtime.on_crash

    @property
    def nodes(self) -> list[Runtime | Worker]:
        """All nodes, the primary first."""
        return [self.runtime, *self.workers]

    def node_of(self, name: str) -> Runtime | Worker:
        """Return the node that hosts an agent."""
        return next(node for node in self.nodes if node.get_agent(name) is not None)

    def agent(self, name: str) -> Any:
        """Return the agent's current object."""
        return self.node_of(name).get_agent(name)

    def stats(self, name: str) -> AgentStats:
        """Return the counters of an agent."""
        stats = self.node_of(name).stats()
        return next(each for each in stats.agents if each.name == name)

    @property
    def dropped(self) -> dict[str, int]:
        """The dead letters of all nodes, by reason."""
        return dict(sum((Counter(node.stats().dropped) for node in self.nodes), Counter[str]()))

    @property
    def lost(self) -> int:
        """The frames that were lost on the way to agents of all nodes."""
        return sum(sum(node.stats().lost.values()) for node in self.nodes)

    @property
    def sent(self) -> int:
        """The messages that all nodes have sent."""
        return sum(node.stats().sent for node in self.nodes)

    @property
    def restarts(self) -> int:
        """The restarts of all agents."""
        return sum(node.stats().restarts for node in self.nodes)

    def on_dead_letter(self, callback: Callable[[Any, str], None]) -> None:
        """Hear of the dead letters of all nodes."""
        for node in self.nodes:
            node.on_dead_letter(callback)

    async def fill(self, name: str) -> int:
        """Send to an agent that handles nothing while there is room; return what was accepted.

        A transport that keeps messages has always room: there it is more than a mailbox holds.
        """
        if not self.place.at_least_once:
            return await fill(self, name)
        for n in range(PLENTY):
            await self.send(name, {"n": n})
        return PLENTY

    def finding_no_room(self, match: str | None = None) -> AbstractContextManager[Any]:
        """What is sent within finds a full mailbox, unless the transport keeps messages."""
        if self.place.at_least_once:
            return nullcontext()
        return pytest.raises(MailboxFullError, match=match)

    async def queued(self, name: str, count: int) -> None:
        """Wait until so many messages wait in an agent's mailbox.

        A transport that keeps messages gives one at a time: there the others wait with it.
        """
        if not self.place.at_least_once:
            await until(lambda: self.stats(name).mailbox_depth >= count)

    async def ended(self) -> int:
        """Wait until the runtime has ended, and return its exit code."""
        return await asyncio.wait_for(self.runtime.wait(), SOON)


@dataclass
class _Plan:
    """The agents of each node, and the names that stand for those of workers."""

    place: Place
    agents: dict[int, list[AgentProcess]] = field(default_factory=dict)
    processes: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def put(self, tree: Supervisor) -> None:
        """Take the agents of workers out of a tree."""
        tree.children[:] = [self._child(child) for child in tree.children]

    def _child(self, child: Any) -> Any:
        if isinstance(child, Supervisor):
            self.put(child)
            return child
        node = self.place.of(self.count)
        process = _process(node)
        self.count += 1
        self.processes[child.name] = process
        if node == PRIMARY:
            return child
        self.agents.setdefault(node, []).append(child)
        return RemoteChild(child.name, process)


@asynccontextmanager
async def running(
    place: Place,
    children: Iterable[AgentProcess | Supervisor],
    *,
    send_timeout: float = 30.0,
    serializer: Any = None,
    instruments: Iterable[Any] = (),
    **supervision: Any,
) -> AsyncIterator[System]:
    """Start agents at a place, all nodes at once, and stop them at the end.

    Args:
        place: which transport, and which node for which agent.
        children: agents, and supervisors with agents, of the root supervisor.
        send_timeout: as for `build_component_set`.
        serializer: as for `build_component_set`.
        instruments: the same objects for every node.
        **supervision: arguments of the root supervisor.
    """
    root = Supervisor("root", children, **{"backoff_base": 0.0, **supervision})
    plan = _Plan(place)
    plan.put(root)

    def components(node: int) -> Any:
        process = _process(node)
        ledger = place.transport if isinstance(place.transport, Ledger) else None
        make = ledger.components if ledger else partial(build_component_set, place.transport)
        made = make(
            serializer,
            send_timeout=send_timeout,
            instruments=instruments,
            process=process,
            is_primary=node == PRIMARY,
        )
        elsewhere = {name: host for name, host in plan.processes.items() if host != process}
        made.bus.routes.expected.update(elsewhere)  # as from a topology
        return made

    runtime = Runtime(root, components=components(PRIMARY))
    workers = [
        Worker(agents, components=components(node)) for node, agents in sorted(plan.agents.items())
    ]
    try:
        async with asyncio.timeout(SOON):
            await asyncio.gather(*(node.start() for node in (runtime, *workers)))
            await _all_up(runtime, [each.name for each in root.remote_children()])
        yield System(runtime, workers, place)
    finally:
        await asyncio.gather(*(worker.stop() for worker in workers))
        await runtime.stop()


def _process(node: int) -> str:
    return "supervisor" if node == PRIMARY else f"worker-{node}"


async def _all_up(runtime: Runtime, names: list[str]) -> None:
    """Wait until the primary knows the agents of its workers."""
    while not all(runtime.components.registry.has(name) for name in names):
        await asyncio.sleep(0.005)
