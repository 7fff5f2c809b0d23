"""The serializers that come with core pass the kit."""

from __future__ import annotations

import pytest

from civitas.serializer import JsonSerializer, MsgpackSerializer
from civitas.testing import SerializerConformance


class TestMsgpack(SerializerConformance):
    plugin = "msgpack"

    @pytest.fixture
    def make_serializer(self):
        return MsgpackSerializer


class TestJson(SerializerConformance):
    plugin = "json"

    @pytest.fixture
    def make_serializer(self):
        return JsonSerializer
