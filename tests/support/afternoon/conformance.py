"""The transport shows all that Civitas promises of transports: the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from civitas_pigeon.options import PigeonOptions, capabilities_of
from civitas_pigeon.transport import PigeonTransport

from civitas.testing import TransportConformance
from support.local_bus.testbed import BrokerProcess


class TestPigeon(TransportConformance):
    plugin = "pigeon"
    capabilities = capabilities_of(PigeonOptions())

    @pytest.fixture(scope="class")
    def broker(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
        with BrokerProcess(tmp_path_factory.mktemp("bus") / "bus") as broker:
            yield broker

    @pytest.fixture
    def make_transport(self, broker: BrokerProcess) -> Callable[[], PigeonTransport]:
        options = PigeonOptions(network=broker.path)
        return lambda: PigeonTransport(options)
