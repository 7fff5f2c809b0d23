"""TLS: the `ssl` context for encrypted connections, with checks of the files it is made from."""

from __future__ import annotations

import ssl
from pathlib import Path

from civitas.errors import ConfigurationError
from civitas_nats.options import NATSOptions


def asks_for_encryption(options: NATSOptions) -> bool:
    """Return whether connections must be encrypted: the option `tls` or a URL asks for it."""
    return options.tls is not None or any(url.startswith("tls://") for url in options.servers)


def context_for(options: NATSOptions) -> ssl.SSLContext | None:
    """Return the context for connections, or None where nothing asks for encryption.

    Raises:
        ConfigurationError: a file can't be read, or is not what it should be.
    """
    tls = options.tls
    if not asks_for_encryption(options):
        return None
    context = _trusting(None if tls is None else tls.ca)
    if tls is not None and tls.cert is not None and tls.key is not None:
        _load_certificate(context, tls.cert, tls.key)
    return context


def _trusting(ca: Path | None) -> ssl.SSLContext:
    """Return a context that trusts these authorities, or those of the system when `ca` is None."""
    if ca is None:
        return ssl.create_default_context()
    _check_readable("ca", ca)
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"tls.ca: {ca} has no certificate of an authority, as PEM: {_reason(error)}"
        ) from error


def _load_certificate(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Load the certificate with which this process identifies itself."""
    _check_readable("cert", cert)
    _check_readable("key", key)
    try:
        context.load_cert_chain(cert, key, password=lambda: _refuse_passphrase(key))
    except OSError as error:
        raise ConfigurationError(
            f"tls: {cert} and {key} are no certificate with its private key, as PEM:"
            f" {_reason(error)}"
        ) from error


def _refuse_passphrase(key: Path) -> str:
    """Raise instead of letting OpenSSL ask at the terminal, which would block the process."""
    raise ConfigurationError(f"tls.key: {key} has a passphrase: give a key without one")


def _check_readable(option: str, file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"tls.{option}: {file} can't be read: {error.strerror}") from error


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return str(reason).replace("_", " ").lower()
