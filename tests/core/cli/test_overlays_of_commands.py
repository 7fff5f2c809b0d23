"""`--overlay`: every command that takes a topology takes overlays, and says what they gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from civitas.cli.app import app
from civitas.topology import TopologyError

BASE = """\
transport: {type: zmq}
supervision:
  name: root
  children:
    - agent: {name: greeter, type: civitas.process.AgentProcess}
    - supervisor:
        name: readers
        children:
          - agent: {name: reader, type: civitas.process.AgentProcess}
"""

PROD = """\
transport:
  pub_addr: ipc:///tmp/pub
supervision:
  children:
    - supervisor:
        name: readers
        children:
          - agent:
              name: reader
              mailbox_size: 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "topology.yaml").write_text(BASE)
    (tmp_path / "prod.yaml").write_text(PROD)
    (tmp_path / "site.yaml").write_text("send_timeout: 9\n")
    (tmp_path / "wrong.yaml").write_text("send_timeout: soon\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> None:
    app(arguments, standalone_mode=False)


def commands(group: Any, *names: str) -> list[tuple[tuple[str, ...], Any]]:
    if not hasattr(group, "commands"):
        return [(names, group)]
    return [
        found
        for name, command in group.commands.items()
        for found in commands(command, *names, name)
    ]


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


TAKE_A_TOPOLOGY = [
    names for names, command in commands(get_command(app)) if "--topology" in options_of(command)
]
ARGUMENTS = {
    ("ask",): ["a"],
    ("send",): ["a"],
    ("restart",): ["a"],
    ("top",): ["--once"],
    ("dead-letters", "show"): ["1"],
    ("dead-letters", "replay"): ["--all"],
    ("dead-letters", "drop"): ["--all", "--yes"],
    ("dead-letters", "move"): ["--from=a", "--to=b"],
}


def test_the_commands_with_a_topology_are_known() -> None:
    assert len(TAKE_A_TOPOLOGY) >= 12
    assert set(ARGUMENTS) <= set(TAKE_A_TOPOLOGY)


@pytest.mark.parametrize("names", TAKE_A_TOPOLOGY, ids=" ".join)
@pytest.mark.usefixtures("folder", "capfd")
def test_every_command_with_a_topology_lays_overlays_over_it(names: tuple[str, ...]) -> None:
    with pytest.raises(TopologyError) as caught:
        run(*names, *ARGUMENTS.get(names, []), "--overlay=prod.yaml", "--overlay=wrong.yaml")

    (problem,) = caught.value.problems
    assert str(problem.location) == "wrong.yaml:1"


@pytest.mark.usefixtures("folder")
def test_show_lists_what_the_file_alone_does_not_give(capfd: pytest.CaptureFixture[str]) -> None:
    overlays = ("--overlay=prod.yaml", "--overlay=site.yaml")
    run("topology", "show", *overlays, "--set=supervision.max_restarts=5")

    lines = capfd.readouterr().out.splitlines()
    assert any("reader  type=" in line and "mailbox_size=7" in line for line in lines)
    assert "yaml:" not in lines[-5]
    assert lines[-4:] == [
        "prod.yaml:2: transport.pub_addr",
        "prod.yaml:10: supervision.children.1.supervisor.children.0.agent.mailbox_size",
        "site.yaml:1: send_timeout",
        "--set supervision.max_restarts: supervision.max_restarts",
    ]


@pytest.mark.usefixtures("folder")
def test_json_of_show_has_the_place_of_every_value(capfd: pytest.CaptureFixture[str]) -> None:
    run("topology", "show", "--overlay=prod.yaml", "--json")

    origins = json.loads(capfd.readouterr().out)["origins"]
    assert origins["transport.type"] == {"file": "topology.yaml", "line": 1}
    assert origins["transport.pub_addr"] == {"file": "prod.yaml", "line": 2}


@pytest.mark.usefixtures("folder")
def test_validate_names_the_files_that_it_has_judged(capfd: pytest.CaptureFixture[str]) -> None:
    run("topology", "validate", "--overlay=prod.yaml", "--overlay=site.yaml")
    said = capfd.readouterr().out
    run("topology", "validate", "--overlay=prod.yaml", "--json")
    report = json.loads(capfd.readouterr().out)

    assert said.startswith("topology.yaml with prod.yaml, site.yaml is valid (agents: 2, ")
    assert (report["file"], report["overlays"]) == ("topology.yaml", ["prod.yaml"])
