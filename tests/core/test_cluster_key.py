"""The cluster's key as a setting: where it is given, what is wrong with one, and its silence."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from civitas import AgentProcess, Runtime, Supervisor, Worker
from civitas._signing.settings import VARIABLE, signing_of
from civitas.client import Client
from civitas.components import build_component_set
from civitas.errors import CivitasError, ConfigurationError
from civitas.plugins import Capabilities
from civitas.topology import Topology, TopologyError, load_topology_mapping
from civitas.topology.schema import installed_plugins, json_schema
from civitas.transport import InProcessTransport
from support.local_bus.testbed import installed

KEY, NEXT, SHORT = "a-key-of-a-cluster", "another-key-of-it", "fifteen-letters"


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


class Quiet(AgentProcess):
    """Does nothing."""


class Claimless(InProcessTransport):
    """A transport made by hand that declares nothing."""

    capabilities = None  # type: ignore[assignment, misc]


class Crossing(InProcessTransport):
    """A transport made by hand that claims to reach other processes."""

    capabilities = Capabilities(cross_process=True, max_message_bytes=5000)  # type: ignore[misc]


def topology(variables: dict[str, str] | None = None, **settings: Any) -> Topology:
    tree = {"name": "root", "children": [{"agent": {"name": "a", "type": "quiet"}}]}
    return load_topology_mapping(
        {**settings, "supervision": tree},
        agent_base=AgentProcess,
        agent_classes={"quiet": Quiet},
        variables=variables or {},
    )


@pytest.mark.parametrize("given", [KEY, [KEY], [KEY, NEXT], f"{KEY} {NEXT}", f" {KEY}\n"])
def test_a_key_is_a_secret_or_two(given: Any) -> None:
    assert signing_of(given).key is not None
    assert topology(cluster_key=given).signing.key is not None


@pytest.mark.parametrize("given", [None, "", [], "  "])
def test_without_one_nothing_is_signed(given: Any) -> None:
    assert signing_of(given).key is None
    assert topology(cluster_key=given).signing.key is None
    assert not build_component_set(Crossing(), cluster_key=given).config.authenticated


def test_the_environment_has_the_key_where_the_settings_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, f"{KEY} {NEXT}")
    assert build_component_set(Crossing()).config.authenticated
    assert topology({VARIABLE: KEY}).signing.key is not None
    assert topology({VARIABLE: SHORT}, cluster_key=KEY).signing.key is not None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (SHORT, "at least 16 characters.*make one with: python -c"),
        ([KEY, SHORT], "at least 16 characters"),
        ([KEY, NEXT, "a-third-key-of-the-cluster"], "two while it is changed, not 3"),
        ([KEY, KEY], "the same one"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_without_it(given: Any, says: str) -> None:
    secrets = [given] if isinstance(given, str) else given
    for make in (
        lambda: build_component_set("in_process", cluster_key=given),
        lambda: topology(cluster_key=given),
        lambda: topology({VARIABLE: " ".join(secrets)}),
    ):
        with pytest.raises(ConfigurationError, match=says) as raised:
            make()
        shown = "".join(traceback.format_exception(raised.value))
        assert not any(secret in shown for secret in secrets)


@pytest.mark.parametrize("given", [12345678901234567890, True, {"a": KEY}, [KEY, 7]])
def test_a_key_that_is_no_text_is_a_mistake_of_the_topology(given: Any) -> None:
    with pytest.raises(TopologyError, match="cluster_key: must be text") as raised:
        topology(cluster_key=given)
    assert "1234567890" not in str(raised.value)
    assert KEY not in str(raised.value)


def test_another_choice_of_frames_is_a_mistake() -> None:
    with pytest.raises(TopologyError, match="signed_frames: must be one of control, all"):
        topology(cluster_key=KEY, signed_frames="al")
    with pytest.raises(ConfigurationError, match="'control' or 'all', not 'some'"):
        build_component_set(Crossing(), cluster_key=KEY, signed_frames="some")  # type: ignore[arg-type]


def test_to_sign_all_frames_without_a_key_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"there is no key.*{VARIABLE}"):
        build_component_set(Crossing(), signed_frames="all")
    match = r"signed_frames: .*there is no key"
    with installed(tmp_path) as bus, pytest.raises(TopologyError, match=match):
        topology(transport=bus.block(), signed_frames="all")


def test_within_one_process_a_key_has_no_effect() -> None:
    made = build_component_set("in_process", cluster_key=KEY, signed_frames="all")
    assert isinstance(made.transport, InProcessTransport)
    assert not made.config.authenticated
    assert build_component_set("in_process", signed_frames="all").transport
    assert topology(signed_frames="all").signing.key is None


def test_a_transport_that_declares_nothing_takes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="declares no capabilities"):
        build_component_set(Claimless(), cluster_key=KEY)
    monkeypatch.setenv(VARIABLE, KEY)
    with pytest.raises(ConfigurationError, match=VARIABLE):
        build_component_set(Claimless())


def test_each_kind_of_node_takes_the_settings(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"cluster_key": KEY, "signed_frames": "all"}
    with installed(tmp_path) as bus:
        nodes = [
            Runtime(Supervisor("root", [Quiet("a")]), transport=bus.block(), **settings),
            Worker([Quiet("b")], transport=bus.block(), **settings),
            Client(bus.block(), **settings),
            Runtime.from_topology(topology(transport=bus.block(), **settings)),
        ]
    assert all(node.components.config.authenticated for node in nodes)


def test_room_for_the_trailer_is_taken_off_the_largest_message() -> None:
    assert build_component_set(Crossing(), cluster_key=KEY).config.capabilities == Capabilities(
        cross_process=True, max_message_bytes=5000 - 24
    )


def test_the_schema_and_what_is_shown_have_the_settings_and_no_key() -> None:
    schema = json_schema(installed_plugins().plugins)
    assert {"cluster_key", "signed_frames"} <= set(schema["properties"])
    shown = topology(cluster_key=KEY, signed_frames="all")
    assert shown.as_mapping()["cluster_key"] == "***"
    assert shown.as_mapping()["signed_frames"] == "all"
    assert KEY not in repr(shown)
    assert topology().as_mapping()["cluster_key"] is None


async def test_a_running_node_shows_nothing_of_its_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with installed(tmp_path) as bus:
        async with Runtime(
            Supervisor("root", [Quiet("a")]),
            transport=bus.block(),
            cluster_key=[KEY, NEXT],
            signed_frames="all",
        ) as runtime:
            with pytest.raises(CivitasError):
                await runtime.ask("nobody", {}, timeout=0.01)
            everything = f"{runtime.stats()} {runtime.components} {runtime.components.config}"
    for secret in (KEY, NEXT):
        assert secret not in everything
        assert secret not in caplog.text
