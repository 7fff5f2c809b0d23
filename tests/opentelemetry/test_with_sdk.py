"""With an SDK the instrument passes the kit, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from civitas.testing import InstrumentConformance


class TestWithSdk(InstrumentConformance):
    """Its exporter in memory keeps nothing here: the kit counts what is kept."""

    @pytest.fixture
    def make_instrument(self, record: Any) -> Callable[[], Any]:
        recorded = record()
        recorded.exporter.export = lambda spans: None
        return recorded.instrument
