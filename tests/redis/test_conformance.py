"""The transport passes the kit. A package of its own would have this file and a conftest.py."""

from __future__ import annotations

import pytest

from civitas.plugins import Capabilities
from civitas.testing import TcpLink, TransportConformance
from civitas_redis_example.options import RedisOptions
from civitas_redis_example.plugin import make_transport

LIMIT = 200_000


class TestRedis(TransportConformance):
    capabilities = Capabilities(
        cross_process=True,
        cross_machine=True,
        survives_broker_restart=True,
        max_message_bytes=LIMIT,
    )
    plugin = "redis"

    @pytest.fixture
    def broker(self, server):
        return server

    @pytest.fixture
    def freezer(self, server):
        return server

    @pytest.fixture
    def link(self, server):
        with TcpLink(server.port) as link:
            yield link

    @pytest.fixture
    def make_transport(self, server, request):
        way = request.getfixturevalue("link") if "link" in request.fixturenames else server
        options = RedisOptions(url=f"redis://127.0.0.1:{way.port}", max_message_bytes=LIMIT)
        return lambda context: make_transport(options, context)
