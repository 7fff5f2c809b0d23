"""Where the settings of a proxy come from on the command line: flags, files and topologies."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from civitas.errors import ConfigurationError
from civitas.plugins import TransportSpec
from civitas.topology.transport_block import options_of
from civitas_zmq import addresses
from civitas_zmq.curve import KeyPair
from civitas_zmq.keys import check_key
from civitas_zmq.options import ZMQOptions
from civitas_zmq.plugin import civitas_transports
from civitas_zmq.proxy import ProxySettings

_DISTRIBUTION: Final = "civitas-zmq"


def of_topology(file: Path, secret_key: str | None = None) -> ProxySettings:
    """Return what the transport block of a topology says; nothing else of it is looked at.

    Args:
        file: the topology.
        secret_key: the proxy's own key, which the topology need not have then.

    Raises:
        TopologyError: the block is wrong, or a variable in it is not set.
        ConfigurationError: it is the block of another transport.
    """
    options = options_of(file, _spec(), _DISTRIBUTION)
    assert isinstance(options, ZMQOptions)
    if secret_key and options.curve is not None:
        secret = SecretStr(_checked(secret_key))
        curve = options.curve.model_copy(update={"server_secret_key": secret})
        options = options.model_copy(update={"curve": curve})
    return ProxySettings.from_options(options)


def with_addresses(
    settings: ProxySettings, pub_addr: str | None, sub_addr: str | None
) -> ProxySettings:
    """Return the settings with other addresses, where they are given.

    Raises:
        ConfigurationError: one is no address, or both are the same.
    """
    changed = replace(
        settings,
        pub_addr=_address("--pub-addr", pub_addr) or settings.pub_addr,
        sub_addr=_address("--sub-addr", sub_addr) or settings.sub_addr,
    )
    if changed.pub_addr == changed.sub_addr:
        raise ConfigurationError(f"--pub-addr and --sub-addr are both {changed.pub_addr}")
    return changed


def with_keys(settings: ProxySettings, secret: str | None, allowed: list[str]) -> ProxySettings:
    """Return the settings with the proxy's key, and with more keys that are let in.

    Raises:
        ConfigurationError: one is no key, or there are keys to let in and none of the proxy.
    """
    if secret:
        settings = replace(settings, server_secret_key=_checked(secret))
    keys = frozenset(map(_checked, allowed))
    if keys and settings.server_secret_key is None:
        raise ConfigurationError("--allow needs the proxy's own key: give --secret-key-file")
    return replace(settings, allowed_clients=settings.allowed_clients | keys)


def read_key(file: Path) -> str:
    """Return the key that a file holds.

    Raises:
        ConfigurationError: it can't be read, or holds no key.
    """
    keys = read_keys(file)
    if len(keys) != 1:
        raise ConfigurationError(f"{file} holds {len(keys)} keys, where one is needed")
    return keys[0]


def read_keys(file: Path) -> list[str]:
    """Return the keys that a file holds, one in a line.

    Raises:
        ConfigurationError: it can't be read, or a line is no key.
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
        ConfigurationError: one is there already, or the folder can't be written.
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


def _checked(key: str) -> str:
    try:
        return check_key(key)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _address(flag: str, address: str | None) -> str | None:
    if address is None:
        return None
    try:
        return addresses.check(address)
    except ValueError as error:
        raise ConfigurationError(f"{flag}: {error}") from error


def _spec() -> TransportSpec:
    offered: Iterable[TransportSpec] = civitas_transports()
    return next(iter(offered))
