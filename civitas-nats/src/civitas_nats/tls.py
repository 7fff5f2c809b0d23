"""Contexts for encrypted connections."""

from __future__ import annotations

import ssl
from pathlib import Path

from civitas.errors import ConfigurationError
from civitas_nats.options import NATSOptions


def asks_for_encryption(options: NATSOptions) -> bool:
    """Return whether connections have to be encrypted: by the option, or by a URL."""
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
        _present(context, tls.cert, tls.key)
    return context


def _trusting(ca: Path | None) -> ssl.SSLContext:
    """Return a context that trusts these authorities; those of the system, when left out."""
    if ca is None:
        return ssl.create_default_context()
    _check_readable("ca", ca)
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"tls.ca: {ca} has no certificate of an authority, as PEM: {_told(error)}"
        ) from error


def _present(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Have a context show who this process is."""
    _check_readable("cert", cert)
    _check_readable("key", key)
    try:
        context.load_cert_chain(cert, key, password=lambda: _ask_nobody(key))
    except OSError as error:
        raise ConfigurationError(
            f"tls: {cert} and {key} are no certificate with its private key, as PEM: {_told(error)}"
        ) from error


def _ask_nobody(key: Path) -> str:
    """Keep OpenSSL from asking at the terminal, which would hold up the process."""
    raise ConfigurationError(f"tls.key: {key} has a passphrase: give a key without one")


def _check_readable(option: str, file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"tls.{option}: {file} can't be read: {error.strerror}") from error


def _told(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return str(reason).replace("_", " ").lower()
