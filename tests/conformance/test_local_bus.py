"""The local bus passes the kit: with a broker apart, and with that of a primary process."""

from __future__ import annotations

from typing import ClassVar

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
        return lambda context: LocalBusTransport(options, context)


class TestBrokerOfThePrimary(TransportConformance):
    capabilities = capabilities_for(LocalBusOptions(path="bus", max_message_bytes=LIMIT))
    elsewhere: ClassVar = {"survives_broker_restart": "the broker is in the first one's process"}

    @pytest.fixture
    def make_transport(self, tmp_path):
        options = LocalBusOptions(path=str(tmp_path / "bus"), max_message_bytes=LIMIT)
        return lambda context: LocalBusTransport(options, context)
