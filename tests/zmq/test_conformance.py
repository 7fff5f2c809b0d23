"""The transport passes the kit: over tcp, over ipc, and with keys."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

import pytest

from civitas.plugins import Capabilities
from civitas.testing import TcpLink, TransportConformance
from civitas_zmq.keys import make_pair
from civitas_zmq.options import ZMQOptions
from civitas_zmq.transport import ZMQTransport
from support.zmq import options_for, proxy_at, with_keys

LIMIT = 1 << 20
CLAIMS = Capabilities(cross_process=True, survives_broker_restart=True, max_message_bytes=LIMIT)
OWN_PROXY = {"survives_broker_restart": "the proxy is in the process of the first transport"}


@pytest.fixture(scope="module")
def options():
    return options_for(max_message_bytes=LIMIT)


@pytest.fixture(scope="module")
def proxy(options):
    with proxy_at(options) as proxy:
        yield proxy


@pytest.mark.slow
class TestProxyApart(TransportConformance):
    capabilities = CLAIMS
    plugin = "zmq"

    @pytest.fixture
    def broker(self, proxy):
        return proxy

    @pytest.fixture
    def freezer(self, proxy):
        return proxy

    @pytest.fixture
    def link(self, options):
        with Links(options) as links:
            yield links

    @pytest.fixture
    def make_transport(self, broker, options, request):
        linked = "link" in request.fixturenames
        way = request.getfixturevalue("link").options if linked else options
        return network(way, primary=False)


@pytest.mark.slow
class TestTcp(TransportConformance):
    capabilities = CLAIMS
    elsewhere: ClassVar = OWN_PROXY
    plugin = "zmq"

    @pytest.fixture
    def make_transport(self):
        return network(options_for(max_message_bytes=LIMIT))


class TestIpc(TransportConformance):
    capabilities = CLAIMS
    elsewhere: ClassVar = OWN_PROXY
    plugin = "zmq"

    @pytest.fixture
    def make_transport(self, tmp_path):
        places = {"pub_addr": f"ipc://{tmp_path}/pub", "sub_addr": f"ipc://{tmp_path}/sub"}
        return network(ZMQOptions(**places, max_message_bytes=LIMIT))


@pytest.mark.slow
class TestCurve(TransportConformance):
    capabilities = CLAIMS
    elsewhere: ClassVar = OWN_PROXY
    plugin = "zmq"

    @pytest.fixture
    def make_transport(self):
        options = options_for(max_message_bytes=LIMIT)
        return network(with_keys(options, make_pair(), make_pair()))


class Links:
    """The ways to both sockets of a proxy, and the options that lead over them."""

    def __init__(self, to: ZMQOptions) -> None:
        ways = {name: getattr(to, name) for name in ("pub_addr", "sub_addr")}
        links = {name: TcpLink(int(way.rpartition(":")[2])) for name, way in ways.items()}
        addresses = {name: f"tcp://127.0.0.1:{link.port}" for name, link in links.items()}
        self.options = to.model_copy(update=addresses)
        self._links = list(links.values())

    def cut(self) -> None:
        for link in self._links:
            link.cut()

    def mend(self) -> None:
        for link in self._links:
            link.mend()

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()


def network(options: ZMQOptions, *, primary: bool = True):
    """Return what makes transports: the first is the primary's and runs the proxy, if any does."""
    return lambda context: ZMQTransport(
        options, replace(context, is_primary=primary and context.is_primary)
    )


def test_the_claims_are_those_of_the_options():
    assert ZMQTransport(options_for(max_message_bytes=LIMIT)).capabilities == CLAIMS
