"""The kit between two processes: a small correct transport with a queue passes it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

import pytest

from civitas.plugins import Capabilities
from civitas.testing import TransportConformance

pytestmark = pytest.mark.slow


class TestHub(TransportConformance):
    capabilities = Capabilities(cross_process=True, max_message_bytes=64 * 1024)
    deviations: ClassVar = {"test_another_process_answers": "its processes are only objects"}

    @pytest.fixture
    def make_transport(self):
        place = Path(__file__).with_name("hub.py")
        spec = importlib.util.spec_from_file_location("conformance_hub", place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        network = module.Hub()
        return lambda context: module.HubTransport(network, context)
