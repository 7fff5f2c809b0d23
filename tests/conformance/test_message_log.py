"""The instrument that comes with core passes the kit."""

from __future__ import annotations

import pytest

from civitas.plugins.message_log import MessageLog
from civitas.testing import InstrumentConformance


class TestLog(InstrumentConformance):
    plugin = "log"

    @pytest.fixture
    def make_instrument(self):
        return MessageLog
