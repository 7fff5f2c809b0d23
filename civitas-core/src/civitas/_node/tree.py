"""Tree: what a declared supervision tree is made into, after its checks: engines, and text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from civitas._agents.settings import check_agent
from civitas._agents.slot import AgentSlot
from civitas._bus.arguments import kind_of
from civitas._supervision.engine import Engine, TreeObserver
from civitas._supervision.remote import RemoteAgent, RemoteChild
from civitas.errors import ConfigurationError, printable
from civitas.process import AgentProcess
from civitas.supervisor import Supervisor

MakeSlot: TypeAlias = Callable[[AgentProcess, Engine], AgentSlot]
MakeRemote: TypeAlias = Callable[[RemoteChild, Engine], RemoteAgent]


def check_tree(root: object) -> None:
    """Check that every part of a tree is what it should be.

    Raises:
        ConfigurationError: a child is no agent, or one with a wrong setting, or a name is given
            twice, to whatever it is.
    """
    if not isinstance(root, Supervisor):
        raise ConfigurationError(
            f"a Runtime takes the supervisor of its agents, such as "
            f"Supervisor('root', [...]), not {kind_of(root)}"
        )
    _check_supervisor(root, root.name, {})


def check_agents(agents: Iterable[AgentProcess]) -> list[AgentProcess]:
    """Return the agents of a node without a tree, checked as those of a tree are.

    Raises:
        ConfigurationError: as for `check_tree`.
    """
    given: object = agents
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise ConfigurationError(f"a Worker takes a list of agents, not {kind_of(given)}")
    listed, places = list(agents), dict[str, str]()
    for number, agent in enumerate(listed, 1):
        place = f"agent number {number} of the worker"
        check_agent(agent, place)
        _give(agent.name, place, places)
    return listed


def _check_supervisor(supervisor: Supervisor, path: str, places: dict[str, str]) -> None:
    _give(supervisor.name, f"supervisor {path}", places)
    for number, child in enumerate(supervisor.children, 1):
        if isinstance(child, Supervisor):
            _check_supervisor(child, f"{path}/{child.name}", places)
        elif isinstance(child, RemoteChild):
            _give(child.name, f"remote child {path}/{child.name}", places)
        else:
            check_agent(child, f"child number {number} of supervisor {supervisor.name!r}")
            _give(child.name, f"agent {path}/{child.name}", places)


def _give(name: str, place: str, places: dict[str, str]) -> None:
    """Note who has a name."""
    if name in places:
        raise ConfigurationError(
            f"the name {name!r} is given twice, to {places[name]} and to {place}; give each agent "
            f"and each supervisor a name of its own"
        )
    places[name] = place


def build_engine(
    supervisor: Supervisor,
    observer: TreeObserver,
    make_slot: MakeSlot,
    make_remote: MakeRemote,
    parent: Engine | None = None,
) -> Engine:
    """Make the engines of a tree, with what stands for each agent in them."""
    engine = Engine(supervisor.name, supervisor.policy, observer, parent)
    for child in supervisor.children:
        if isinstance(child, Supervisor):
            below = build_engine(child, observer, make_slot, make_remote, engine)
            engine.members.append(below)
        elif isinstance(child, RemoteChild):
            engine.members.append(make_remote(child, engine))
        else:
            engine.members.append(make_slot(child, engine))
    return engine


def restart_times(engine: Engine, due: float | None = None) -> dict[str, float]:
    """Return when agents below an engine are restarted that wait for it; in any thread.

    Times are those of `platform.monotonic`; `due` is that of the engine itself, where it waits.
    """
    waiting = dict(engine.backing_off)
    times: dict[str, float] = {}
    for member in engine.members:
        when = waiting.get(member.name, due)
        if isinstance(member, Engine):
            times |= restart_times(member, when)
        elif when is not None:
            times[member.name] = when
    return times


def tree_lines(engine: Engine, indent: str = "") -> list[str]:
    """Return a supervision tree as text, an agent or a supervisor a line."""
    lines = [printable(f"{indent}{engine.name} ({engine.policy.strategy.value})")]
    for member in engine.members:
        if isinstance(member, Engine):
            lines.extend(tree_lines(member, indent + "  "))
            continue
        if isinstance(member, RemoteAgent):
            what = f"in {member.child.process or 'a worker'}"
        else:
            what = type(member.agent).__name__
        lines.append(printable(f"{indent}  {member.name} [{what}] {member.status.value}"))
    return lines
