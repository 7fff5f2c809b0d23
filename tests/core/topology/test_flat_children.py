"""Agents without the key `agent`, and supervisors without children, as civitas 0.12 has them."""

from __future__ import annotations

from typing import Any

import pytest

from civitas.process import AgentProcess
from civitas.topology import TopologyError, load_topology_mapping

FLAT = """\
supervision:
  name: root
  children:
    - name: a
      type: APP.agents.Reader
      process: worker
      config: {folder: /tmp}
    - supervisor:
        name: inner
        children:
          - {type: APP.agents.Plain, name: b, mailbox_size: 5}
    - agent: {name: c, type: APP.agents.Plain}
"""


def test_an_agent_that_is_written_flat_is_the_one_that_is_not(workspace: Any) -> None:
    agents = [*workspace.load(FLAT).supervision.agents()]

    assert [each.block.name for each in agents] == ["a", "b", "c"]
    first, second, _ = agents
    assert (first.block.process, first.block.config) == ("worker", {"folder": "/tmp"})
    assert second.block.mailbox_size == 5


def test_a_mapping_may_be_flat_and_is_left_as_it_was() -> None:
    class Plain(AgentProcess):
        pass

    children = [{"name": "a", "type": "Plain"}]
    given = {"supervision": {"name": "root", "children": children}}
    load_topology_mapping(given, agent_base=AgentProcess, agent_classes={"Plain": Plain})
    assert children == [{"name": "a", "type": "Plain"}]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("supervision.children.inner.children.b.mailbox_size=7", [None, 7, None]),
        ("supervision.children.1.supervisor.children.b.mailbox_size=7", [None, 7, None]),
        ("supervision.children.a={name: d, type: APP.agents.Plain, mailbox_size: 7}", [7, 5, None]),
        ("supervision.children.2={name: d, type: APP.agents.Plain, mailbox_size: 7}", [None, 5, 7]),
    ],
)
def test_a_set_reaches_a_flat_agent_and_may_bring_one(
    workspace: Any, given: str, expected: list[int | None]
) -> None:
    loaded = workspace.load(FLAT, sets=[given.replace("APP", workspace.app)])
    assert [each.block.mailbox_size for each in loaded.supervision.agents()] == expected


def test_a_set_reaches_an_agent_that_another_set_has_brought(workspace: Any) -> None:
    brought = "supervision.children=[{name: d, type: APP.agents.Plain}]"
    sets = [brought.replace("APP", workspace.app), "supervision.children.d.mailbox_size=7"]
    (agent,) = workspace.load(FLAT, sets=sets).supervision.agents()
    assert agent.block.mailbox_size == 7


def test_an_index_is_that_of_a_child_and_the_keys_of_an_agent_stand_below_it(
    workspace: Any,
) -> None:
    with pytest.raises(TopologyError) as refused:
        workspace.load(FLAT, sets=["supervision.children.0.mailbox_size=7"])
    (problem,) = refused.value.problems
    assert problem.message == "unknown key 'mailbox_size'"
    assert problem.suggestion == "did you mean 'supervision.children.0.agent.mailbox_size'?"


def test_a_mistake_in_a_flat_agent_has_its_line_and_the_keys_of_an_agent(workspace: Any) -> None:
    (problem,) = workspace.problems(FLAT.replace("mailbox_size", "mailbox_sise"))
    assert problem.location.line == 11
    assert problem.message == "unknown key 'mailbox_sise'"
    assert "'mailbox_size'" in problem.suggestion


@pytest.mark.parametrize("children", ["", "  children: []\n"])
def test_a_supervisor_may_have_no_children(workspace: Any, children: str) -> None:
    loaded = workspace.load(f"supervision:\n  name: root\n{children}")
    assert loaded.supervision.children == ()


@pytest.mark.parametrize(
    ("child", "message", "suggestion"),
    [
        ("{type: agent, name: b, module: m, class: C}", "unknown key 'module'", "module.Class"),
        ("{type: eval_agent, name: b}", "'eval_agent' is no class", "nothing here takes its place"),
        ("{type: APP.agents.Plain, name: b, capabilities: [x]}", "'capabilities'", "broadcast"),
    ],
)
def test_what_is_of_the_other_alone_says_so(
    workspace: Any, child: str, message: str, suggestion: str
) -> None:
    with pytest.raises(TopologyError) as refused:
        workspace.load(FLAT + f"    - {child}\n")
    (told,) = [each for each in refused.value.problems if message in each.message]
    assert "it is of the distribution civitas 0.12" in told.suggestion
    assert suggestion in told.suggestion
