"""How a process says who it is: the arguments for the client, checked before it uses them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from civitas.errors import ConfigurationError
from civitas_nats.options import NATSOptions

_PARTS_OF_CREDENTIALS: Final = (b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED")
_SEED: Final = "SU"


def log_in(options: NATSOptions) -> dict[str, Any]:
    """Return the arguments of `nats.connect` that say who this process is.

    Raises:
        ConfigurationError: a file or a seed is not what it should be, or a package is missing.
    """
    arguments: dict[str, Any] = {}
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


def _checked(file: Path) -> Path:
    """Return a credentials file that has both of its parts.

    nats-py (2.16) reads a file without a JWT for ever, within the event loop.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"credentials: {file} can't be read: {error.strerror}") from error
    if not all(part in content for part in _PARTS_OF_CREDENTIALS):
        raise ConfigurationError(
            f"credentials: {file} is no credentials file: it has a JWT and an NKey seed of a user"
        )
    return file


def _checked_seed(seed: str) -> str:
    import nkeys

    try:
        nkeys.from_seed(bytearray(seed.strip().encode())).wipe()
    except Exception:  # noqa: BLE001 - nkeys raises all kinds; none may show the seed
        raise ConfigurationError(
            f"nkey_seed is no seed of an NKey user: it begins with {_SEED} and has 58 characters"
        ) from None
    return seed


def _need_nkeys(option: str) -> None:
    if find_spec("nkeys") is None:
        raise ConfigurationError(
            f'{option} needs the package nkeys: pip install "civitas-nats[nkeys]"'
        )
