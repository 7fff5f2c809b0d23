"""Options of the commands: those of a topology's transport block, changed by flags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from civitas.errors import ConfigurationError
from civitas.topology.transport_block import options_of
from civitas_nats.options import NATSOptions
from civitas_nats.plugin import civitas_transports
from civitas_nats.subjects import check_prefix, check_stream
from civitas_nats.urls import check_url, has_login

_DISTRIBUTION: Final = "civitas-nats"

_DEFAULTS: Final = NATSOptions(max_message_bytes=1024)
"""Options without a topology. Messages are so small that they fit each server's `max_payload`."""


def options_of_command(
    topology: Path | None,
    overlays: Sequence[Path] | None,
    servers: str | None,
    stream: str | None,
    dead_letter_subject: str | None,
) -> NATSOptions:
    """Return the options of a topology, changed by the flags that are given.

    Args:
        topology: a file whose transport block is read; the defaults are used when it is None.
        overlays: files that are laid over the topology, in this order.
        servers: `--servers`, one URL or several with commas between them.
        stream: `--stream`.
        dead_letter_subject: `--dead-letter-subject`.

    Raises:
        TopologyError: the block is wrong, or a variable in it is not set.
        ConfigurationError: it is the block of another transport, or a flag is wrong.
    """
    if overlays and topology is None:
        raise ConfigurationError("--overlay changes a topology: give --topology as well")
    options = _DEFAULTS if topology is None else _of_topology(topology, overlays or ())
    changes: dict[str, Any] = {}
    if servers is not None:
        changes["servers"] = tuple(
            _checked("--servers", _without_login, url.strip()) for url in servers.split(",")
        )
    if stream is not None:
        changes["stream_name"] = _checked("--stream", check_stream, stream)
    if dead_letter_subject is not None:
        subject = _checked("--dead-letter-subject", check_prefix, dead_letter_subject)
        if subject == options.subject_prefix:
            raise ConfigurationError(f"--dead-letter-subject: {subject} is that of the agents")
        changes["dead_letter_subject"] = subject
    return options.model_copy(update=changes)


def _of_topology(file: Path, overlays: Sequence[Path]) -> NATSOptions:
    (spec,) = civitas_transports()
    options = options_of(file, spec, _DISTRIBUTION, overlays)
    assert isinstance(options, NATSOptions)
    return options


def _without_login(url: str) -> str:
    """Return a URL after checking that it has no login: everybody can read a command line."""
    checked = check_url(url)
    if has_login(checked):
        raise ValueError(
            "users, passwords and tokens do not belong on a command line: put them into a"
            " topology, as ${VARIABLE}, and give --topology"
        )
    return checked


def _checked(flag: str, check: Callable[[str], str], value: str) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise ConfigurationError(f"{flag}: {error}") from error
