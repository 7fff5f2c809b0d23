"""The local bus passes the kit: with a broker apart, and with that of a primary process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from civitas.testing import TransportConformance
from support.local_bus.options import LocalBusOptions
from support.local_bus.testbed import BrokerProcess
from support.local_bus.transport import LocalBusTransport, capabilities_for

LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def broker_process(tmp_path_factory):
    with BrokerProcess(tmp_path_factory.mktemp("bus") / "bus") as broker:
        yield broker


@pytest.mark.slow
class TestBrokerApart(TransportConformance):
    capabilities = capabilities_for(LocalBusOptions(path="bus"))

    @pytest.fixture
    def broker(self, broker_process):
        return broker_process

    @pytest.fixture
    def make_transport(self, broker):
        options = LocalBusOptions(path=broker.path, start_broker=False)
        return lambda: LocalBusTransport(options)


class TestBrokerOfThePrimary(TransportConformance):
    capabilities = replace(
        capabilities_for(LocalBusOptions(path="bus", max_message_bytes=LIMIT)),
        survives_broker_restart=False,  # with the primary's own process
    )

    @pytest.fixture
    def make_transport(self, tmp_path):
        options = LocalBusOptions(path=str(tmp_path / "bus"), max_message_bytes=LIMIT)
        return lambda: LocalBusTransport(options)
