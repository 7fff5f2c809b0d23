"""From a resolved topology to what a Runtime is made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from civitas._agents.binding import configure, is_complete
from civitas._agents.settings import settings_of
from civitas._bus.arguments import kind_of
from civitas._bus.codec import new_origin
from civitas._bus.instrument_guards import Instruments, InstrumentSource
from civitas._supervision.heartbeat import DEFAULT
from civitas._supervision.remote import RemoteChild
from civitas.components import ComponentSet, make_named_serializer, wire
from civitas.components.given import named_instrument
from civitas.envelope import Origin
from civitas.errors import ConfigurationError, Location, PluginError, crash_of, logger_of
from civitas.messages import PRIMARY
from civitas.plugins import Capabilities
from civitas.plugins.loader import capabilities_of
from civitas.plugins.masking import describe_without_inputs, mask_text
from civitas.process import AgentProcess
from civitas.serializer import Serializer
from civitas.supervisor import Supervisor
from civitas.topology import ResolvedAgent, ResolvedSerializer, ResolvedSupervisor, Topology
from civitas.topology.model import AgentBlock
from civitas.topology.plugins import option_secrets
from civitas.topology.problems import Problem, raise_problems

logger = logger_of("civitas.runtime")


def supervisor_of(topology: Topology) -> Supervisor:
    """Make the supervision tree of a topology, with the agents of its primary process.

    Raises:
        TopologyError: constructors raised; all of them are listed, with the agents' lines.
    """
    resolved = topology.supervision
    crosses = _claims(topology).cross_process
    here = (each for each in resolved.agents() if not (crosses and each.block.process))
    agents = _agents(here, topology.secrets)
    return _tree(resolved, agents)


def agents_of(topology: Topology, process: str) -> list[AgentProcess]:
    """Make the agents of one worker process of a topology.

    Raises:
        TopologyError: constructors raised; all of them are listed, with the agents' lines.
    """
    here = (each for each in topology.supervision.agents() if each.block.process == process)
    return list(_agents(here, topology.secrets).values())


def elsewhere(topology: Topology, process: str) -> dict[str, str]:
    """Return the agents that run in other processes than this one, with those processes."""
    blocks = (each.block for each in topology.supervision.agents())
    hosts = {each.name: each.process or PRIMARY for each in blocks}
    return {name: host for name, host in hosts.items() if host != process}


def components_of(
    topology: Topology, process: str = PRIMARY, *, watched: bool = True
) -> ComponentSet:
    """Wire the components that a topology names, for one of its processes.

    `watched` says whether it has the instruments of the topology.

    Raises:
        TopologyPluginError: a factory fails, or makes what is no transport or no serializer.
        TopologyError: a factory refuses its options. Both list all problems.
    """
    transport = topology.transport
    assert transport.plugin is not None
    problems: list[Problem] = []
    serializer: Serializer | None = None
    with _collecting(problems, "serializer", topology.serializer.where, topology.secrets):
        serializer = serializer_of(topology.serializer)
    origin = new_origin()
    watch = _instruments_of(topology, problems, process, origin) if watched else Instruments()
    accepted: list[Serializer] = []
    for index, each in enumerate(topology.accept_serializers):
        with _collecting(problems, f"accept_serializers.{index}", each.where):
            accepted.append(serializer_of(each))
    components: ComponentSet | None = None
    given = topology.model.transport.model_extra or {}
    options = transport.options
    secrets = [] if options is None else option_secrets(given, type(options))
    with _collecting(problems, "transport", transport.where, secrets):
        _log_processes(topology)
        components = wire(
            transport.plugin,
            options,
            serializer,
            accept_serializers=accepted,
            send_timeout=topology.send_timeout,
            signing=topology.signing,
            instruments=watch,
            origin=origin,
            process=process,
            is_primary=process == PRIMARY,
            where=transport.where,
        )
    raise_problems(problems)
    assert components is not None
    components.health = topology.health
    return components


def _instruments_of(
    topology: Topology, problems: list[Problem], process: str, origin: Origin
) -> Instruments:
    """Make the instruments that a topology names, for one of its processes."""
    sources: list[InstrumentSource] = []
    for each in topology.instruments:
        assert each.plugin is not None
        sources.append(named_instrument(each.plugin, each.options, each.where))

    def guard(place: int) -> AbstractContextManager[None]:
        path, where = f"instruments.{place}", topology.instruments[place].where
        return _collecting(problems, path, where, topology.secrets)

    watch = Instruments(sources, is_primary=process == PRIMARY)
    watch.make(process, origin.node.hex(), guard)
    return watch


def serializer_of(resolved: ResolvedSerializer) -> Serializer:
    """Make a serializer that a topology names, whose plugins are loaded.

    Raises:
        PluginError: its factory fails, or makes what is no serializer.
    """
    assert resolved.plugin is not None
    return make_named_serializer(resolved.plugin, resolved.options, resolved.where)


def _agents(resolved: Iterable[ResolvedAgent], secrets: Collection[str]) -> dict[str, AgentProcess]:
    agents: dict[str, AgentProcess] = {}
    problems: list[Problem] = []
    for each in resolved:
        try:
            agents[each.block.name] = _agent(each, secrets)
        except ConfigurationError as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            problems.append(Problem(each.where, each.path, str(error), cause=cause))
    raise_problems(problems)
    return agents


def _agent(resolved: ResolvedAgent, secrets: Collection[str]) -> AgentProcess:
    """Make an agent of a topology; what its constructor raises is told without the secrets.

    Raises:
        ConfigurationError: its constructor raised, left out what AgentProcess does, or gave it
            a wrong setting.
    """
    block = resolved.block
    made_by = f"agent {block.name!r}: the constructor of {block.type}"
    if resolved.is_factory:
        made_by = f"agent {block.name!r}: the factory {block.type}"
    try:
        agent: object = resolved.build()
    except BaseException as error:
        text = mask_text(describe_without_inputs(crash_of(error)), secrets)
        raise ConfigurationError(f"{made_by} raised {text}") from error
    if not isinstance(agent, AgentProcess):
        raise ConfigurationError(f"{made_by} returned {kind_of(agent)}, not an agent")
    if not is_complete(agent):
        raise ConfigurationError(f"{made_by} does not call super().__init__(name)")
    if agent.name != block.name:
        raise ConfigurationError(
            f"{made_by} named it {agent.name!r}; pass the name on to AgentProcess"
        )
    configure(agent, block)
    settings_of(agent)
    return agent


def _tree(resolved: ResolvedSupervisor, agents: dict[str, AgentProcess]) -> Supervisor:
    children = [
        _child(each.block, agents) if isinstance(each, ResolvedAgent) else _tree(each, agents)
        for each in resolved.children
    ]
    # The keys of the block are the arguments of Supervisor.
    return Supervisor(**{**dict(resolved.block), "children": children})


def _child(block: AgentBlock, agents: dict[str, AgentProcess]) -> AgentProcess | RemoteChild:
    """Return the agent, or what stands for it where another process hosts it."""
    if block.name in agents:
        return agents[block.name]
    heartbeat: dict[str, Any] = {
        "interval": block.heartbeat_interval,
        "timeout": block.heartbeat_timeout,
        "threshold": block.missed_heartbeats_threshold,
    }
    given = {key: value for key, value in heartbeat.items() if value is not None}
    return RemoteChild(block.name, block.process, DEFAULT._replace(**given))


def _claims(topology: Topology) -> Capabilities:
    transport = topology.transport
    assert transport.plugin is not None
    return capabilities_of(transport.plugin, transport.options, transport.where)


def _log_processes(topology: Topology) -> None:
    """Say when the agents of other processes run here, because the transport can't reach them."""
    transport = topology.transport
    if topology.processes and not _claims(topology).cross_process:
        logger.info(
            "transport %r stays within one process: the agents of %s run here too",
            transport.type_name,
            ", ".join(topology.processes),
        )


@contextmanager
def _collecting(
    problems: list[Problem], path: str, where: Location, secrets: Iterable[str] = ()
) -> Iterator[None]:
    """Turn the error of a factory into a problem of the topology, without secrets."""
    try:
        yield
    except (PluginError, ConfigurationError) as error:
        # A plugin's error begins with the same location, which the problem has too.
        message = mask_text(str(error).removeprefix(f"{where}: "), secrets)
        problems.append(Problem(where, path, message, code=error.code, cause=error))
