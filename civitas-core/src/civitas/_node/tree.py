"""The supervision tree as text."""

from __future__ import annotations

from civitas._agents.slot import AgentSlot
from civitas._supervision.remote import RemoteAgent, RemoteChild
from civitas.supervisor import Supervisor


def tree_lines(supervisor: Supervisor, indent: str = "") -> list[str]:
    """Return a supervision tree as text, an agent or a supervisor a line."""
    lines = [f"{indent}{supervisor.name} ({supervisor.strategy.value})"]
    members = supervisor.members or supervisor.children
    for member in members:
        if isinstance(member, Supervisor):
            lines.extend(tree_lines(member, indent + "  "))
        elif isinstance(member, RemoteAgent | RemoteChild):
            child = member.child if isinstance(member, RemoteAgent) else member
            status = member.status.value if isinstance(member, RemoteAgent) else "unknown"
            lines.append(f"{indent}  {child.name} [in {child.process or 'a worker'}] {status}")
        else:
            agent = member.agent if isinstance(member, AgentSlot) else member
            status = member.status.value
            lines.append(f"{indent}  {agent.name} [{type(agent).__name__}] {status}")
    return lines
