"""The instrument passes the kit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from civitas.testing import InstrumentConformance
from civitas_opentelemetry.instrument import OpenTelemetry


class TestOpenTelemetry(InstrumentConformance):
    plugin = "opentelemetry"

    @pytest.fixture
    def make_instrument(self) -> Callable[[], Any]:
        return OpenTelemetry
