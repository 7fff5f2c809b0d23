"""The JSON Schema: the keys of the model, the options of plugins, variables anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from civitas.plugins import TransportSpec
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.loader import LoadedTransport, load_serializer, load_transport
from civitas.topology.model import BLOCKS
from civitas.topology.schema import DIALECT, installed_plugins, json_schema


class Basket(BaseModel):
    size: int


class PigeonOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    loft: str = Field("home", description="Where they return to.")
    speed: float = Field(10.0, gt=0, description="Metres a second.")
    mood: Literal["calm", "wild"] = "calm"
    baskets: list[Basket] = []
    code: SecretStr | None = None


PIGEON = LoadedTransport(
    Candidate(PluginKind.TRANSPORT, "pigeon", "m", "Carrier-Pigeon", "1", "civitas.v1.transports"),
    TransportSpec("pigeon", "Slow", lambda options, context: None, PigeonOptions),
)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    serializers = [load_serializer("json"), load_serializer("msgpack")]
    return json_schema([load_transport("in_process"), PIGEON, *serializers])


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from parts(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from parts(each)


def accepts(whole: dict[str, Any], path: str, value: str) -> bool:
    """Return whether a text is allowed by a schema that is made of references and choices."""
    part: Any = whole
    for step in path.split("/"):
        part = part[step]
    return _accepts(whole, part, value)


def _accepts(whole: dict[str, Any], part: dict[str, Any], value: str) -> bool:
    if "$ref" in part:
        return _accepts(whole, whole["$defs"][part["$ref"].removeprefix("#/$defs/")], value)
    if "anyOf" in part:
        return any(_accepts(whole, each, value) for each in part["anyOf"])
    if "enum" in part or "const" in part:
        return value in part.get("enum", [part.get("const")])
    pattern = {r"\$\{": "${", ":": ":", r":|\$\{": "${", None: ""}[part.get("pattern")]
    return part["type"] == "string" and pattern in value


def test_it_is_json_and_names_its_dialect(schema: dict[str, Any]) -> None:
    assert json.loads(json.dumps(schema))["$schema"] == DIALECT


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    references = {part["$ref"] for part in parts(schema) if isinstance(part.get("$ref"), str)}

    assert references
    assert {each.removeprefix("#/$defs/") for each in references} <= set(schema["$defs"])


def test_every_key_of_every_block_is_there_and_described(schema: dict[str, Any]) -> None:
    for name, block in BLOCKS:
        part = schema["$defs"][block.__name__] if name else schema
        assert set(part["properties"]) == set(block.model_fields)
        assert all("description" in each for each in part["properties"].values())


def test_unknown_keys_are_refused(schema: dict[str, Any]) -> None:
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["AgentBlock"]["additionalProperties"] is False
    assert schema["$defs"]["transport.pigeon"]["additionalProperties"] is False
    assert schema["$defs"]["transport.in_process"] == {
        "type": "object",
        "additionalProperties": False,
        "properties": {"type": {}},
        "title": "Options of the transport in_process",
        "description": load_transport("in_process").spec.summary,
    }


def test_a_transport_s_name_brings_its_options(schema: dict[str, Any]) -> None:
    cases = schema["$defs"]["TransportBlock"]["allOf"]

    assert {
        "if": {
            "properties": {"type": {"enum": ["pigeon", "Carrier-Pigeon:pigeon"]}},
            "required": ["type"],
        },
        "then": {"$ref": "#/$defs/transport.pigeon"},
    } in cases
    assert list(schema["$defs"]["transport.pigeon"]["properties"]) == [
        "type",
        "loft",
        "speed",
        "mood",
        "baskets",
        "code",
    ]
    assert "transport.pigeon.Basket" in schema["$defs"]


@pytest.mark.parametrize(
    ("path", "value", "accepted"),
    [
        ("$defs/AgentBlock/properties/mailbox_size", "${SIZE:-5}", True),
        ("$defs/AgentBlock/properties/mailbox_size", "many", False),
        ("$defs/SupervisorBlock/properties/strategy", "ONE_FOR_ALL", True),
        ("$defs/SupervisorBlock/properties/strategy", "one_for_all", True),
        ("$defs/SupervisorBlock/properties/strategy", "${STRATEGY}", True),
        ("$defs/SupervisorBlock/properties/strategy", "none_for_all", False),
        ("properties/send_timeout", "${TIMEOUT}", True),
        ("properties/send_timeout", "soon", False),
        ("$defs/transport.pigeon/properties/speed", "${SPEED}", True),
        ("$defs/transport.pigeon/properties/speed", "fast", False),
        ("$defs/transport.pigeon/properties/mood", "wild", True),
        ("$defs/transport.pigeon/properties/mood", "sad", False),
        ("$defs/transport.pigeon.Basket/properties/size", "${SIZE}", True),
        ("$defs/TransportBlock/properties/type", "pigeon", True),
        ("$defs/TransportBlock/properties/type", "${TRANSPORT}", True),
        ("$defs/TransportBlock/properties/type", "owl", False),
        ("$defs/SerializerBlock/properties/type", "json", True),
        ("$defs/SerializerBlock/properties/type", "yaml", False),
    ],
)
def test_texts_with_variables_fit_everywhere(
    schema: dict[str, Any], path: str, value: str, accepted: bool
) -> None:
    assert accepts(schema, path, value) is accepted


def test_a_child_is_an_agent_or_a_supervisor(schema: dict[str, Any]) -> None:
    assert schema["$defs"]["ChildBlock"]["oneOf"] == [
        {"required": ["agent"]},
        {"required": ["supervisor"]},
    ]


def test_what_is_installed_includes_the_built_ins() -> None:
    names = {each.spec.name for each in installed_plugins().plugins}

    assert {"in_process", "json", "msgpack"} <= names
