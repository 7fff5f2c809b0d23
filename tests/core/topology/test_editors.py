"""What `civitas topology schema` prints tells an editor what is right and what is not.

An editor judges by the JSON Schema alone, so it must take every topology that we show, and refuse
what `validate` refuses, as far as a schema can.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field

from civitas.plugins import InstrumentSpec, TransportSpec
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.loader import LoadedInstrument, LoadedPlugin, LoadedTransport
from civitas.topology.model import TopologyModel
from civitas.topology.schema import installed_plugins, json_schema
from support.commands import COMMAND, completed

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))
PAGES = sorted(
    [
        *(REPOSITORY / "docs").rglob("*.md"),
        REPOSITORY / "README.md",
        *REPOSITORY.glob("*/README.md"),
    ]
)
FENCE = re.compile(r'^```yaml(?: title="topology\.yaml")?\n((?:.*\n)*?)```$', re.MULTILINE)
"""A topology or a block of one; a file of another name is an overlay, or something else."""


class MadeUpOptions(BaseModel):
    """What the pages on plugins make up."""

    model_config = ConfigDict(extra="forbid")

    loft: str = Field("home", description="Where they return to.")
    port: int = Field(7001, description="Where they listen.")


class CensusOptions(BaseModel):
    """Those of an instrument."""

    model_config = ConfigDict(extra="forbid")

    slow: float = Field(1.0, description="Seconds from which on a handler is slow.")


MADE_UP: list[LoadedPlugin[Any]] = [
    LoadedTransport(
        Candidate(PluginKind.TRANSPORT, name, "m", distribution, "1", "civitas.v1.transports"),
        TransportSpec(name, "On a page", lambda options, context: None, MadeUpOptions),
    )
    for name, distribution in (("pigeon", "carrier-pigeon"), ("post", "civitas-post"))
]
MADE_UP += [
    LoadedInstrument(
        Candidate(
            PluginKind.INSTRUMENT, "census", "m", "civitas-census", "1", "civitas.v1.instruments"
        ),
        InstrumentSpec("census", "On a page", lambda options, context: None, CensusOptions),
    )
]
"""Plugins that a reader is told to write."""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    installed = installed_plugins()
    assert installed.notes == []
    return json_schema([*installed.plugins, *MADE_UP])


@pytest.fixture(scope="module")
def problems(schema: dict[str, Any]) -> Callable[[Any], list[str]]:
    Draft202012Validator.check_schema(schema)
    judge = Draft202012Validator(schema)
    return lambda topology: [
        f"{each.json_path}: {each.message}" for each in judge.iter_errors(topology)
    ]


def shown() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every topology, or block of one, that a page shows."""
    for page in PAGES:
        for number, text in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
            block = yaml.safe_load(text)
            assert isinstance(block, dict), f"{page}: not a topology: {text}"
            yield f"{page.relative_to(REPOSITORY)}-{number}", block


SHOWN = dict(shown())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_is_right(example: Path, problems: Callable[[Any], list[str]]) -> None:
    assert problems(yaml.safe_load(example.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("name", SHOWN)
def test_every_topology_of_a_page_is_right(name: str, problems: Callable[[Any], list[str]]) -> None:
    whole = {"supervision": {"name": "root", "children": [{"agent": {"name": "a", "type": "m.A"}}]}}
    assert set(SHOWN[name]) <= set(TopologyModel.model_fields)
    assert problems(whole | SHOWN[name]) == []


def test_pages_show_topologies_of_every_transport() -> None:
    named = {block["transport"]["type"] for block in SHOWN.values() if "transport" in block}
    assert named >= {"in_process", "zmq", "nats"}


GOOD: dict[str, Any] = yaml.safe_load(
    """
transport: {type: zmq, send_hwm: 100}
serializer: json
accept_serializers: [msgpack]
supervision:
  name: root
  strategy: one_for_all
  children:
    - agent: {name: a, type: m.A, mailbox_size: "${SIZE:-5}"}
    - supervisor: {name: below, children: [{agent: {name: b, type: m.B}}]}
    - {name: c, type: m.C, process: worker}
    - supervisor: {name: idle}
"""
)
NATS = {"type": "nats", "servers": "nats://a:1"}
BROKEN: dict[str, tuple[str, Any]] = {
    "a misspelt key of the file": ("send_timeuot", 5),
    "a misspelt key of a supervisor": ("supervision.stratgy", "ONE_FOR_ONE"),
    "a misspelt key of an agent": ("supervision.children.0.agent.mailbox", 5),
    "a misspelt kind of child": ("supervision.children.0.agnet", {}),
    "a misspelt option": ("transport.send_hmw", 5),
    "an option of another transport": ("transport.jetstream", True),
    "a misspelt option of a mapping": ("transport.curve", {"server_key": "x"}),
    "an option that a mapping lacks": ("transport.curve", {"public_key": "x"}),
    "an option of the wrong type": ("transport.send_hwm", "many"),
    "an option beyond its bounds": ("transport.send_hwm", 0),
    "an unknown transport": ("transport.type", "zqm"),
    "an option without a transport": ("transport", {"send_hwm": 5}),
    "a list where one text must be": ("transport.pub_addr", ["tcp://127.0.0.1:5559"]),
    "a number among servers": ("transport", {**NATS, "servers": [4222]}),
    "no servers": ("transport", {**NATS, "servers": []}),
    "a number for a server": ("transport", {**NATS, "servers": 4222}),
    "an unknown serializer": ("serializer", "jsno"),
    "an unknown strategy": ("supervision.strategy", "one_for_some"),
    "a truth value for a number": ("supervision.max_restarts", True),
    "a number with a point for a whole one": ("supervision.max_restarts", 1.5),
    "a negative number": ("supervision.backoff_base", -1),
    "a child of neither kind": ("supervision.children", [{"name": "a"}]),
    "a misspelt key of a flat agent": ("supervision.children.2.mailbox", 5),
    "a child of two kinds": ("supervision.children.0.supervisor", GOOD["supervision"]),
    "a number for a name": ("supervision.children.0.agent.name", 5),
    "a list for the constructor": ("supervision.children.0.agent.config", [1]),
    "a text for a number": ("supervision.children.0.agent.mailbox_size", "5"),
    "a time of zero": ("supervision.children.0.agent.handle_timeout", 0),
}


def test_the_topology_that_is_broken_below_is_right(problems: Callable[[Any], list[str]]) -> None:
    assert problems(GOOD) == []
    assert problems(GOOD | {"transport": NATS}) == []
    assert problems(GOOD | {"transport": {**NATS, "servers": ["nats://a:1", "nats://b:1"]}}) == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_refused_where_it_is(
    name: str, problems: Callable[[Any], list[str]]
) -> None:
    path, value = BROKEN[name]
    topology = copy.deepcopy(GOOD)
    *steps, last = path.split(".")
    block: Any = topology
    for step in steps:
        block = block[int(step)] if isinstance(block, list) else block[step]
    block[last] = value
    found = problems(topology)
    assert found, name
    place = "$" + "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in steps)
    assert all(each.startswith(place) for each in found), found


@pytest.mark.parametrize(
    "path", ["supervision", "supervision.name", "supervision.children.0.agent.type"]
)
def test_what_is_required_is_missed(path: str, problems: Callable[[Any], list[str]]) -> None:
    topology = copy.deepcopy(GOOD)
    *steps, last = path.split(".")
    block: Any = topology
    for step in steps:
        block = block[int(step)] if isinstance(block, list) else block[step]
    del block[last]
    assert [f"'{last}' is a required property" in each for each in problems(topology)] == [True]


def test_an_editor_has_words_and_choices_for_every_option(schema: dict[str, Any]) -> None:
    transports = {
        name: block for name, block in schema["$defs"].items() if name.startswith("transport.")
    }
    assert {"transport.zmq", "transport.nats", "transport.nats.TLSOptions"} <= set(transports)
    for name, block in transports.items():
        for option, each in block["properties"].items():
            assert option == "type" or each.get("description"), f"{name}: {option}"
    choices = schema["$defs"]["TransportBlock"]["properties"]["type"]["anyOf"]
    assert {"in_process", "zmq", "nats"} <= {each.get("const") for each in choices}
    assert all(each["description"] for each in choices)


def test_nothing_stands_before_the_words_of_an_option(schema: dict[str, Any]) -> None:
    """An editor joins the titles and descriptions of all that fits the same place."""
    assert "description" not in schema["$defs"]["Variable"]
    blocks = [schema, *schema["$defs"].values()]
    properties = [each for block in blocks for each in block.get("properties", {}).values()]
    assert len(properties) > 30
    assert [each for each in properties if "title" in each] == []


def test_the_settings_that_the_page_shows_name_the_file_that_it_makes() -> None:
    page = (REPOSITORY / "docs" / "topology.md").read_text(encoding="utf-8")
    (file,) = re.findall(r"civitas topology schema > (\S+)$", page, re.MULTILINE)
    (settings,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (patterns,) = json.loads(settings)["yaml.schemas"].values()
    assert list(json.loads(settings)["yaml.schemas"]) == [f"./{file}"]
    assert f"$schema=./{file}" in page
    quoted = ", ".join(f'"{pattern}"' for pattern in patterns)
    assert f'["./{file}"] = {{ {quoted} }}' in page


@pytest.mark.slow
def test_the_command_prints_the_schema_that_is_judged_here(tmp_path: Path) -> None:
    done = completed(COMMAND, "topology", "schema", cwd=tmp_path)
    installed = installed_plugins()
    assert json.loads(done.stdout) == json_schema(installed.plugins)
    assert (done.returncode, done.stderr) == (0, "")
