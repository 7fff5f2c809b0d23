"""Plugin: the entry point that offers the transport `nats`; nats-py is not imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from civitas.plugins import TransportContext, TransportSpec, hookimpl
from civitas_nats.options import NATSOptions, capabilities_of

if TYPE_CHECKING:
    from civitas_nats.jetstream.dead_letter_store import NATSDeadLetterStore
    from civitas_nats.transport import NATSTransport


def _check_files(options: NATSOptions) -> None:
    """See that what the options name is there and whole, before anything starts.

    Raises:
        ConfigurationError: a file or a seed is not what it should be, or a package is missing.
    """
    from civitas_nats.login import log_in
    from civitas_nats.tls import context_for

    context_for(options)
    log_in(options)


def _make(options: NATSOptions, context: TransportContext) -> NATSTransport:
    from civitas_nats.transport import NATSTransport

    _check_files(options)
    return NATSTransport(options, context)


def _dead_letters(options: NATSOptions, context: TransportContext) -> NATSDeadLetterStore:
    from civitas_nats.jetstream.dead_letter_store import NATSDeadLetterStore

    _check_files(options)
    return NATSDeadLetterStore(options, context)


@hookimpl
def civitas_transports() -> Iterable[TransportSpec]:
    """Offer `nats`."""
    yield TransportSpec(
        name="nats",
        summary="Many machines through NATS servers; at-least-once with JetStream",
        factory=_make,
        options=NATSOptions,
        capabilities=capabilities_of,
        dead_letters=_dead_letters,
    )
