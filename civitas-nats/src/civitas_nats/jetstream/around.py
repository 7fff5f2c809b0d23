"""Around: what all consumers of a process share."""

from __future__ import annotations

from dataclasses import dataclass

from civitas.plugins import TransportContext
from civitas_nats.connection import Connection
from civitas_nats.jetstream.dead_letters import DeadLetters
from civitas_nats.jetstream.management import Management
from civitas_nats.jetstream.streams import Streams
from civitas_nats.options import NATSOptions


@dataclass(frozen=True, slots=True)
class Around:
    """What a consumer reaches for besides its own.

    Attributes:
        connection: carries messages, pulls and acknowledgements.
        management: asks JetStream about streams and consumers.
        streams: sees to it that the streams are there.
        dead_letters: takes what is given up.
        options: what the topology says.
        context: what the node gave.
    """

    connection: Connection
    management: Management
    streams: Streams
    dead_letters: DeadLetters
    options: NATSOptions
    context: TransportContext
