"""MessageSource: where the messages are that a transport keeps, and which agents there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from civitas.errors import ConfigurationError, NotConnectedError, logger_of
from civitas.plugins import TransportContext
from civitas.transport import DeadLetterStore
from civitas.transport.dead_letters.reader import MessageReader

if TYPE_CHECKING:
    from civitas.plugins.loader import LoadedTransport
    from civitas.topology import Topology

_CONNECT_TIMEOUT: Final = 5.0
"""Seconds in which a running system is found."""

PROCESS: Final = "dead-letters"
"""The process name of the command, for the connections that it makes."""


@dataclass(frozen=True, slots=True)
class AgentNames:
    """Which agents a system has.

    Attributes:
        served: those of running processes, with the names of these.
        declared: those of the topology.
        unknown: why it is not known which run; empty when it is.
    """

    served: Mapping[str, str]
    declared: frozenset[str]
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class MessageSource:
    """What commands need to know of a transport.

    Attributes:
        store: makes a store that is not started.
        reader: reads its messages.
        names: finds out which agents the system has; None where nothing says how.
    """

    store: Callable[[], DeadLetterStore]
    reader: MessageReader
    names: Callable[[], Awaitable[AgentNames]] | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[DeadLetterStore]:
        """Have the store, started.

        Raises:
            CivitasError: as for `DeadLetterStore.start`.
        """
        store = self.store()
        try:
            await store.start()
            yield store
        finally:
            await store.stop()


def context_of(name: str) -> TransportContext:
    """Return the context for the store of the transport with this name."""
    return TransportContext(
        process=PROCESS, is_primary=False, logger=logger_of(f"civitas.transport.{name}")
    )


def source_of(topology: Topology) -> MessageSource:
    """Return the source for a topology whose plugins are loaded.

    Raises:
        ConfigurationError: its transport keeps nothing, or does not let commands reach it.
        PluginError: a plugin can't be used.
    """
    from civitas._node.build import serializer_of

    transport = topology.transport
    check_offer(topology)
    serializers = (topology.serializer, *topology.accept_serializers)
    reader = MessageReader(list(map(serializer_of, serializers)), topology.signing.key)

    def store() -> DeadLetterStore:
        from civitas.plugins.loader import make_dead_letters

        plugin = transport.plugin
        assert plugin is not None
        context = context_of(plugin.candidate.name)
        made: DeadLetterStore = make_dead_letters(
            plugin, transport.options, context, DeadLetterStore, where=transport.where
        )
        return made

    async def names() -> AgentNames:
        return await names_of(topology)

    return MessageSource(store, reader, names)


def check_offer(topology: Topology) -> None:
    """See that the transport of a topology lets commands reach what it keeps.

    Raises:
        ConfigurationError: it doesn't; the text says what to do.
    """
    from civitas.plugins.loader import capabilities_of

    transport = topology.transport
    plugin = transport.plugin
    assert plugin is not None
    if plugin.spec.dead_letters is not None:
        return
    if capabilities_of(plugin, transport.options, transport.where).at_least_once:
        raise ConfigurationError(no_store(plugin))
    raise ConfigurationError(
        f"the transport {plugin.candidate.name!r} keeps no messages: what an agent fails on is"
        " given up at once, counted and logged (`civitas stats` shows the counts); a transport that"
        " is at-least-once keeps them"
    )


def no_store(plugin: LoadedTransport) -> str:
    """Return what to say of a transport that keeps messages, and has no store for commands."""
    candidate = plugin.candidate
    return (
        f"the transport {candidate.name!r} of {candidate.distribution} is at-least-once, and offers"
        " commands no way to what it keeps (its TransportSpec has no `dead_letters`): look with the"
        " tools of its broker, or ask its author"
    )


async def names_of(topology: Topology) -> AgentNames:
    """Return which agents the system of a topology has; the running ones announce themselves."""
    from civitas.cli.options import crosses_processes
    from civitas.client import Client

    declared = frozenset(each.block.name for each in topology.supervision.agents())
    if not crosses_processes(topology):
        return AgentNames({}, declared, "this transport stays within one process")
    try:
        async with Client.from_topology(topology, _CONNECT_TIMEOUT, watched=False) as client:
            return AgentNames(client.agents(), declared)
    except NotConnectedError as error:
        return AgentNames({}, declared, str(error))
