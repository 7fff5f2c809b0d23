"""The ledger passes the kit, that part included which is about being at-least-once."""

from __future__ import annotations

from typing import ClassVar

import pytest

from civitas.testing import TransportConformance
from support.ledger import Ledger, LedgerStore

pytestmark = pytest.mark.slow


class TestLedger(TransportConformance):
    capabilities = Ledger.capabilities
    deviations: ClassVar = {"test_another_process_answers": "a ledger is in one process's memory"}

    @pytest.fixture
    def ledger(self):
        return Ledger(retry_delay=0.03)

    @pytest.fixture
    def dead_letters(self, ledger):
        async def read():
            return [letter.frame for letter in ledger.dead_letters]

        return read

    @pytest.fixture
    def counts_backlog(self):
        """The transports count what waits."""

    @pytest.fixture
    def make_transport(self, ledger):
        return ledger.transport

    @pytest.fixture
    def make_dead_letters(self, ledger):
        return lambda: LedgerStore(ledger)
