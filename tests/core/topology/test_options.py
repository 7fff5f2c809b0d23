"""The options of a transport, judged by the plugin's model; nothing secret is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from civitas.errors import Location
from civitas.plugins import TransportSpec
from civitas.topology import Problem, TopologyError
from civitas.topology.plugins import (
    check_options,
    option_files,
    option_secrets,
    options_from_mapping,
)
from civitas.topology.yaml_nodes import MappingNode
from civitas.topology.yaml_reader import parse


class Basket(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


class Ring(BaseModel):
    model_config = ConfigDict(extra="forbid")
    colour: str = Field("red", alias="ring-colour")


class Cover(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int = 1


class PigeonOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    loft: str = Field("home", description="Where they return to.")
    speed: float = Field(10.0, gt=0, description="Metres a second.")
    homing: bool = Field(True, description="Whether they come back.")
    routes: str | list[str] = Field("direct", description="Ways to go.")
    baskets: list[Basket] = Field([], description="What they travel in.")
    code: SecretStr | None = Field(None, description="What opens the loft.")
    lid: Cover | Ring | None = Field(None, description="What closes it.")
    rings: dict[str, Ring] = Field({}, description="Theirs, by pigeon.")
    token_file: Path | None = Field(None, description="What lets them in.")

    @field_validator("loft")
    @classmethod
    def _reject(cls, value: str) -> str:
        if value.startswith("bad"):
            raise ValueError(f"no loft at {value}")
        if value == "explode":
            raise KeyError(value)
        return value

    @field_validator("code")
    @classmethod
    def _reject_code(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and value.get_secret_value() == "hunter2":
            raise ValueError("'hunter2' is too weak")
        return value


PIGEON = TransportSpec("pigeon", "Slow", lambda options, context: None, PigeonOptions)
BARE = TransportSpec("bare", "No options", lambda options, context: None)


def check(lines: str, spec: TransportSpec = PIGEON) -> tuple[Any, list[Problem]]:
    text = "transport:\n  type: pigeon\n" + "".join(f"  {each}\n" for each in lines.split("\n"))
    root = parse(text, lambda line: Location("t.yaml", line)).root
    assert isinstance(root, MappingNode)
    return check_options(root, spec)


def test_good_options_make_an_instance_of_the_model() -> None:
    options, problems = check("loft: roof\nspeed: 5\nroutes: [a, b]")

    assert problems == []
    assert options == PigeonOptions(loft="roof", speed=5, routes=["a", "b"])


@pytest.mark.parametrize(
    ("lines", "line", "path", "message", "suggestion"),
    [
        ("loft: roof\nsped: 5", 4, "transport.sped", "no option 'sped'", "did you mean 'speed'?"),
        ("pub_addr: x", 3, "transport.pub_addr", "no option", "its options are loft, speed"),
        ("speed: fast", 3, "transport.speed", "must be a number, not text", ""),
        ("speed: -5", 3, "transport.speed", "must be greater than 0", ""),
        ("homing: maybe", 3, "transport.homing", "must be true or false", ""),
        ("routes: 5", 3, "transport.routes", "text, not a number; or must be a list", ""),
        ("baskets:\n  - size: 1\n  - size: big", 5, "transport.baskets.1.size", "whole", ""),
        ("baskets:\n  - {}", 4, "transport.baskets.0.size", "is missing", ""),
        (
            "baskets: [{size: 1, sise: 2}]",
            3,
            "transport.baskets.0.sise",
            "no key 'sise'",
            "'size'?",
        ),
        ("lid:\n  x: 2", 4, "transport.lid.x", "'lid' has no key 'x'", "are width, ring-colour"),
        ("lid: {ring-color: x}", 3, "transport.lid.ring-color", "no key", "'ring-colour'?"),
        ("rings: {a: {b: 1}}", 3, "transport.rings.a.b", "'a' has no key 'b'", "are ring-colour"),
        ("rings: {a: {5: 1}}", 3, "transport.rings.a.5", "a key must be text", ""),
        ("loft: bad", 3, "transport.loft", "no loft at bad", ""),
        ("loft: tcp\nloft2: a", 4, "transport.loft2", "no option", "'loft'?"),
    ],
)
def test_a_wrong_option_is_told_at_its_line(
    lines: str, line: int, path: str, message: str, suggestion: str
) -> None:
    options, (problem,) = check(lines)

    assert options is None
    assert problem.location == Location("t.yaml", line)
    assert problem.path == path
    assert message in problem.message
    assert suggestion in problem.suggestion


def test_all_wrong_options_are_told() -> None:
    _, problems = check("speed: x\nhoming: maybe\nsped: 1")

    assert {each.path for each in problems} == {
        "transport.speed",
        "transport.homing",
        "transport.sped",
    }


def test_a_transport_without_options_takes_none() -> None:
    options, (problem,) = check("loft: x", BARE)

    assert options is None
    assert problem.message == "transport 'bare' has no option 'loft'"
    assert "it has no options" in problem.suggestion


@pytest.mark.parametrize(
    ("lines", "secret"),
    [
        ("code: hunter2", "hunter2"),
        ("code: [sesame]", "sesame"),
        ("loft: bad://ada:sesame@host", "sesame"),
        ("code: hunter3\nloft: bad-hunter3", "hunter3"),
        ("speed: sesame", "sesame"),
        ("password: sesame", "sesame"),
    ],
)
def test_a_secret_is_never_told(lines: str, secret: str) -> None:
    _, problems = check(lines)

    assert problems
    assert all(secret not in str(each) for each in problems)


def test_a_validator_that_raises_something_else_is_survived_without_its_text() -> None:
    _, (problem,) = check("loft: explode")

    assert problem.message == "checking the options of 'pigeon' failed with KeyError"


def test_options_given_in_python_are_judged_alike() -> None:
    assert options_from_mapping({"type": "pigeon", "speed": 3}, PIGEON) == PigeonOptions(speed=3)

    with pytest.raises(TopologyError) as caught:
        options_from_mapping({"type": "pigeon", "sped": 3, "speed": 0}, PIGEON)

    assert {each.path for each in caught.value.problems} == {"transport.sped", "transport.speed"}


def test_the_name_of_a_file_of_secrets_is_no_secret() -> None:
    given = {"token_file": "/run/token", "token": "sesame", "code": "open"}

    assert option_secrets(given, PigeonOptions) == ["sesame", "open"]
    assert option_files(given, PigeonOptions) == {"/run/token"}


def test_a_key_of_another_form_of_a_block_is_not_called_unknown() -> None:
    _, problems = check("lid: {width: 1, ring-colour: x}")

    assert sorted(each.message for each in problems) == [
        "'ring-colour' does not go with the other keys of 'lid'",
        "'width' does not go with the other keys of 'lid'",
    ]
