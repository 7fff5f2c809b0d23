"""The transport passes the kit: on core NATS, and on JetStream."""

from __future__ import annotations

import pytest

from civitas.plugins import Capabilities, TransportContext
from civitas.testing import TransportConformance
from civitas_nats.options import NATSOptions
from civitas_nats.transport import NATSTransport

LIMIT = 200_000
CORE = Capabilities(
    cross_process=True,
    cross_machine=True,
    survives_broker_restart=True,
    max_message_bytes=LIMIT,
)
DURABLE = Capabilities(
    cross_process=True,
    cross_machine=True,
    at_least_once=True,
    survives_broker_restart=True,
    max_message_bytes=LIMIT,
)


class TestCore(TransportConformance):
    capabilities = CORE

    @pytest.fixture
    def make_transport(self, server):
        return network(NATSOptions(servers=server.url, max_message_bytes=LIMIT))


class TestJetStream(TransportConformance):
    capabilities = DURABLE

    @pytest.fixture
    def make_transport(self, jetstream):
        options = NATSOptions(
            servers=jetstream.url, max_message_bytes=LIMIT, jetstream=True, retry_delay=0.05
        )
        return network(options)


def network(options: NATSOptions):
    """Return what makes transports on the same servers."""
    made: list[NATSTransport] = []

    def make() -> NATSTransport:
        made.append(NATSTransport(options, TransportContext(node=f"{len(made):016x}")))
        return made[-1]

    return make


def test_the_claims_are_those_of_the_options():
    options = NATSOptions(max_message_bytes=LIMIT)
    assert NATSTransport(options).capabilities == CORE
    durable = options.model_copy(update={"jetstream": True})
    assert NATSTransport(durable).capabilities == DURABLE
