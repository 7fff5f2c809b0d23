"""Models: how each shape of them becomes an object, with all that dataclasses and others have."""

from __future__ import annotations

import dataclasses
from dataclasses import KW_ONLY, InitVar, dataclass, field, make_dataclass
from datetime import datetime
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    NamedTuple,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)

import msgspec
import pydantic
import pytest
import typing_extensions
from pydantic.dataclasses import dataclass as pydantic_dataclass

from civitas._typed.converting import converter_of
from civitas.errors import ConfigurationError
from support.converting import converted, refusal


@dataclass
class Item:
    name: str
    cents: int = 0


class Part(msgspec.Struct):
    number: int


T = TypeVar("T")


@dataclass
class Page(Generic[T]):
    items: list[T]


class Pair(NamedTuple):
    one: int


# --- dataclasses ----------------------------------------------------------------------------------


@dataclass
class Tree:
    """Names itself, and what is defined below, as text."""

    value: int
    children: list[Tree] = field(default_factory=list)
    leaf: Leaf | None = None


@dataclass(frozen=True, slots=True)
class Leaf:
    colour: str = "green"


def test_a_class_may_have_itself_within_it_and_name_what_is_defined_later() -> None:
    payload = {"value": 1, "children": [{"value": 2, "leaf": {}}]}
    assert converted(Tree, payload) == Tree(1, [Tree(2, [], Leaf())])
    assert refusal(Tree, {"value": 1, "children": [{"value": 2, "children": [{}]}]}) == (
        "payload.children[0].children[0].value is missing"
    )


def test_more_levels_than_python_has_are_refused() -> None:
    payload: dict[str, Any] = {"value": 0}
    for _ in range(5_000):
        payload = {"value": 0, "children": [payload]}
    assert refusal(Tree, payload) == "payload has too many levels"


@dataclass
class Odd:
    """Has all that dataclasses have."""

    self: int
    type: str
    cls: int
    _: KW_ONLY
    message: list[str] = field(default_factory=lambda: ["none"])
    count: ClassVar[int] = 5
    total: int = field(init=False, default=7)
    doubled: InitVar[bool] = False

    def __post_init__(self, doubled: bool) -> None:
        self.total = 2 * self.cls if doubled else self.cls


def test_fields_have_any_names_and_defaults_and_only_those_of_init_come_from_a_payload() -> None:
    payload = {"self": 1, "type": "a", "cls": 3}
    made = converted(Odd, payload)
    assert dataclasses.asdict(made) == payload | {"message": ["none"], "total": 3}
    assert made.message is not converted(Odd, payload).message
    for name in ("total", "count", "doubled", "_"):
        assert refusal(Odd, payload | {name: 1}).startswith(f"payload.{name} is no field of Odd")


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


@dataclass
class Evens(Even):
    more: list[Even] = field(default_factory=list)


def test_what_a_class_raises_of_its_values_is_a_refusal() -> None:
    payload = {"number": 2, "more": [{"number": 4}, {"number": 5}]}
    assert refusal(Evens, payload) == "payload.more[1] is refused by Even: ValueError: 5 is odd"
    assert refusal(Evens, {"number": 1}) == "payload is refused by Evens: ValueError: 1 is odd"


@dataclass(init=False)
class ByHand:
    number: int
    text: str = ""

    def __init__(self, *, number: int, text: str = "none") -> None:
        self.number, self.text = number, text


@dataclass(init=False)
class ByOtherNames:
    number: int

    def __init__(self, value: int) -> None:
        self.number = value


@dataclass(init=False)
class WithoutInit:
    number: int


@dataclass
class NeedsMore:
    number: int
    scale: InitVar[int]


def test_a_class_that_makes_itself_has_to_take_its_fields_by_name() -> None:
    assert converted(ByHand, {"number": 1}).text == "none"
    for cls in (ByOtherNames, WithoutInit, NeedsMore):
        with pytest.raises(ConfigurationError, match=f"{cls.__name__} is made by calling it"):
            converter_of(cls, "it")


def test_a_name_that_is_not_there_is_said_when_it_is_needed() -> None:
    @dataclass
    class Local:
        item: Missing  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(NameError, match="Missing"):
        converter_of(Local, "it")


def test_a_class_within_a_function_may_name_itself() -> None:
    @dataclass
    class Local:
        inner: Local | None = None

    assert converted(Local, {"inner": {}}) == Local(Local())


def test_a_subclass_has_a_converter_of_its_own() -> None:
    assert converted(Even, {"number": 2}) == Even(2)
    assert converted(Evens, {"number": 2, "more": []}) == Evens(2)


def test_annotations_that_can_t_be_read_are_an_error_of_the_class() -> None:
    broken = make_dataclass("Broken", [("x", "list[")])
    with pytest.raises(ConfigurationError, match=r"annotations of Broken can't be read"):
        converter_of(broken, "it")


# --- typed dicts ----------------------------------------------------------------------------------


class Base(TypedDict, total=False):
    note: str
    name: Required[str]


class Full(Base):
    cents: int
    tip: NotRequired[int]
    at: NotRequired[Annotated[datetime, "local"]]


class Extended(typing_extensions.TypedDict):
    fixed: typing_extensions.ReadOnly[int]
    note: typing_extensions.NotRequired[str]


NotByClass = TypedDict("NotByClass", {"not a name": int, "class": NotRequired[str]})


def test_the_keys_of_a_typed_dict_are_required_or_not_as_it_says() -> None:
    at = {"name": "a", "cents": 1, "at": "2026-01-02"}
    assert converted(Full, at) == at | {"at": datetime(2026, 1, 2)}
    assert converted(Base, {"name": "a", "note": "b"}) == {"name": "a", "note": "b"}
    assert refusal(Base, {}) == "payload.name is missing"
    assert refusal(Full, {"name": "a"}) == "payload.cents is missing"
    assert refusal(Full, {"name": "a", "cents": 1, "tip": "b"}) == (
        "payload.tip is a str, not an int"
    )
    assert converted(Extended, {"fixed": 1}) == {"fixed": 1}
    assert converted(NotByClass, {"not a name": 1}) == {"not a name": 1}


# --- models of libraries --------------------------------------------------------------------------


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    total: int = pydantic.Field(alias="total-cents", gt=0)
    later: list[Later] = []

    @pydantic.field_validator("total")
    @classmethod
    def not_seven(cls, value: int) -> int:
        if value == 7:
            raise KeyError("a bug of the validator")
        return value


class Later(pydantic.BaseModel):
    x: int


class Renamed(msgspec.Struct, rename="camel", forbid_unknown_fields=True, tag=True):
    total_cents: int
    parts: list[Part] = []

    def __post_init__(self) -> None:
        if self.total_cents == 7:
            raise KeyError("a bug")


@pydantic_dataclass
class Strict:
    number: int = pydantic.Field(gt=0)


def test_a_pydantic_model_validates_by_its_own_rules() -> None:
    made = converted(Aliased, {"total-cents": "5", "later": [{"x": 1}]})
    assert (made.total, made.later) == (5, [Later(x=1)])
    for payload, text in [
        ({"total-cents": 0}, "payload.total-cents is refused by Aliased: Input should be greater"),
        ({"total-cents": 7}, "payload is refused by Aliased: KeyError: 'a bug of the validator'"),
        ({"total-cents": 1, "later": [{"x": "a"}]}, "payload.later[0].x is refused by Aliased"),
        ({"total-cents": 1, "y": 1, "z": 1}, "payload.y is refused by Aliased: Extra inputs are"),
        ([1], "payload is refused by Aliased: Input should be a valid dictionary"),
    ]:
        assert refusal(Aliased, payload).startswith(text)
    assert refusal(Aliased, {"y": 1, "z": 1}).endswith("(and 2 more)")


def test_a_struct_validates_by_its_own_rules() -> None:
    made = converted(Renamed, {"type": "Renamed", "totalCents": 5, "parts": [{"number": 1}]})
    assert made == Renamed(5, [Part(1)])
    for payload, text in [
        ({"totalCents": "a"}, "payload.totalCents is refused by Renamed: Expected `int`"),
        ({"totalCents": 7}, "payload is refused by Renamed: KeyError: 'a bug'"),
        ({"totalCents": 1, "parts": [{}]}, "payload.parts[0] is refused by Renamed: Object miss"),
        ({"totalCents": 1, "y": 1}, "payload is refused by Renamed: Object contains unknown"),
        ({"totalCents": 1, "type": "Other"}, "payload.type is refused by Renamed: Invalid value"),
    ]:
        assert refusal(Renamed, payload).startswith(text)


def test_a_pydantic_dataclass_is_converted_and_then_validated() -> None:
    assert converted(Strict, {"number": 1}) == Strict(1)
    assert "Input should be greater than 0" in refusal(Strict, {"number": 0})
    assert refusal(Strict, {"number": "1"}) == "payload.number is a str, not an int"


def test_a_model_of_a_library_that_names_what_is_not_there_is_found_out_at_once() -> None:
    class Local(pydantic.BaseModel):
        item: Missing  # type: ignore[name-defined]  # noqa: F821

    class Other(msgspec.Struct):
        item: Missing  # type: ignore[name-defined]  # noqa: F821

    for cls in (Local, Other):
        with pytest.raises(NameError):
            converter_of(cls, "it")


def test_only_models_are_converted() -> None:
    for cls in (int, dict, "Item", None, Item("a"), Page[int], list[Item], Pair):
        with pytest.raises(ConfigurationError, match="^it is a dataclass, a TypedDict, a pydantic"):
            converter_of(cls, "it")
