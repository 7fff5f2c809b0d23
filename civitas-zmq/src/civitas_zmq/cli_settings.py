"""The settings of `civitas-zmq proxy`, made of its topology, its flags and its keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from civitas.errors import ConfigurationError
from civitas.topology.transport_block import options_of
from civitas_zmq import addresses
from civitas_zmq.keys import check_key
from civitas_zmq.options import ZMQOptions
from civitas_zmq.plugin import civitas_transports
from civitas_zmq.proxy import ProxySettings

_DISTRIBUTION: Final = "civitas-zmq"


def of_topology(
    file: Path, secret_key: str | None = None, overlays: Sequence[Path] = ()
) -> ProxySettings:
    """Return the settings that the transport block of a topology gives; the rest is not read.

    Args:
        file: the topology.
        secret_key: the proxy's own key, if it is not in the topology.
        overlays: files that are laid over the topology, in this order.

    Raises:
        TopologyError: the block is wrong, or a variable in it is not set.
        ConfigurationError: it is the block of another transport.
    """
    [spec] = civitas_transports()
    options = options_of(file, spec, _DISTRIBUTION, overlays)
    assert isinstance(options, ZMQOptions)
    if secret_key and options.curve is not None:
        secret = SecretStr(_checked_key(secret_key))
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
        pub_addr=_checked_address("--pub-addr", pub_addr) or settings.pub_addr,
        sub_addr=_checked_address("--sub-addr", sub_addr) or settings.sub_addr,
    )
    if changed.pub_addr == changed.sub_addr:
        raise ConfigurationError(f"--pub-addr and --sub-addr are both {changed.pub_addr}")
    return changed


def with_keys(settings: ProxySettings, secret: str | None, allowed: list[str]) -> ProxySettings:
    """Return the settings with the proxy's own key, and with more keys of processes to let in.

    Raises:
        ConfigurationError: one is no key, or processes have keys and the proxy has none.
    """
    if secret:
        settings = replace(settings, server_secret_key=_checked_key(secret))
    keys = frozenset(map(_checked_key, allowed))
    if keys and settings.server_secret_key is None:
        raise ConfigurationError("--allow needs the proxy's own key: give --secret-key-file")
    return replace(settings, allowed_clients=settings.allowed_clients | keys)


def _checked_key(key: str) -> str:
    try:
        return check_key(key)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _checked_address(flag: str, address: str | None) -> str | None:
    if address is None:
        return None
    try:
        return addresses.check(address)
    except ValueError as error:
        raise ConfigurationError(f"{flag}: {error}") from error
