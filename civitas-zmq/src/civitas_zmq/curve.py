"""Key pairs for CURVE: making them, and telling whether two keys belong together."""

from __future__ import annotations

from typing import NamedTuple

import zmq

from civitas.errors import ConfigurationError
from civitas_zmq.options import ZMQOptions


class KeyPair(NamedTuple):
    """A public key and its secret key, 40 characters each."""

    public_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"KeyPair(public_key={self.public_key!r}, secret_key=(hidden))"


def make_pair() -> KeyPair:
    """Return a fresh key pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def public_key_of(secret_key: str) -> str:
    """Return the public key that belongs to a secret key."""
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


def own_pair(options: ZMQOptions) -> KeyPair | None:
    """Return the keys with which this process connects; `None` without `curve`.

    Raises:
        ConfigurationError: one is missing, or they are no pair.
    """
    curve = options.curve
    if curve is None:
        return None
    if curve.public_key is None or curve.secret_key is None:
        missing = "public_key" if curve.public_key is None else "secret_key"
        raise ConfigurationError(
            f"transport.curve.{missing} is missing: every process that connects has a key pair of"
            " its own; `civitas-zmq keygen` makes one"
        )
    pair = KeyPair(curve.public_key, curve.secret_key.get_secret_value())
    check_pair(pair.public_key, pair.secret_key)
    return pair
