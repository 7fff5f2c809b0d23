"""`civitas topology validate` makes the node of every process, as `civitas run` does in each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from civitas.cli.app import app
from civitas.errors import ConfigurationError
from civitas.topology import TopologyError

MODULE = "agents_of_judged_nodes"
AGENTS = """
from civitas import AgentProcess

class Plain(AgentProcess):
    pass

class Refuses(AgentProcess):
    def __init__(self, name):
        raise ValueError("not today")
"""
HAWK = """
from civitas.errors import ConfigurationError
from civitas.plugins import Capabilities, TransportSpec, hookimpl

def make(options, context):
    raise ConfigurationError("there is no sky")

@hookimpl
def civitas_transports():
    yield TransportSpec("hawk", "Flies", make, capabilities=Capabilities(cross_process=True))
"""
TOPOLOGY = f"""\
transport: {{type: zmq}}
supervision:
  name: root
  children:
    - agent: {{name: a, type: {MODULE}.Refuses}}
    - agent: {{name: b, type: {MODULE}.Plain, process: good}}
    - agent: {{name: c, type: {MODULE}.Refuses, process: bad}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    (tmp_path / f"{MODULE}.py").write_text(AGENTS)
    (tmp_path / "topology.yaml").write_text(TOPOLOGY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def validate(*arguments: str) -> None:
    app(["topology", "validate", *arguments], standalone_mode=False)


@pytest.mark.parametrize(("share", "lines"), [((), [5, 7]), (("--process=bad",), [7])])
@pytest.mark.usefixtures("folder", "capfd")
def test_constructors_of_all_processes_or_of_one_are_judged(
    share: tuple[str, ...], lines: list[int]
) -> None:
    with pytest.raises(TopologyError) as caught:
        validate(*share)

    assert [each.location.line for each in caught.value.problems] == lines


@pytest.mark.usefixtures("capfd")
def test_what_is_wrong_with_the_node_of_every_process_is_told_once(folder: Path) -> None:
    info = folder / "site" / "hawk-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hawk\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[civitas.v1.transports]\nhawk = judged_hawk\n")
    (folder / "site" / "judged_hawk.py").write_text(HAWK)
    sys.path.append(str(folder / "site"))
    text = TOPOLOGY.replace("zmq", "hawk").replace("Refuses", "Plain")
    (folder / "topology.yaml").write_text(text)

    with pytest.raises(TopologyError) as caught:
        validate()

    (problem,) = caught.value.problems
    assert (problem.location.line, problem.path) == (1, "transport")
    assert "there is no sky" in problem.message


@pytest.mark.usefixtures("folder")
def test_a_share_of_a_good_process_is_good(capfd: pytest.CaptureFixture[str]) -> None:
    validate("--process=good")

    assert capfd.readouterr().out.startswith("topology.yaml has no mistake in what was judged (")


@pytest.mark.parametrize("options", [[], ["--no-import"]])
@pytest.mark.parametrize("command", ["validate", "show"])
@pytest.mark.usefixtures("folder", "capfd")
def test_there_is_no_share_of_a_process_that_the_topology_has_not(
    command: str, options: list[str]
) -> None:
    with pytest.raises(ConfigurationError, match="its processes are supervisor, good, bad"):
        app(["topology", command, "--process=goood", *options], standalone_mode=False)


@pytest.mark.usefixtures("folder")
def test_what_is_wrong_with_no_single_value_is_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    code = app(["topology", "validate", "--process=goood", "--json"], standalone_mode=False)

    report = json.loads(capfd.readouterr().out)
    (problem,) = report["problems"]
    assert (code, report["valid"], problem["file"]) == (2, False, "topology.yaml")
    assert problem["message"].startswith("topology.yaml has no process 'goood'")
