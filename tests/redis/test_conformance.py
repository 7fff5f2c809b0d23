"""The transport passes the kit. A package of its own would have this file and a conftest.py."""

from __future__ import annotations

import pytest

from civitas.plugins import Capabilities
from civitas.testing import TcpLink, TransportConformance
from civitas_redis_example.options import RedisOptions
from civitas_redis_example.plugin import make_transport

LIMIT = 200_000
SECRET = "correct-horse-battery"


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
    def secret(self):
        """A password that the server refuses: it has none."""
        return SECRET

    @pytest.fixture
    def forbidden(self, server):
        """An address that the user `limited` has no channel for."""
        with server.client() as client:
            client.execute_command(
                "ACL", "SETUSER", "limited", "on", ">x", "+@all", "&civitas:[^f]*"
            )
        return "forbidden"

    @pytest.fixture
    def make_transport(self, server, request):
        way = request.getfixturevalue("link") if "link" in request.fixturenames else server
        logins = {"secret": f":{SECRET}@", "forbidden": "limited:x@"}
        login = next((logins[each] for each in logins if each in request.fixturenames), "")
        options = RedisOptions(url=f"redis://{login}127.0.0.1:{way.port}", max_message_bytes=LIMIT)
        return lambda context: make_transport(options, context)
