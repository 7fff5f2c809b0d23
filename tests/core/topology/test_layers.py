"""The layers of a topology: file, overlays, environment, options; each wins over those before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from civitas.process import AgentProcess
from civitas.topology import Topology, TopologyError, load_topology
from civitas.topology.layers import settings_of

BASE = """\
transport: {type: pigeon, loft: roof}
send_timeout: 1
supervision:
  name: root
  children:
    - agent: {name: a, type: no_module.Agent}
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load(overlay: str = "{}", variables: dict[str, str] | None = None, **more: Any) -> Topology:
        file, other = tmp_path / "topology.yaml", tmp_path / "prod.yaml"
        file.write_text(BASE)
        other.write_text(overlay)
        arguments = {"transport": "in_process", **more}
        return load_topology(
            file,
            agent_base=AgentProcess,
            processes=(),
            overlays=[other],
            variables=variables or {},
            **arguments,
        )

    return load


@pytest.mark.parametrize(
    ("overlay", "setting", "option", "timeout", "origin"),
    [
        ("{}", "", [], 1, "topology.yaml:2"),
        ("send_timeout: 2", "", [], 2, "prod.yaml:1"),
        ("send_timeout: 2", "send_timeout=3", [], 3, "CIVITAS_SET send_timeout"),
        ("send_timeout: 2", "send_timeout=3", ["send_timeout=4"], 4, "--set send_timeout"),
    ],
)
def test_each_layer_wins_over_those_before_it(
    load: Any, overlay: str, setting: str, option: list[str], timeout: float, origin: str
) -> None:
    loaded = load(overlay, {"CIVITAS_SET": setting}, sets=option)

    assert loaded.send_timeout == timeout
    assert str(loaded.origins["send_timeout"]).endswith(origin)


def test_the_transport_of_the_environment_replaces_that_of_the_files(load: Any) -> None:
    loaded = load(variables={"CIVITAS_TRANSPORT": "in_process"}, transport=None)

    assert loaded.transport.type_name == "in_process"
    assert str(loaded.origins["transport.type"]) == "CIVITAS_TRANSPORT"
    (note,) = loaded.notes
    assert note.startswith("CIVITAS_TRANSPORT in_process replaces the transport block at ")
    assert note.endswith("topology.yaml:1 (type pigeon); dropped: loft")


def test_the_option_wins_over_the_variable_with_all_that_was_set_for_it(load: Any) -> None:
    variables = {"CIVITAS_TRANSPORT": "hawk", "CIVITAS_SET": "transport.speed=9"}

    loaded = load(variables=variables)

    assert loaded.transport.type_name == "in_process"
    assert [each.split(" replaces ")[0] for each in loaded.notes] == [
        "CIVITAS_TRANSPORT hawk",
        "--transport in_process",
    ]
    assert loaded.notes[1].endswith("at CIVITAS_TRANSPORT (type hawk); dropped: speed")


@pytest.mark.parametrize("variables", [{}, {"CIVITAS_TRANSPORT": "", "CIVITAS_SET": "\n"}])
def test_variables_that_are_empty_change_nothing(load: Any, variables: dict[str, str]) -> None:
    loaded = load(variables=variables)

    assert len(loaded.notes) == 1
    assert loaded.send_timeout == 1


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", []),
        ("a=1", ["a=1"]),
        ("a=1\nb.c={d: 2}\n", ["a=1", "b.c={d: 2}"]),
        ("\n  \r\n a=1\r\n\nb=2", [" a=1", "b=2"]),
        ("a=x\u2028y", ["a=x\u2028y"]),
    ],
)
def test_a_setting_is_a_line(text: str, settings: list[str]) -> None:
    assert settings_of(text) == settings


def test_a_mistake_in_a_variable_names_it_and_no_value(load: Any) -> None:
    variables = {"CIVITAS_SET": "transport.password=hunter2\nsent_timeout=3\nno value"}

    with pytest.raises(TopologyError) as caught:
        load(variables=variables, transport=None)

    texts = [str(each) for each in caught.value.problems]
    assert "CIVITAS_SET no value: there is no value (write key.path=VALUE)" in texts
    assert any(each.startswith("CIVITAS_SET sent_timeout: unknown") for each in texts)
    assert "hunter2" not in str(caught.value)


def test_a_topology_in_python_obeys_the_environment_of_its_process(
    load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load()
    monkeypatch.setenv("CIVITAS_TRANSPORT", "in_process")
    monkeypatch.setenv("CIVITAS_SET", "send_timeout=5")

    loaded = load_topology(tmp_path / "topology.yaml", agent_base=AgentProcess, processes=())

    assert (loaded.transport.type_name, loaded.send_timeout) == ("in_process", 5)
