"""CURVE keys: how they are written, made and paired, and the files that hold them.

A key has 32 bytes; its text is 40 characters of Z85 (ZeroMQ RFC 32). The options check keys, and
they load without pyzmq: so only the functions that calculate with keys import it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from civitas.errors import ConfigurationError

KEY_LENGTH: Final = 40

_ALPHABET: Final = (
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)
_DIGIT: Final = {character: value for value, character in enumerate(_ALPHABET)}


class KeyPair(NamedTuple):
    """A public key and its secret key."""

    public_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"KeyPair(public_key={self.public_key!r}, secret_key=(hidden))"


def check_key(key: str) -> str:
    """Return the key if it is one. No message repeats it: it may be a secret.

    Raises:
        ValueError: it is no key.
    """
    if len(key) != KEY_LENGTH:
        raise ValueError(
            f"a key has {KEY_LENGTH} characters, not {len(key)}; `civitas-zmq keygen` makes a pair"
        )
    decode(key)
    return key


def decode(key: str) -> bytes:
    """Return the bytes that a key's text stands for.

    Raises:
        ValueError: the text is not Z85.
    """
    decoded = bytearray()
    for start in range(0, len(key), 5):
        number = 0
        for character in key[start : start + 5]:
            if character not in _DIGIT:
                raise ValueError("a key has a character that is not of Z85; is it quoted in YAML?")
            number = number * len(_ALPHABET) + _DIGIT[character]
        if number >> 32:
            raise ValueError("a key is not Z85: five of its characters stand for too large a value")
        decoded += number.to_bytes(4, "big")
    return bytes(decoded)


def make_pair() -> KeyPair:
    """Return a fresh key pair."""
    import zmq

    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def public_key_of(secret_key: str) -> str:
    """Return the public key that belongs to a secret key."""
    import zmq

    return zmq.curve_public(secret_key.encode()).decode()


def check_pair(public_key: str, secret_key: str, prefix: str = "") -> None:
    """Check that two keys are a pair; `prefix` is how their options begin.

    Raises:
        ConfigurationError: they are not.
    """
    if public_key_of(secret_key) != public_key:
        raise ConfigurationError(
            f"transport.curve.{prefix}public_key is not the public key of {prefix}secret_key:"
            " they must be of one pair, as `civitas-zmq keygen` makes them"
        )


def read_key(file: Path) -> str:
    """Return the one key in a file.

    Raises:
        ConfigurationError: the file can't be read, or does not hold exactly one key.
    """
    keys = read_keys(file)
    if len(keys) != 1:
        raise ConfigurationError(f"{file} holds {len(keys)} keys, where one is needed")
    return keys[0]


def read_keys(file: Path) -> list[str]:
    """Return the keys in a file, one in a line.

    Raises:
        ConfigurationError: the file can't be read, or a line is no key.
    """
    try:
        lines = file.read_text().splitlines()
        return [check_key(line.strip()) for line in lines if line.strip()]
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{file}: {error}") from error


def write_pair(name: Path, pair: KeyPair) -> tuple[Path, Path]:
    """Write NAME.key, which only the owner may read, and NAME.pub; return both.

    Raises:
        ConfigurationError: one of them exists, or the folder can't be written.
    """
    secret, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")
    try:
        _write_new(secret, pair.secret_key, 0o600)
        _write_new(public, pair.public_key, 0o644)
    except OSError as error:
        raise ConfigurationError(f"{error.filename} can't be written: {error.strerror}") from error
    return secret, public


def _write_new(file: Path, key: str, mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(f"{key}\n")
