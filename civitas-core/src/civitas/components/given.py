"""What is given in code: a plugin's name, a mapping with its options, or an instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from civitas._bus.instrument_guards import InstrumentSource
from civitas.errors import ConfigurationError, Location
from civitas.instruments import Instrument
from civitas.plugins import InstrumentContext
from civitas.plugins.loader import (
    LoadedInstrument,
    LoadedSerializer,
    LoadedTransport,
    load_instrument,
    load_serializer,
    load_transport,
    make_instrument,
    make_serializer,
)
from civitas.plugins.validation import contract_problems
from civitas.serializer import MsgpackSerializer, Serializer
from civitas.serializer.protocol import renamed


def transport_of(
    transport: str | Mapping[str, Any], prefixed: Mapping[str, Any]
) -> tuple[LoadedTransport, Any]:
    """Load the plugin of a transport's name, and check its options.

    `prefixed` are those that were given as keywords, prefixed by its name.

    Raises:
        ConfigurationError: an option is unknown or wrong.
        PluginError: the plugin can't be used.
    """
    given = {"type": transport} if isinstance(transport, str) else dict(transport)
    loaded = load_transport(given.get("type", "in_process"))
    if loaded.spec.options is None and not prefixed and len(given) == 1:
        return loaded, None
    from civitas.topology.plugins import keys_of_keywords, options_from_mapping  # loads pydantic

    keys = keys_of_keywords(prefixed, given, loaded.spec)
    given |= {key: prefixed[keyword] for key, keyword in keys.items()}
    by_keyword = isinstance(transport, str) or bool(keys)
    return loaded, options_from_mapping(given, loaded.spec, keys if by_keyword else None)


def serializer_of(
    serializer: str | Mapping[str, Any] | Serializer | None, where: Location | None = None
) -> Serializer:
    """Return the serializer of a plugin's name and options, the instance itself, or msgpack.

    Raises:
        ConfigurationError: an option is unknown or wrong.
        PluginError: the plugin can't be used; `where` is the place in the topology for its text.
    """
    if serializer is None:
        return MsgpackSerializer()
    if not isinstance(serializer, str | Mapping):
        return serializer
    given = {"type": serializer} if isinstance(serializer, str) else serializer
    plugin = load_serializer(given.get("type", "msgpack"), where)
    if plugin.spec.options is None and len(given) == 1:
        return make_named_serializer(plugin, None, where)
    from civitas.topology.plugins import options_from_mapping  # loads pydantic

    return make_named_serializer(plugin, options_from_mapping(given, plugin.spec), where)


def make_named_serializer(
    plugin: LoadedSerializer, options: Any, where: Location | None = None
) -> Serializer:
    """Make a plugin's serializer, of options that are checked already; see `serializer_of`."""
    made: Serializer = make_serializer(plugin, options, Serializer, where=where)
    return renamed(made, plugin.spec.name)


def instrument_sources(given: object) -> list[InstrumentSource]:
    """Return how to make each instrument of a list of names, mappings and instances.

    Raises:
        ConfigurationError: it is no such list, an option is unknown or wrong, or an instance has
            no method of an instrument, or one that can't be called as such.
        PluginError: a plugin can't be used.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise ConfigurationError(
            f"instruments are a list of names, mappings with `type`, or instances, not {given!r}"
        )
    return [_instrument_source(each) for each in given]


def _instrument_source(given: Any) -> InstrumentSource:
    if isinstance(given, str | Mapping):
        block = {"type": given} if isinstance(given, str) else given
        if not isinstance(block.get("type"), str):
            raise ConfigurationError("an instrument that is given as a mapping needs its `type`")
        plugin = load_instrument(block["type"])
        if plugin.spec.options is None and len(block) == 1:
            return named_instrument(plugin, None)
        from civitas.topology.plugins import options_from_mapping  # loads pydantic

        return named_instrument(plugin, options_from_mapping(block, plugin.spec))
    problems = contract_problems(given, Instrument, optional=True)
    if problems:
        raise ConfigurationError(f"this is no instrument: {'; '.join(problems)}")
    return InstrumentSource(type(given).__name__, lambda _context: given)


def named_instrument(
    plugin: LoadedInstrument, options: Any, where: Location | None = None
) -> InstrumentSource:
    """Return how to make a plugin's instrument, of options that are checked already."""

    def make(context: InstrumentContext) -> Any:
        return make_instrument(plugin, options, context, Instrument, where=where)

    return InstrumentSource(plugin.spec.name, make)
