"""A topology that is ready to run: classes imported, plugins loaded, options checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from civitas.errors import Location
from civitas.plugins.loader import LoadedSerializer, LoadedTransport
from civitas.topology.model import TopologyModel


@dataclass(frozen=True, slots=True)
class ResolvedAgent:
    """An agent of the topology. A setting that is `None` was not given: the class decides.

    Attributes:
        name: unique in the topology.
        cls: its class, a subclass of the `agent_base` that was given.
        type_name: how the topology names the class.
        config: arguments of the constructor, besides the name.
        process: name of its worker process; `None` for the primary.
        mailbox_size: messages that wait at most.
        max_retries: executions after the first that RETRY gets.
        handle_timeout: seconds for one message.
        shutdown_timeout: seconds for draining the mailbox.
        heartbeat_interval: seconds between two pings.
        heartbeat_timeout: seconds for the answer to a ping.
        missed_heartbeats_threshold: missed pings in a row that count as a crash.
        path: where in the topology it is, in the form that `--set` takes.
        where: where it stands.
    """

    name: str
    cls: type[Any]
    type_name: str
    config: dict[str, Any]
    process: str | None
    mailbox_size: int | None
    max_retries: int | None
    handle_timeout: float | None
    shutdown_timeout: float | None
    heartbeat_interval: float | None
    heartbeat_timeout: float | None
    missed_heartbeats_threshold: int | None
    path: str
    where: Location

    def build(self) -> Any:
        """Make the agent, the way its arguments were checked: `cls(name, **config)`."""
        return self.cls(self.name, **self.config)


@dataclass(frozen=True, slots=True)
class ResolvedSupervisor:
    """A supervisor of the topology.

    Attributes:
        name: unique in the topology.
        strategy: ONE_FOR_ONE, ONE_FOR_ALL or REST_FOR_ONE.
        max_restarts: restarts allowed within `restart_window`.
        restart_window: seconds.
        backoff: CONSTANT, LINEAR or EXPONENTIAL.
        backoff_base: seconds.
        backoff_max: seconds.
        children: agents and supervisors, in the order in which they start.
        where: where it stands.
    """

    name: str
    strategy: str
    max_restarts: int
    restart_window: float
    backoff: str
    backoff_base: float
    backoff_max: float
    children: tuple[ResolvedSupervisor | ResolvedAgent, ...]
    where: Location

    def agents(self) -> Iterator[ResolvedAgent]:
        """Walk over the agents below, in the order in which they start."""
        for child in self.children:
            if isinstance(child, ResolvedAgent):
                yield child
            else:
                yield from child.agents()

    def supervisors(self) -> Iterator[ResolvedSupervisor]:
        """Walk over this supervisor and those below, parents first."""
        yield self
        for child in self.children:
            if isinstance(child, ResolvedSupervisor):
                yield from child.supervisors()


@dataclass(frozen=True, slots=True)
class ResolvedTransport:
    """The transport of the topology.

    Attributes:
        type_name: how the topology names it.
        plugin: the loaded plugin; `None` when plugins were not checked.
        options: the plugin's own options; `None` for a transport without any.
        where: where the block stands.
    """

    type_name: str
    plugin: LoadedTransport | None
    options: BaseModel | None
    where: Location


@dataclass(frozen=True, slots=True)
class ResolvedSerializer:
    """A serializer of the topology.

    Attributes:
        type_name: how the topology names it.
        plugin: the loaded plugin; `None` when plugins were not checked.
        where: where its name stands.
    """

    type_name: str
    plugin: LoadedSerializer | None
    where: Location


@dataclass(frozen=True, slots=True)
class Topology:
    """A topology that is ready to run.

    Attributes:
        file: its file, or `<mapping>`.
        model: every key as it was given or by default.
        transport: what carries the messages.
        serializer: what messages are written with.
        accept_serializers: further serializers that are read.
        send_timeout: seconds that a sender waits for room.
        supervision: the root supervisor.
        notes: what the user should know, such as what `--transport` dropped.
    """

    file: str
    model: TopologyModel
    transport: ResolvedTransport
    serializer: ResolvedSerializer
    accept_serializers: tuple[ResolvedSerializer, ...]
    send_timeout: float
    supervision: ResolvedSupervisor
    notes: tuple[str, ...] = ()

    @property
    def processes(self) -> tuple[str, ...]:
        """The names of the worker processes that agents name, in their order."""
        named = (agent.process for agent in self.supervision.agents())
        return tuple(dict.fromkeys(name for name in named if name is not None))
