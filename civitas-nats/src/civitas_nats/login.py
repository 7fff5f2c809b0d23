"""Login: the arguments of `nats.connect` that identify this process, checked beforehand."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from civitas.errors import ConfigurationError
from civitas_nats.options import NATSOptions

_JWT: Final = b"BEGIN NATS USER JWT"
_SEED: Final = b"BEGIN USER NKEY SEED"


def log_in(options: NATSOptions) -> dict[str, Any]:
    """Return the arguments of `nats.connect` that identify this process.

    Raises:
        ConfigurationError: a file or a seed is not what it should be, or a package is missing.
    """
    arguments: dict[str, Any] = {**_login_of_urls(options.servers)}
    if options.credentials is not None:
        _need_nkeys("credentials")
        arguments["user_credentials"] = str(_checked(options.credentials))
    if options.nkey_seed is not None:
        _need_nkeys("nkey_seed")
        arguments["nkeys_seed_str"] = _checked_seed(options.nkey_seed.get_secret_value())
    if options.token is not None:
        arguments["token"] = options.token.get_secret_value()
    if options.user is not None and options.password is not None:
        arguments["user"] = options.user
        arguments["password"] = options.password.get_secret_value()
    return arguments


def _login_of_urls(urls: tuple[str, ...]) -> dict[str, str]:
    """Return the login of the URLs, if all have the same.

    nats-py (2.16) uses the login of a URL for that server only, and not for the other servers of
    the cluster, which it learns from the first.
    """
    logins = {(parts.username, parts.password) for parts in map(urlsplit, urls)}
    user, password = logins.pop()
    if logins or user is None:
        return {}
    return {"token": user} if password is None else {"user": user, "password": password}


def _checked(file: Path) -> Path:
    """Return a credentials file after checking that nats-py can read both parts.

    nats-py (2.16) blocks the event loop for ever on a file without a JWT, and takes the carriage
    return of a line that ends with CR LF as a part of the JWT or the seed.
    """
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigurationError(f"credentials: {file} can't be read: {error.strerror}") from error
    jwt, seed = _below(_JWT, lines), _below(_SEED, lines)
    if b"\r" in jwt + seed:
        raise ConfigurationError(
            f"credentials: the lines of {file} end with CR LF: save it with LF"
        )
    if jwt.count(b".") != 2 or not _is_seed(seed):
        raise ConfigurationError(
            f"credentials: {file} is no credentials file: it has a JWT and an NKey seed of a user,"
            " each in the line below its mark"
        )
    return file


def _below(mark: bytes, lines: list[bytes]) -> bytes:
    """Return the line below the first that has a mark; empty when there is none."""
    for line, following in pairwise(lines):
        if mark in line:
            return following
    return b""


def _checked_seed(seed: str) -> str:
    if not _is_seed(seed.strip().encode(errors="replace")):
        raise ConfigurationError(
            "nkey_seed is no seed of an NKey user: it begins with SU and has 58 characters"
        )
    return seed


def _is_seed(seed: bytes) -> bool:
    """Return whether this is the seed of a user. Errors of nkeys are hidden: they may show it."""
    import nkeys

    try:
        prefix, _ = nkeys.decode_seed(seed)
        nkeys.from_seed(bytearray(seed)).wipe()
    except Exception:  # noqa: BLE001 - nkeys raises all kinds
        return False
    return bool(prefix == nkeys.PREFIX_BYTE_USER)


def _need_nkeys(option: str) -> None:
    if find_spec("nkeys") is None:
        raise ConfigurationError(
            f'{option} needs the package nkeys: pip install "civitas-nats[nkeys]"'
        )
