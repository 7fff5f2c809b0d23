"""Options of every kind: each is read, shown, described and refused, and no secret is ever told."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from typing import Annotated, NoReturn

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from civitas.errors import Location
from civitas.plugins import TransportSpec
from civitas.plugins.options import describe_options, options_advice
from civitas.plugins.shown import shown_options
from civitas.topology.option_schema import option_schema
from civitas.topology.plugins import check_options
from civitas.topology.problems import Problem
from civitas.topology.yaml_reader import parse
from support.option_kinds import KINDS, Kind, block, source

SESAME = "sesame"
NAMES = list(KINDS)
GOOD = [name for name, kind in KINDS.items() if kind.good]
BAD = [name for name, kind in KINDS.items() if kind.bad]


def spec_of(name: str, text: str) -> TransportSpec:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, name, "exec"), module.__dict__)
    (spec,) = module.civitas_transports()
    return spec


@pytest.fixture(scope="module")
def hawk() -> TransportSpec:
    return spec_of("hawk_of_every_kind", source())


@pytest.fixture(scope="module")
def strict_hawk() -> TransportSpec:
    return spec_of("hawk_that_is_strict", source(config="strict=True"))


def checked(spec: TransportSpec, text: str) -> tuple[BaseModel | None, list[Problem]]:
    return check_options(parse(text, lambda line: Location("t.yaml", line)).root, spec)


def shown_key(name: str, kind: Kind) -> str:
    return "far.deep" if name == "below" else kind.key or name


@pytest.mark.parametrize("name", GOOD)
def test_a_good_value_is_read_and_shown(hawk: TransportSpec, name: str) -> None:
    kind = KINDS[name]
    options, problems = checked(hawk, block("good", {name: kind}))
    assert [str(each) for each in problems] == []
    assert options is not None
    shown = shown_options(options)
    assert shown[shown_key(name, kind)] == kind.shown
    assert SESAME not in json.dumps(shown, allow_nan=False)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind_of_model", ["hawk", "strict_hawk"])
def test_a_bad_value_is_told_at_its_line_by_the_key_that_can_be_typed(
    request: pytest.FixtureRequest, kind_of_model: str, name: str
) -> None:
    kind = KINDS[name]
    options, problems = checked(request.getfixturevalue(kind_of_model), block("bad", {name: kind}))
    assert options is None
    told = [str(each) for each in problems]
    assert all(each.startswith(f"t.yaml:3: transport.{kind.key or name}") for each in told), told
    assert kind.told in told[0]
    assert "Input" not in told[0]
    assert SESAME not in str(told)


STRICT = {name: kind for name, kind in KINDS.items() if kind.good}


def test_a_strict_model_takes_what_a_file_can_say(strict_hawk: TransportSpec) -> None:
    options, problems = checked(strict_hawk, block("good", STRICT))
    assert [str(each) for each in problems] == []
    assert options is not None
    shown = shown_options(options)
    for name, kind in STRICT.items():
        assert shown[shown_key(name, kind)] == kind.shown


def test_each_kind_is_described_by_the_key_that_gives_it(hawk: TransportSpec) -> None:
    described = {each.name: each for each in describe_options(hawk.options)}
    assert list(described) == [shown_key(*each) for each in KINDS.items()]
    secret = [name for name, kind in KINDS.items() if "***" in str(kind.shown)]
    marked = {shown_key(name, KINDS[name]) for name in secret} - NOT_SECRET_AS_A_WHOLE
    assert {name for name, each in described.items() if each.secret} == marked


NOT_SECRET_AS_A_WHOLE = {"url", "dsn", "login", "logins", "password"}


def test_only_options_without_a_json_schema_are_left_out_and_an_author_is_told(
    hawk: TransportSpec,
) -> None:
    assert hawk.options is not None
    schema, left_out = option_schema(hawk.options)
    silent = [name for name, kind in KINDS.items() if kind.silent]
    assert left_out == [f"option {name!r}: its type has no JSON Schema" for name in silent]
    keys = {kind.key or name for name, kind in KINDS.items() if not kind.silent}
    assert set(schema["properties"]) == keys - {"far"} | {"two"}
    assert SESAME not in json.dumps(schema)


def test_an_author_is_told_of_nested_options_that_ignore_unknown_keys(hawk: TransportSpec) -> None:
    loose = source().replace("class Basket(Strict)", "class Basket(BaseModel)")
    secret = "option 'password' sounds like a secret and is not a SecretStr"
    assert options_advice(hawk) == [secret]
    assert options_advice(spec_of("hawk_that_is_loose", loose)) == [
        secret,
        'Basket ignores unknown keys: set model_config = ConfigDict(extra="forbid")',
    ]


def raises(error: BaseException) -> TransportSpec:
    def refuse(value: object) -> object:
        raise error

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        loft: Annotated[str, AfterValidator(refuse)]

    return TransportSpec("odd", "Raises", lambda options, context: None, Options)


class UnspeakableError(ValueError):
    def __str__(self) -> str:
        raise KeyError(SESAME)


def nested_refusal() -> ValidationError:
    try:
        TypeAdapter(Annotated[str, Field(max_length=3)]).validate_python(SESAME * 20)
    except ValidationError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError(SESAME), "checking the options of 'odd' failed with KeyError"),
        (SystemExit(SESAME), "failed with SystemExit"),
        (UnspeakableError(), "failed with"),
        (nested_refusal(), "has at most 3 characters"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_validator_raises_is_told_without_the_value(
    error: BaseException, told: str
) -> None:
    options, (problem,) = checked(raises(error), f"transport:\n  loft: {SESAME}\n")
    assert options is None
    assert told in problem.message
    assert "ses" not in str(problem)


def test_options_that_contain_themselves_have_a_schema() -> None:
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid", populate_by_name=True, alias_generator=str.upper)
        size: int
        hook: Callable[[], None] | None = None
        below: list[Options] = []

    Options.model_rebuild()
    schema, left_out = option_schema(Options, "#/$defs/transport.x.{model}")
    assert set(schema["properties"]) == {"SIZE", "size", "BELOW", "below"}
    assert schema["patternProperties"].keys() == {"^HOOK$", "^hook$"}
    assert left_out == ["option 'HOOK': its type has no JSON Schema"]


def test_a_schema_that_can_not_be_had_is_left_out_with_the_reason() -> None:
    class Odd:
        @classmethod
        def __get_pydantic_core_schema__(cls, source: object, handler: object) -> CoreSchema:
            return core_schema.any_schema()

        @classmethod
        def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> NoReturn:
            raise SystemExit(3)

    class Options(BaseModel):
        odd: Odd | None = None

    assert option_schema(Options) == (
        {"type": "object"},
        ["its options: their JSON Schema can't be had: SystemExit: 3"],
    )
