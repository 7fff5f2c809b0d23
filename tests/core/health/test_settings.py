"""Where a process answers probes: the address as people write it, and what is wrong with others."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from civitas import AgentProcess
from civitas._health.listener import open_listener
from civitas._health.settings import HealthSettings, Listen, read_listen
from civitas.errors import CivitasError, ConfigurationError, Location
from civitas.topology import Topology, TopologyError, load_topology
from civitas.topology.schema import installed_plugins, json_schema


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("8080", ("127.0.0.1", 8080)),
        (0, ("127.0.0.1", 0)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:8080", ("::1", 8080)),
    ],
)
def test_an_address_is_a_host_with_a_port_or_a_port_of_this_machine(text, address):
    assert read_listen(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":8080",
        "localhost",
        "::1",
        "::1:8080",
        "1.2.3.4:",
        "h:65536",
        "h:-1",
        "a b:1",
        "h:8o",
        -1,
    ],
)
def test_anything_else_is_refused_with_the_form(text):
    with pytest.raises(ConfigurationError, match=r"HOST:PORT.*such as 127\.0\.0\.1:8080"):
        read_listen(text)


def test_an_address_is_shown_as_it_is_written():
    for text in ("127.0.0.1:80", "[::1]:80", "host:0"):
        assert str(read_listen(text)) == text


def test_each_process_of_a_group_has_the_next_port_and_a_free_one_stays_so():
    assert Listen("h", 8080).after(2) == ("h", 8082)
    assert Listen("h", 0).after(2) == ("h", 0)
    with pytest.raises(ConfigurationError, match="process 3 would listen at port 65536"):
        Listen("h", 65534).after(2)


# --- in a topology --------------------------------------------------------------------------------


def loaded(folder: Path, text: str, **more: object) -> Topology:
    file = folder / "topology.yaml"
    file.write_text(f"supervision: {{name: root}}\n{text}")
    return load_topology(file, agent_base=AgentProcess, variables={"PORT": "9"}, **more)


def test_a_topology_without_the_block_answers_nowhere(tmp_path):
    assert loaded(tmp_path, "").health == HealthSettings()


def test_a_block_has_defaults_for_all(tmp_path):
    found = loaded(tmp_path, "health: {}").health
    assert found == HealthSettings(Listen("127.0.0.1", 8080), where=found.where)
    assert (found.metrics, found.stalled_after, found.stuck_after) == (True, 60, 60)


def test_values_of_a_block_are_taken(tmp_path):
    text = 'health: {listen: "0.0.0.0:${PORT}", metrics: false, stalled_after: 5, stuck_after: 6.5}'
    found = loaded(tmp_path, text).health
    where = Location(str(tmp_path / "topology.yaml"), 2)
    assert found == HealthSettings(Listen("0.0.0.0", 9), False, 5, 6.5, where)


def test_a_port_alone_may_be_a_number(tmp_path):
    assert loaded(tmp_path, "health:\n  listen: 9000").health.listen == ("127.0.0.1", 9000)


def test_the_option_wins_and_the_rest_of_the_block_stays(tmp_path):
    found = loaded(tmp_path, "health: {listen: 1, metrics: false}", health="[::1]:7").health
    assert (found.listen, found.metrics) == (("::1", 7), False)
    assert str(found.where) == "--health"


def test_an_overlay_brings_the_block(tmp_path):
    (tmp_path / "prod.yaml").write_text("health: {listen: 0.0.0.0:8080}")
    found = loaded(tmp_path, "", overlays=tmp_path / "prod.yaml").health
    assert (str(found.listen), found.where) == ("0.0.0.0:8080", (str(tmp_path / "prod.yaml"), 1))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("health:\n  listen: nowhere", r"yaml:3.*health\.listen.*HOST:PORT"),
        ("health:\n  lisen: 1", r"yaml:3.*unknown key 'lisen'.*did you mean 'listen'"),
        ("health:\n  port: 1", r"yaml:3.*unknown key 'port'.*the keys of a health block here are"),
        ("health:\n  stuck_after: 0", r"yaml:3.*health\.stuck_after.*greater than 0"),
        ("health:\n  listen: true", r"yaml:3.*health\.listen.*must be text, not true"),
        ("health: 8080", r"yaml:2.*write `health: \{listen: HOST:PORT\}`"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path, text, problem):
    with pytest.raises(TopologyError, match=problem):
        loaded(tmp_path, text)


def test_a_wrong_option_is_told_as_such(tmp_path):
    with pytest.raises(TopologyError, match=r"--health.*HOST:PORT"):
        loaded(tmp_path, "", health="nowhere")


def test_the_block_is_shown_and_in_the_schema(tmp_path):
    shown = loaded(tmp_path, "health: {listen: 9000}").as_mapping()["health"]
    assert shown["listen"] == "9000"
    plugins = installed_plugins(only_builtin=True)
    schema = json_schema(plugins.plugins)
    validator = Draft202012Validator(schema)
    for listen, valid in ((9000, True), ("0.0.0.0:1", True), ("${PORT}", True), (True, False)):
        block = {"health": {"listen": listen}, "supervision": {"name": "root"}}
        assert validator.is_valid(block) is valid, listen


# --- the socket -----------------------------------------------------------------------------------


def test_an_address_in_use_is_no_bad_input_and_is_told_with_its_place():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = HealthSettings(Listen("127.0.0.1", port), where=Location("t.yaml", 7))
        with pytest.raises(
            CivitasError, match=rf"^t\.yaml:7: .*127\.0\.0\.1:{port}.*in use"
        ) as told:
            open_listener(settings)
    assert not isinstance(told.value, ConfigurationError)


@pytest.mark.parametrize("host", ["203.0.113.1", "no..host"])
def test_an_address_that_this_machine_does_not_have_is_bad_input(host):
    with pytest.raises(ConfigurationError, match=host):
        open_listener(HealthSettings(Listen(host, 0)))
