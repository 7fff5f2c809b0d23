"""What comes out of a good topology."""

from __future__ import annotations

from typing import Any

import pytest

from civitas.errors import Location
from civitas.process import AgentProcess
from civitas.topology import ResolvedAgent, ResolvedSupervisor, load_topology_mapping
from support.commands import printed_by

MINIMAL = "supervision: {name: root, children: [{agent: {name: a, type: APP.agents.Plain}}]}"

FULL = """\
transport:
  type: in_process
serializer: {type: json}
accept_serializers: [msgpack]
send_timeout: 2.5
supervision:
  name: root
  strategy: rest_for_one
  max_restarts: 7
  restart_window: 30
  backoff: Exponential
  backoff_base: 0
  backoff_max: 9
  children:
    - supervisor:
        name: inner
        children:
          - agent:
              name: a
              type: APP.agents.Reader
              process: worker
              config: {folder: /tmp}
              mailbox_size: 5
              max_retries: 0
              handle_timeout: 1
              shutdown_timeout: 2
              retry_delay: 0.5
              retry_backoff: linear
              heartbeat_interval: 3
              heartbeat_timeout: 4
              missed_heartbeats_threshold: 6
    - agent: {name: b, type: APP.agents.Plain, process: supervisor}
"""


def test_defaults(workspace: Any) -> None:
    loaded = workspace.load(MINIMAL)

    root = loaded.supervision.block
    assert (root.strategy, root.max_restarts, root.restart_window) == ("ONE_FOR_ONE", 3, 60.0)
    assert (root.backoff, root.backoff_base, root.backoff_max) == ("CONSTANT", 1.0, 60.0)
    assert loaded.send_timeout == 30.0
    assert loaded.transport.plugin.spec.name == "in_process"
    assert loaded.transport.options is None
    assert loaded.serializer.plugin.spec.name == "msgpack"
    assert loaded.accept_serializers == ()
    assert loaded.notes == ()


def test_settings_that_are_not_given_are_left_to_the_class(workspace: Any) -> None:
    (agent,) = workspace.load(MINIMAL).supervision.agents()

    assert agent.block.config is None
    assert agent.block.process is None
    settings = ("mailbox_size", "max_retries", "handle_timeout", "shutdown_timeout")
    settings += ("retry_delay", "retry_backoff")
    heartbeat = ("heartbeat_interval", "heartbeat_timeout", "missed_heartbeats_threshold")
    assert [getattr(agent.block, each) for each in (*settings, *heartbeat)] == [None] * 9


def test_everything_that_is_given_arrives(workspace: Any) -> None:
    loaded = workspace.load(FULL)

    root = loaded.supervision.block
    assert (root.strategy, root.max_restarts, root.restart_window) == ("REST_FOR_ONE", 7, 30)
    assert (root.backoff, root.backoff_base, root.backoff_max) == ("EXPONENTIAL", 0, 9)
    assert loaded.serializer.plugin.spec.name == "json"
    assert [each.plugin.spec.name for each in loaded.accept_serializers] == ["msgpack"]
    inner, b = loaded.supervision.children
    assert isinstance(inner, ResolvedSupervisor)
    assert isinstance(b, ResolvedAgent)
    (agent,) = inner.children
    assert agent.constructor.maker.__name__ == "Reader"
    a = agent.block
    assert (a.name, a.config, a.process) == ("a", {"folder": "/tmp"}, "worker")
    assert (a.mailbox_size, a.max_retries, a.handle_timeout, a.shutdown_timeout) == (5, 0, 1, 2)
    assert (a.retry_delay, a.retry_backoff) == (0.5, "LINEAR")
    assert (a.heartbeat_interval, a.heartbeat_timeout, a.missed_heartbeats_threshold) == (3, 4, 6)


def test_the_process_supervisor_is_the_primary(workspace: Any) -> None:
    loaded = workspace.load(FULL)

    assert loaded.processes == ("worker",)
    assert loaded.supervision.children[1].block.process is None


def test_agents_and_supervisors_are_listed_in_their_order(workspace: Any) -> None:
    root = workspace.load(FULL).supervision

    assert [each.block.name for each in root.agents()] == ["a", "b"]
    assert [each.block.name for each in root.supervisors()] == ["root", "inner"]


def test_everything_knows_where_it_stands(workspace: Any) -> None:
    loaded = workspace.load(FULL)

    def line(where: Location) -> int | None:
        assert where.file == str(workspace.file)
        return where.line

    assert line(loaded.transport.where) == 1
    assert line(loaded.serializer.where) == 3
    assert line(loaded.accept_serializers[0].where) == 4
    assert line(loaded.supervision.where) == 6
    assert line(loaded.supervision.children[0].where) == 15
    assert line(loaded.supervision.children[0].children[0].where) == 18
    assert line(loaded.supervision.children[1].where) == 32


def test_overrides_apply_and_are_noted(workspace: Any) -> None:
    text = MINIMAL + "\ntransport: {type: pigeon, loft: x}\n"

    loaded = workspace.load(
        text,
        transport="in_process",
        sets=["send_timeout=5", "supervision.children.a.mailbox_size=9"],
    )

    assert loaded.send_timeout == 5
    assert next(loaded.supervision.agents()).block.mailbox_size == 9
    assert len(loaded.notes) == 1
    assert "dropped: loft" in loaded.notes[0]


def test_variables_come_from_the_environment(
    workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAS_TEST_TIMEOUT", "4")

    assert workspace.load(MINIMAL + "\nsend_timeout: ${CIVITAS_TEST_TIMEOUT}").send_timeout == 4


class Greeter(AgentProcess):
    """An agent of this file."""

    def __init__(self, name: str, greeting: str, tags: tuple[str, ...] = ()) -> None:
        super().__init__(name)
        self.greeting = greeting
        self.tags = tags


def test_a_mapping_is_resolved_like_a_file() -> None:
    tags = ("x",)
    agent = {"name": "a", "type": "Greeter", "config": {"greeting": "${WORD}", "tags": tags}}
    mapping = {"supervision": {"name": "root", "children": [{"agent": agent}]}}

    loaded = load_topology_mapping(
        mapping,
        agent_base=AgentProcess,
        agent_classes={"Greeter": Greeter},
        variables={"WORD": "5"},
    )

    (resolved,) = loaded.supervision.agents()
    assert resolved.block.config == {"greeting": "5", "tags": ("x",)}
    assert resolved.block.config is not agent["config"]
    assert agent["config"] == {"greeting": "${WORD}", "tags": ("x",)}
    assert loaded.file == "<mapping>"


def test_a_large_topology_loads(workspace: Any) -> None:
    children = "".join(
        f"    - agent: {{name: a{n}, type: APP.agents.Plain}}\n" for n in range(3000)
    )

    loaded = workspace.load("supervision:\n  name: root\n  children:\n" + children)

    assert len(list(loaded.supervision.agents())) == 3000


def test_topologies_need_no_command_line_libraries() -> None:
    code = (
        "import sys, civitas.topology\n"
        "print([each for each in ('typer', 'rich') if each in sys.modules])"
    )

    assert printed_by(code) == "[]"
