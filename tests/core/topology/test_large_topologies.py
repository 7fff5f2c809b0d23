"""What a topology of many agents costs to load: counted in calls, which no load moves."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest

CALLS_OF_AN_AGENT = 390
"""Calls of functions for each agent at most. With Python 3.11, 328 were counted; 643 were too many:
0.9 s for 5,000 agents."""


def text(agents: int) -> str:
    children = "".join(
        f"    - agent: {{name: a{n}, type: APP.agents.Plain}}\n" for n in range(agents)
    )
    return "supervision:\n  name: root\n  children:\n" + children


def calls_to_load(workspace: Any, topology: str) -> int:
    """Return how many calls of functions, in Python and in C, it takes to load a topology."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    workspace.load(topology)  # what is imported, compiled and built once, is
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        workspace.load(topology)
    finally:
        sys.setprofile(before)
    return calls


def test_the_work_of_a_load_is_bounded_for_each_agent(workspace: Any) -> None:
    few, many = (calls_to_load(workspace, text(agents)) for agents in (50, 150))

    assert (many - few) / 100 < CALLS_OF_AN_AGENT


def test_the_constructor_of_a_class_is_looked_at_once_however_many_agents_have_it(
    workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[object] = []
    look = inspect.signature

    def signature(given: Any, **options: Any) -> inspect.Signature:
        looked_at.append(given)
        return look(given, **options)

    monkeypatch.setattr(inspect, "signature", signature)
    workspace.load(text(20))

    constructor = sys.modules[f"{workspace.app}.agents"].Plain.__init__
    assert looked_at.count(constructor) == 1
