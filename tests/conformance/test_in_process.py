"""The in-process transport passes the kit."""

from __future__ import annotations

import pytest

from civitas.testing import TransportConformance
from civitas.transport import InProcessTransport


class TestInProcess(TransportConformance):
    capabilities = InProcessTransport.capabilities
    plugin = "in_process"

    @pytest.fixture
    def make_transport(self):
        return InProcessTransport
