"""Errors that only this transport raises; nats-py is not imported."""

from __future__ import annotations

from civitas.errors import ConfigurationError


class StreamMismatchError(ConfigurationError):
    """A stream of that name exists and is not what the options ask for."""

    code = "nats-stream-mismatch"
