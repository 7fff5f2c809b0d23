"""Plugin: the entry point that offers the transport `nats`; nats-py is not imported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from civitas.errors import CivitasError, NotConnectedError, TransportError, logger_of
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


@asynccontextmanager
async def _apart(options: NATSOptions, name: str) -> AsyncIterator[NATSOptions]:
    """Have subjects below those of the system, which permissions name, and streams of its own."""
    own = options.model_copy(
        update={
            "subject_prefix": f"{options.subject_prefix}.{name}",
            "dead_letter_subject": f"{options.dead_letter_subject}.{name}",
            "stream_name": f"{options.stream_name}-{name}",
            "create_stream": True,
        }
    )
    try:
        yield own
    except NotConnectedError:  # there is no server to delete anything at
        raise
    except BaseException:
        with suppress(CivitasError):  # what ended it counts
            await _delete_streams(own)
        raise
    await _delete_streams(own)


async def _delete_streams(options: NATSOptions) -> None:
    if not options.jetstream:
        return
    from civitas_nats.jetstream.streams import delete_streams

    names = f"{options.stream_name} and {options.dead_letter_stream}"
    try:
        await delete_streams(options, logger_of("civitas.transport.nats"))
    except CivitasError as error:
        raise TransportError(f"the streams {names} may still be there: {error}") from error


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
        apart=_apart,
    )
