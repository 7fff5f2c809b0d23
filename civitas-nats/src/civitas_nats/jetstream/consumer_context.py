"""ConsumerContext: what all consumers of a process share."""

from __future__ import annotations

from dataclasses import dataclass

from civitas.plugins import TransportContext
from civitas_nats.connection import Connection
from civitas_nats.jetstream.api import JetStreamAPI
from civitas_nats.jetstream.dead_letters import DeadLetterPublisher
from civitas_nats.jetstream.streams import Streams
from civitas_nats.options import NATSOptions


@dataclass(frozen=True, slots=True)
class ConsumerContext:
    """What a consumer and its parts use besides their own state.

    Attributes:
        connection: carries messages, pull requests and acknowledgements.
        api: asks JetStream about streams and consumers.
        streams: ensures that the streams exist.
        dead_letters: stores what is given up.
        options: what the topology says.
        context: what the node gave to the transport.
    """

    connection: Connection
    api: JetStreamAPI
    streams: Streams
    dead_letters: DeadLetterPublisher
    options: NATSOptions
    context: TransportContext
