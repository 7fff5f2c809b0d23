"""The transport passes the kit: over tcp, over ipc, and with keys."""

from __future__ import annotations

import pytest

from civitas.plugins import Capabilities, TransportContext
from civitas.testing import TransportConformance
from civitas_zmq.curve import make_pair
from civitas_zmq.options import ZMQOptions
from civitas_zmq.transport import ZMQTransport
from support.zmq import options_for, with_keys

LIMIT = 1 << 22
CLAIMS = Capabilities(cross_process=True, survives_broker_restart=True, max_message_bytes=LIMIT)


class TestTcp(TransportConformance):
    capabilities = CLAIMS

    @pytest.fixture
    def make_transport(self):
        return network(options_for(max_message_bytes=LIMIT))


class TestIpc(TransportConformance):
    capabilities = CLAIMS

    @pytest.fixture
    def make_transport(self, tmp_path):
        places = {"pub_addr": f"ipc://{tmp_path}/pub", "sub_addr": f"ipc://{tmp_path}/sub"}
        return network(ZMQOptions(**places, max_message_bytes=LIMIT))


class TestCurve(TransportConformance):
    capabilities = CLAIMS

    @pytest.fixture
    def make_transport(self):
        options = options_for(max_message_bytes=LIMIT)
        return network(with_keys(options, make_pair(), make_pair()))


def network(options: ZMQOptions):
    """Return what makes transports: the first is the primary's and runs the proxy."""
    made: list[ZMQTransport] = []

    def make() -> ZMQTransport:
        context = TransportContext(is_primary=not made, node=f"{len(made):016x}")
        made.append(ZMQTransport(options, context))
        return made[-1]

    return make


def test_the_claims_are_those_of_the_options():
    assert ZMQTransport(options_for(max_message_bytes=LIMIT)).capabilities == CLAIMS
