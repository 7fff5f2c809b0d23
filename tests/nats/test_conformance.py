"""The transport passes the kit: on core NATS, and on JetStream."""

from __future__ import annotations

import pytest

from civitas.plugins import Capabilities, TransportContext
from civitas.testing import TcpLink, TransportConformance
from civitas_nats.jetstream.dead_letter_store import NATSDeadLetterStore
from civitas_nats.options import NATSOptions
from civitas_nats.transport import NATSTransport
from support.nats.dead_letters import jetstream_of

SECRET = "correct-horse-battery"

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


@pytest.mark.each_release
class TestCore(TransportConformance):
    capabilities = CORE
    plugin = "nats"

    @pytest.fixture
    def secret(self):
        """A password that the server does not ask for, and is given all the same."""
        return SECRET

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
        return network(NATSOptions(servers=way_to(server, request), max_message_bytes=LIMIT))


@pytest.mark.each_release
class TestJetStream(TransportConformance):
    capabilities = DURABLE
    plugin = "nats"
    variant = "jetstream: true"

    @pytest.fixture
    def broker(self, jetstream):
        return jetstream

    @pytest.fixture
    def freezer(self, jetstream):
        return jetstream

    @pytest.fixture
    def link(self, jetstream):
        with TcpLink(jetstream.port) as link:
            yield link

    @pytest.fixture
    def dead_letters(self, jetstream):
        stream = NATSOptions().dead_letter_stream

        async def read():
            async with jetstream_of(jetstream.url) as bare:
                last = (await bare.stream_info(stream)).state.last_seq
                return [(await bare.get_msg(stream, n + 1)).data for n in range(last)]

        return read

    @pytest.fixture
    def options(self, jetstream, request):
        return NATSOptions(
            servers=way_to(jetstream, request),
            max_message_bytes=LIMIT,
            jetstream=True,
            retry_delay=0.05,
            send_timeout=1.0,
        )

    @pytest.fixture
    def counts_backlog(self):
        """The transports count what waits."""

    @pytest.fixture
    def make_transport(self, options):
        return network(options)

    @pytest.fixture
    def make_dead_letters(self, options):
        return lambda: NATSDeadLetterStore(options, TransportContext(process="tests"))


def way_to(server, request) -> str:
    """Return where clients connect: over the link, if the test has one."""
    if "link" in request.fixturenames:
        return f"nats://127.0.0.1:{request.getfixturevalue('link').port}"
    if "secret" in request.fixturenames:
        return f"nats://somebody:{SECRET}@127.0.0.1:{server.port}"
    return server.url


def network(options: NATSOptions):
    """Return what makes transports on the same servers."""
    return lambda context: NATSTransport(options, context)


def test_the_claims_are_those_of_the_options():
    options = NATSOptions(max_message_bytes=LIMIT)
    assert NATSTransport(options).capabilities == CORE
    durable = options.model_copy(update={"jetstream": True})
    assert NATSTransport(durable).capabilities == DURABLE
