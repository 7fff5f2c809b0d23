"""The simulated transports pass the kit, on real time: a network needs no simulated world."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections.abc import Callable
from typing import ClassVar

import pytest

from civitas.plugins import Capabilities, TransportContext
from civitas.testing import TransportConformance
from civitas.testing.simulation.dead_letter_store import SimulatedDeadLetterStore
from civitas.testing.simulation.durable_transport import DurableTransport
from civitas.testing.simulation.network import Conditions, SimulatedNetwork
from civitas.testing.simulation.stream_server import DurabilitySettings, StreamServer
from civitas.testing.simulation.transport import SimulatedTransport

QUICK = Conditions(delay=(0.0, 0.002), spike=0.0)
ONE_PROCESS = "a simulated network is an object of one process"


class RealTime:
    """A timeline that is the running event loop's."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def global_now(self) -> float:
        return time.monotonic()

    def at(self, when: float, call: Callable[[], object]) -> None:
        heapq.heappush(self._due, (when, next(self._numbers), call))
        asyncio.get_running_loop().call_later(max(when - time.monotonic(), 0.0), self._run)

    def _run(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic() + 1e-3:
            heapq.heappop(self._due)[2]()

    def random(self, purpose: str) -> random.Random:
        return random.Random(purpose)

    def note(self, fact: str) -> None:
        pass


class RealProcess:
    """A process that is never killed."""

    alive = True

    def __init__(self, label: str) -> None:
        self.label = label


class Server:
    """The server in the middle, for the kit's tests of outages."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network

    def kill(self) -> None:
        self._network.server_down("killed")

    def start(self) -> None:
        self._network.server_up()


LARGEST = 2 * 1024 * 1024


class ConformanceOfSimulation(TransportConformance):
    capabilities = Capabilities(
        cross_process=True,
        cross_machine=True,
        survives_broker_restart=True,
        max_message_bytes=LARGEST,
    )
    plugin = "simulation"
    deviations: ClassVar = {"test_another_process_answers": ONE_PROCESS}

    @pytest.fixture
    def network(self):
        return SimulatedNetwork(RealTime(), QUICK)

    @pytest.fixture
    def broker(self, network):
        return Server(network)


class TestSimulated(ConformanceOfSimulation):
    @pytest.fixture
    def make_transport(self, network):
        numbers = itertools.count(1)

        def make(context: TransportContext) -> SimulatedTransport:
            number = next(numbers)
            return SimulatedTransport(network, RealProcess(f"p{number}"), context, number, LARGEST)

        return make


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish gives up within the kit's patience."""
    monkeypatch.setattr("civitas.testing.simulation.durable_transport._PUBLISH_TIMEOUT", 2.0)


class TestDurable(ConformanceOfSimulation):
    capabilities = Capabilities(
        cross_process=True,
        cross_machine=True,
        at_least_once=True,
        survives_broker_restart=True,
        max_message_bytes=LARGEST,
    )
    variant = "at_least_once: true"

    @pytest.fixture
    def server(self, network):
        return StreamServer(network, DurabilitySettings(ack_wait=1.0, retry_delay=0.05))

    @pytest.fixture
    def make_dead_letters(self, network, server):
        numbers = itertools.count(100)

        def make() -> SimulatedDeadLetterStore:
            number = next(numbers)
            process, context = RealProcess(f"p{number}"), TransportContext()
            return SimulatedDeadLetterStore(network, server, process, context, number, 1.0)

        return make

    @pytest.fixture
    def counts_backlog(self):
        """The transports count what waits."""

    @pytest.fixture
    def make_transport(self, network, server):
        numbers = itertools.count(1)

        def make(context: TransportContext) -> DurableTransport:
            number = next(numbers)
            process = RealProcess(f"p{number}")
            return DurableTransport(network, server, process, context, number, LARGEST)

        return make
