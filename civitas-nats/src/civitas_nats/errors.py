"""Errors that only this transport raises; nats-py is not imported."""

from __future__ import annotations

from civitas.errors import ConfigurationError, TransportError


class AuthenticationError(TransportError):
    """The server does not let this process in: the credentials are wrong, or missing."""

    code = "nats-authentication"


class StreamMismatchError(ConfigurationError):
    """A stream of that name exists and is not what the options ask for."""

    code = "nats-stream-mismatch"
