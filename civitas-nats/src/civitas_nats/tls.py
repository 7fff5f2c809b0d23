"""Contexts for encrypted connections."""

from __future__ import annotations

import ssl

from civitas.errors import ConfigurationError
from civitas_nats.options import NATSOptions


def context_for(options: NATSOptions) -> ssl.SSLContext | None:
    """Return the context for connections, or None where nothing asks for encryption.

    Raises:
        ConfigurationError: a file can't be read, or is not what it should be.
    """
    tls = options.tls
    if tls is None and not any(url.startswith("tls://") for url in options.servers):
        return None
    try:
        context = ssl.create_default_context(cafile=None if tls is None else tls.ca)
        if tls is not None and tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:  # ssl.SSLError is one
        files = "" if tls is None else ", ".join(str(f) for f in (tls.ca, tls.cert, tls.key) if f)
        raise ConfigurationError(
            f"the files for tls can't be used ({files}): {error.strerror or error}"
        ) from error
    return context
