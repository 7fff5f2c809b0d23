"""Tree: from a declared supervision tree to the engines that run it, and to text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from civitas._agents.slot import AgentSlot
from civitas._supervision.engine import Engine, TreeObserver
from civitas._supervision.remote import RemoteAgent, RemoteChild
from civitas.process import AgentProcess
from civitas.supervisor import Supervisor

MakeSlot: TypeAlias = Callable[[AgentProcess, Engine], AgentSlot]
MakeRemote: TypeAlias = Callable[[RemoteChild, Engine], RemoteAgent]


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


def tree_lines(engine: Engine, indent: str = "") -> list[str]:
    """Return a supervision tree as text, an agent or a supervisor a line."""
    lines = [f"{indent}{engine.name} ({engine.policy.strategy.value})"]
    for member in engine.members:
        if isinstance(member, Engine):
            lines.extend(tree_lines(member, indent + "  "))
            continue
        if isinstance(member, RemoteAgent):
            what = f"in {member.child.process or 'a worker'}"
        else:
            what = type(member.agent).__name__
        lines.append(f"{indent}  {member.name} [{what}] {member.status.value}")
    return lines
