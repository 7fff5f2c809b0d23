"""The ledger passes the kit, that part included which is about being at-least-once."""

from __future__ import annotations

import pytest

from civitas.testing import TransportConformance
from support.ledger import Ledger


class TestLedger(TransportConformance):
    capabilities = Ledger.capabilities

    @pytest.fixture
    def make_transport(self):
        return Ledger().transport
