"""A transport whose frames are signed passes the kit like the one that carries them."""

from __future__ import annotations

import itertools
from typing import ClassVar

import pytest

from civitas._signing.signatures import ClusterKey
from civitas.plugins import Capabilities, TransportContext
from civitas.testing import TransportConformance
from civitas.testing.simulation.durable_transport import DurableTransport
from civitas.testing.simulation.network import SimulatedNetwork
from civitas.testing.simulation.stream_server import DurabilitySettings, StreamServer
from civitas.transport import Transport
from civitas.transport.signed_transport import SignedTransport, with_trailer
from conformance.test_simulation import LARGEST, ONE_PROCESS, QUICK, RealProcess, RealTime, Server
from support.local_bus.options import LocalBusOptions
from support.local_bus.testbed import BrokerProcess
from support.local_bus.transport import LocalBusTransport, capabilities_for

KEY = ClusterKey("the-key-of-the-kit")
LIMIT = 64 * 1024


def signed(
    transport: Transport, context: TransportContext, *, everything: bool = True
) -> SignedTransport:
    return SignedTransport(
        transport, KEY, everything=everything, dropped=context.dropped, logger=context.logger
    )


@pytest.fixture(scope="module")
def broker_process(tmp_path_factory):
    with BrokerProcess(tmp_path_factory.mktemp("bus") / "bus") as broker:
        yield broker


class TestSigned(TransportConformance):
    capabilities = with_trailer(
        capabilities_for(LocalBusOptions(path="bus", max_message_bytes=LIMIT))
    )
    elsewhere: ClassVar = {"survives_broker_restart": "the broker is in the first one's process"}

    @pytest.fixture
    def make_transport(self, tmp_path):
        options = LocalBusOptions(path=str(tmp_path / "bus"), max_message_bytes=LIMIT)
        return lambda context: signed(LocalBusTransport(options, context), context)


class TestControlSigned(TransportConformance):
    deviations: ClassVar = {
        "test_a_frame_over_the_limit_is_refused": "an agent's frames need no room for a trailer"
    }
    capabilities = with_trailer(
        capabilities_for(LocalBusOptions(path="bus", max_message_bytes=LIMIT))
    )
    elsewhere: ClassVar = {"survives_broker_restart": "the broker is in the first one's process"}

    @pytest.fixture
    def make_transport(self, tmp_path):
        options = LocalBusOptions(path=str(tmp_path / "bus"), max_message_bytes=LIMIT)
        return lambda context: signed(
            LocalBusTransport(options, context), context, everything=False
        )


class TestDurableSigned(TransportConformance):
    capabilities = with_trailer(
        Capabilities(
            cross_process=True,
            cross_machine=True,
            at_least_once=True,
            survives_broker_restart=True,
            max_message_bytes=LARGEST,
        )
    )
    plugin = "simulation"
    deviations: ClassVar = {"test_another_process_answers": ONE_PROCESS}

    @pytest.fixture
    def network(self, monkeypatch):
        monkeypatch.setattr("civitas.testing.simulation.durable_transport._PUBLISH_TIMEOUT", 2.0)
        return SimulatedNetwork(RealTime(), QUICK)

    @pytest.fixture
    def broker(self, network):
        return Server(network)

    @pytest.fixture
    def counts_backlog(self):
        """The transports count what waits."""

    @pytest.fixture
    def make_transport(self, network):
        numbers = itertools.count(1)
        server = StreamServer(network, DurabilitySettings(ack_wait=1.0, retry_delay=0.05))

        def make(context: TransportContext) -> SignedTransport:
            number = next(numbers)
            process = RealProcess(f"p{number}")
            carrier = DurableTransport(network, server, process, context, number, LARGEST)
            return signed(carrier, context)

        return make


@pytest.mark.slow
class TestSignedWithABrokerApart(TransportConformance):
    capabilities = with_trailer(capabilities_for(LocalBusOptions(path="bus")))

    @pytest.fixture
    def broker(self, broker_process):
        return broker_process

    @pytest.fixture
    def make_transport(self, broker):
        options = LocalBusOptions(path=broker.path, start_broker=False)
        return lambda context: signed(LocalBusTransport(options, context), context)
