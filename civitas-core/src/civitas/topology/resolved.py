"""A topology that is ready to run: classes imported, plugins loaded, options checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from civitas._health.settings import HealthSettings
from civitas._signing.settings import Signing
from civitas.errors import ConfigurationError, Location
from civitas.messages import PRIMARY
from civitas.plugins.loader import (
    LoadedInstrument,
    LoadedPlugin,
    LoadedSerializer,
    LoadedTransport,
)
from civitas.plugins.masking import MASK
from civitas.plugins.shown import shown_options
from civitas.topology.constructors import Constructor
from civitas.topology.model import (
    AgentBlock,
    PluginBlock,
    SupervisorBlock,
    TopologyModel,
)
from civitas.topology.yaml_nodes import MappingNode, dotted, locate, scalars

LoadedT = TypeVar("LoadedT", bound=LoadedPlugin[Any])


@dataclass(frozen=True, slots=True)
class ResolvedAgent:
    """An agent of the topology.

    Attributes:
        block: its keys. A setting that is `None` was not given: the class decides.
        constructor: makes it; `None` when its class was not imported.
        path: where in the topology it is, in the form that `--set` takes.
        where: where it stands.
    """

    block: AgentBlock
    constructor: Constructor | None
    path: str
    where: Location

    @property
    def is_factory(self) -> bool:
        """Whether a factory makes it, and not the constructor of a class."""
        return self.constructor is not None and not isinstance(self.constructor.maker, type)

    def build(self) -> Any:
        """Make the agent, the way its arguments were checked: `cls(name, **config, **services)`.

        Raises:
            ConfigurationError: its class was not imported.
        """
        if self.constructor is None:
            raise ConfigurationError(
                f"the class of agent {self.block.name!r} was not imported: load the topology for "
                f"the process that hosts it"
            )
        config = self.block.config or {}
        return self.constructor.maker(self.block.name, **config, **self.constructor.services)


@dataclass(frozen=True, slots=True)
class ResolvedSupervisor:
    """A supervisor of the topology.

    Attributes:
        block: its keys.
        children: agents and supervisors, in the order in which they start.
        where: where it stands.
    """

    block: SupervisorBlock
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
class ResolvedPlugin(Generic[LoadedT]):
    """A plugin that the topology names.

    Attributes:
        type_name: how the topology names it.
        plugin: the loaded plugin; `None` when it was not imported.
        options: the plugin's own options; `None` for one without any, and where it was not
            imported.
        where: where its block, or its name, stands.
    """

    type_name: str
    plugin: LoadedT | None
    options: BaseModel | None
    where: Location


ResolvedTransport: TypeAlias = ResolvedPlugin[LoadedTransport]
"""The transport of the topology."""

ResolvedSerializer: TypeAlias = ResolvedPlugin[LoadedSerializer]
"""A serializer of the topology."""

ResolvedInstrument: TypeAlias = ResolvedPlugin[LoadedInstrument]
"""An instrument of the topology."""


@dataclass(frozen=True, slots=True)
class Topology:
    """A topology that is ready to run.

    Attributes:
        file: its file, or `<mapping>`.
        model: every key as it was given or by default.
        transport: what carries the messages.
        serializer: what messages are written with.
        accept_serializers: further serializers that are read.
        instruments: what watches every process.
        send_timeout: seconds that a sender waits for room.
        signing: how frames are signed.
        health: where a process answers probes, if anywhere, and what it bears.
        supervision: the root supervisor.
        notes: what the user should know, such as what `--transport` dropped.
        not_judged: what would have needed an import that was not wanted.
        secrets: values that are not to be shown; what `${VAR}` gave is among them.
        root: the tree that it was made of.
    """

    file: str
    model: TopologyModel
    transport: ResolvedTransport
    serializer: ResolvedSerializer
    accept_serializers: tuple[ResolvedSerializer, ...]
    instruments: tuple[ResolvedInstrument, ...]
    send_timeout: float
    signing: Signing
    health: HealthSettings
    supervision: ResolvedSupervisor
    notes: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    root: MappingNode | None = field(default=None, repr=False)

    @property
    def origins(self) -> Mapping[str, Location]:
        """By the path of each value that was given, in the form that `--set` takes, its origin.

        That is the file and line, the variable or the option that gave it.
        """
        root = self.root
        if root is None:
            return {}
        return {dotted(path): locate(root, path) for path, _ in scalars(root)}

    @property
    def processes(self) -> tuple[str, ...]:
        """The names of the worker processes that agents name, in their order."""
        named = (agent.block.process for agent in self.supervision.agents())
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def as_mapping(self) -> dict[str, Any]:
        """Return the topology as it would run, in the form of a topology, without secrets.

        Of `config` only the keys are shown: what an application keeps there may be secret. So it is
        with the options of a plugin that was not imported: only it knows which of them are secret.
        """
        named = zip(self.instruments, self.model.instruments, strict=True)
        return {
            "file": self.file,
            "transport": _shown_plugin(self.transport, self.model.transport),
            "serializer": _or_name(_shown_plugin(self.serializer, self.model.serializer)),
            "accept_serializers": [each.type_name for each in self.accept_serializers],
            "instruments": [_or_name(_shown_plugin(*each)) for each in named],
            "send_timeout": self.send_timeout,
            "cluster_key": None if self.signing.key is None else MASK,
            "signed_frames": self.model.signed_frames,
            "health": None if self.model.health is None else dict(self.model.health),
            "supervision": _shown(self.supervision),
        }


def _or_name(shown: dict[str, Any]) -> dict[str, Any] | str:
    """Return the name alone of what has no options to show."""
    name: str = shown["type"]
    return shown if len(shown) > 1 else name


def _shown_plugin(resolved: ResolvedPlugin[Any], block: PluginBlock) -> dict[str, Any]:
    shown = dict.fromkeys(block.model_extra or {}, MASK) if resolved.plugin is None else {}
    if resolved.options is not None:
        shown = shown_options(resolved.options)
    return {"type": resolved.type_name, **shown}


def _shown(resolved: ResolvedSupervisor | ResolvedAgent) -> dict[str, Any]:
    shown = dict(resolved.block)
    if isinstance(resolved, ResolvedSupervisor):
        kinds = {ResolvedAgent: "agent", ResolvedSupervisor: "supervisor"}
        return shown | {"children": [{kinds[type(e)]: _shown(e)} for e in resolved.children]}
    if resolved.constructor is not None:
        shown["type"] = resolved.constructor.title
    shown["process"] = resolved.block.process or PRIMARY
    shown["config"] = list(resolved.block.config or ()) or None
    return {key: value for key, value in shown.items() if value is not None}
