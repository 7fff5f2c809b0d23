"""Servers: what a URL may look like, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

DEFAULT_PORT: Final = 4222
_SCHEMES: Final = ("nats", "tls")


def check_server(url: str) -> str:
    """Return the URL of a server in full: with scheme and port.

    Raises:
        ValueError: it is none; what it says of users and passwords is not in the message.
    """
    full = url if "://" in url else f"nats://{url}"
    try:
        parts = urlsplit(full)
        port = parts.port
    except ValueError:
        raise ValueError("a server's port is a number from 1 to 65535") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(
            f"a server's URL begins with {' or '.join(f'{each}://' for each in _SCHEMES)}, not"
            f" {parts.scheme}://"
        )
    if not parts.hostname or any(character.isspace() for character in full):
        raise ValueError("a server's URL is nats://host:port, without whitespace")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("a server's URL ends with its port: nats://host:port")
    if port == 0:
        raise ValueError("a server's port is a number from 1 to 65535")
    bare = full.rstrip("/")
    return bare if port is not None else f"{bare}:{DEFAULT_PORT}"


def shown(urls: Iterable[str]) -> str:
    """Return URLs for messages: without users, passwords and tokens."""
    return ", ".join(_shown(url) for url in urls)


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
