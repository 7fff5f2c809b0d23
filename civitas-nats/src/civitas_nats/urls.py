"""URLs of servers: which are valid, and how they are shown without a login."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORT: Final = 4222
_SCHEMES: Final = ("nats", "tls")
_FORM: Final = "nats://host:port"


def check_url(url: str) -> str:
    """Return the URL of a server with its scheme and port.

    Raises:
        ValueError: it is not valid; the message contains no user, password or token.
    """
    full = url if "://" in url else f"nats://{url}"
    if any(character.isspace() or not character.isprintable() for character in full):
        raise ValueError(f"a server's URL is {_FORM}, without whitespace")
    try:
        parts = urlsplit(full)
    except ValueError:  # its text has the whole URL in it
        raise ValueError(f"a server's URL is {_FORM}; an IPv6 address stands in brackets") from None
    if parts.scheme not in _SCHEMES:
        begins = " or ".join(f"{scheme}://" for scheme in _SCHEMES)
        raise ValueError(f"a server's URL begins with {begins}")
    login, at, _ = parts.netloc.rpartition("@")
    if parts.path.strip("/") or "?" in full or "#" in full or "%" in login:
        # nats-py (2.16) reads %2F as three characters, other clients read it as one.
        raise ValueError(
            f"a server's URL ends with its port: {_FORM}; a password that has one of / ? # % does"
            " not fit in, but the options user and password take it"
        )
    if at and not parts.username:
        raise ValueError("a server's URL has '@' with no user or token before it")
    port = _port(parts)
    if not parts.hostname:
        raise ValueError(f"a server's URL is {_FORM}, and this one has no host")
    netloc = parts.netloc.removesuffix(":")
    return f"{parts.scheme}://{netloc}" + (f":{DEFAULT_PORT}" if port is None else "")


def has_login(url: str) -> bool:
    """Return whether a URL contains a user or a token."""
    return "@" in urlsplit(url).netloc


def mask_logins(urls: Iterable[str]) -> str:
    """Return URLs as text for messages: without users, passwords and tokens."""
    return ", ".join(_mask(url) for url in urls)


def _mask(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(
            "a server's port is a number from 1 to 65535; an IPv6 address stands in brackets:"
            " nats://[::1]:4222"
        )
    return port
