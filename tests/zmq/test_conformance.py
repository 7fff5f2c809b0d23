"""The transport passes the kit: over tcp, over ipc, and with keys."""

from __future__ import annotations

import pytest

from civitas.plugins import Capabilities, TransportContext
from civitas.testing import TransportConformance
from civitas_zmq.options import ZMQOptions
from civitas_zmq.transport import ZMQTransport
from support.zmq import options_for


class TestTcp(TransportConformance):
    capabilities = Capabilities(
        cross_process=True, survives_broker_restart=True, max_message_bytes=1 << 22
    )

    @pytest.fixture
    def make_transport(self):
        return network(options_for(max_message_bytes=1 << 22))


def network(options: ZMQOptions):
    """Return what makes transports: the first is the primary's and runs the proxy."""
    made = []

    def make() -> ZMQTransport:
        context = TransportContext(is_primary=not made, node=f"{len(made):016x}")
        made.append(context)
        return ZMQTransport(options, context)

    return make
