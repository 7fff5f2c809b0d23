"""A system whose history is written by a test, for rules that look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from civitas import AgentProcess, Message
from civitas.testing.simulation.faults import Fault, Faults
from civitas.testing.simulation.history import ACCEPTED, DONE, Handling, History, Sending
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.system import System
from civitas.testing.simulation.world import World
from civitas.topology import load_topology_mapping

CHILDREN = [
    {"agent": {"name": "a", "type": "it"}},
    {"agent": {"name": "b", "type": "it", "process": "w"}},
]


class Written:
    """A system whose history is written by a test."""

    def __init__(self, world: World, at_least_once: bool) -> None:
        topology = load_topology_mapping(
            {
                "transport": {"type": "simulation", "at_least_once": at_least_once},
                "supervision": {"name": "root", "max_restarts": 2, "children": CHILDREN},
            },
            agent_base=AgentProcess,
            agent_classes={"it": AgentProcess},
        )
        self.world = world
        self.system = System(world, topology, Faults())
        self.process = world.process("p")
        self.other = world.process("q")

    @property
    def history(self) -> History:
        return self.system.history

    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    def begin(self, *, asks: float | None = None) -> Sending:
        message = Message(sender="s", recipient="a")
        return self.history.sending(message, asks, is_ask=asks is not None)

    def send(self) -> Message:
        sending = self.begin()
        self.history.sent(sending, ACCEPTED)
        return sending.message

    def begin_handling(
        self, message: Message, number: int = 1, process: SimulatedProcess | None = None
    ) -> Handling:
        handling = self.history.handling("a", message, number)
        handling.process = process or self.process
        return handling

    def handle(self, message: Message, number: int = 1) -> None:
        self.history.handled_to(self.begin_handling(message, number), DONE)

    def faults(self, *kinds: str) -> None:
        self.system.plans.append(tuple(Fault(0.0, kind, "w") for kind in kinds))


def found(rule: Callable[[System], Iterator[str]], written: Written) -> list[str]:
    return list(rule(written.system))
