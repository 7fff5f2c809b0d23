"""Looks at a system that is made up, for tests of what is shown of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from civitas.cli.stats.answers import NodeAnswer
from civitas.cli.stats.states import Expected, states_of
from civitas.cli.top.frames import Frame, Look, Memory, frame_of
from civitas.cli.top.rows import TreeBranch
from civitas.cli.top.screen import Head

EXPECTED = Expected(
    ("supervisor", "w1", "w2"), {"desk": "supervisor", "press": "w1", "ink": "w1", "post": "w2"}
)
TREE = TreeBranch(
    "root", "ONE_FOR_ONE", ("desk", TreeBranch("shop", "ONE_FOR_ALL", ("press", "ink")), "post")
)
HEAD = Head("orders.yaml", "zmq", 1.0, UTC)
WALL = 1_790_000_000.0


def agent(name: str, handled: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "state": "running", "handled": handled, **more}


def node(process: str, *agents: dict[str, Any], **more: Any) -> dict[str, Any]:
    role = "primary" if process == "supervisor" else "worker"
    return {"process": process, "node": f"id-{process}", "role": role, "agents": agents, **more}


def look(at: float, *told: dict[str, Any], problem: str = "", **more: Any) -> Look:
    backlog: Mapping[str, int] | None = more.get("backlog")
    answers = [NodeAnswer.read(each) for each in told]
    states = states_of(EXPECTED, answers, reached=more.get("reached", True))
    return Look(at, WALL + at, states, backlog, problem)


def frame(*looks: Look) -> Frame:
    """Return the frame of the last of some looks."""
    memory = Memory()
    for each in looks:
        shown, memory = frame_of(each, memory)
    return shown


def agents(shown: Frame) -> dict[str, Any]:
    return {each.name: each for each in shown.agents}


def processes(shown: Frame) -> dict[str, Any]:
    return {each.name: each for each in shown.processes}
