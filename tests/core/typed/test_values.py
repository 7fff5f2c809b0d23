"""Values: what each type of a field takes, what it refuses, and with which path."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import msgspec
import pydantic
import pytest
import typing_extensions

from civitas._typed.converting import converter_of
from civitas.errors import ConfigurationError
from support.converting import converted, of, refusal


class Size(Enum):
    SMALL = "s"
    LARGE = "l"
    BIG = "l"


class Grade(IntEnum):
    GOOD = 1
    BAD = 2


class Colour(StrEnum):
    RED = "red"


class Access(Flag):
    READ = 1
    WRITE = 2


@dataclass
class Item:
    name: str
    cents: int = 0


class Part(msgspec.Struct):
    number: int


class Shop(pydantic.BaseModel):
    opened: date


class Place(TypedDict):
    street: str


Cents = NewType("Cents", int)
Alias = typing_extensions.TypeAliasType("Alias", list[int])
AN_ID = UUID("0190d3a4-7c1e-7abc-8def-0123456789ab")
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone(timedelta(hours=2)))


TAKEN: list[tuple[Any, Any, Any]] = [
    (str, "", ""),
    (int, 10**400, 10**400),
    (bool, True, True),
    (bytes, b"\0", b"\0"),
    (None, None, None),
    (float, 2, 2.0),
    (float, float("inf"), float("inf")),
    (Any, {"a": [1]}, {"a": [1]}),
    (object, 3, 3),
    (int | None, None, None),
    (typing.Optional[int], 3, 3),  # noqa: UP045 - people write it
    (int | float, 3, 3),
    (float | int, 3.0, 3.0),
    (int | str | None, "a", "a"),
    (Any | None, [1], [1]),
    (list[int], [1, 2], [1, 2]),
    (list[int], (1, 2), [1, 2]),
    (list, [1, "a"], [1, "a"]),
    (Sequence[int], [1], [1]),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
    (tuple[()], [], ()),
    (tuple, [1], (1,)),
    (set[str], ["a", "a"], {"a"}),
    (frozenset[Grade], [2], frozenset({Grade.BAD})),
    (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
    (dict[Size, int], {"s": 1}, {Size.SMALL: 1}),
    (dict, {"a": 1}, {"a": 1}),
    (Mapping[str, int], {"a": 1}, {"a": 1}),
    (Literal["a", 1, None], 1, 1),
    (Literal[Size.SMALL], "s", Size.SMALL),
    (Size, "l", Size.LARGE),
    (Grade, 2, Grade.BAD),
    (Colour, "red", Colour.RED),
    (datetime, "2026-01-02T12:00:00+02:00", NOON),
    (date, "2026-01-02", date(2026, 1, 2)),
    (UUID, str(AN_ID), AN_ID),
    (Annotated[int, "cents"], 3, 3),
    (Final[int], 3, 3),
    (Cents, 3, 3),
    (Alias, [3], [3]),
    (Item, {"name": "a"}, Item("a")),
    (Item | None, {"name": "a"}, Item("a")),
    (list[Item] | Item, [{"name": "a"}], [Item("a")]),
    (Part, {"number": 3}, Part(3)),
    (Shop, {"opened": "2026-01-02"}, Shop(opened=date(2026, 1, 2))),
    (Place, {"street": "a"}, {"street": "a"}),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), TAKEN, ids=repr)
def test_a_value_that_fits_is_taken(annotation: Any, value: Any, expected: Any) -> None:
    made = converted(of(annotation), {"x": value}).x
    assert (type(made), made) == (type(expected), expected)


REFUSED: list[tuple[Any, Any, str]] = [
    (str, 1, "payload.x is an int, not a str"),
    (int, "1", "payload.x is a str, not an int"),
    (int, True, "payload.x is a bool, not an int"),
    (int, 1.0, "payload.x is a float, not an int"),
    (int, None, "payload.x is None, not an int"),
    (bool, 1, "payload.x is an int, not a bool"),
    (float, True, "payload.x is a bool, not a float"),
    (float, 10**400, "payload.x is a number of too many digits for a float"),
    (bytes, "a", "payload.x is a str, not bytes"),
    (int | None, "a", "payload.x is a str, not an int or None"),
    (int | float, True, "payload.x is a bool, not an int or a float"),
    (list[int], {"a": 1}, "payload.x is a dict, not a list"),
    (list[int], [1, "2"], "payload.x[1] is a str, not an int"),
    (tuple[int, str], [1], "payload.x is a list of 1, not of 2"),
    (tuple[int, str], [1, 2], "payload.x[1] is an int, not a str"),
    (tuple[int, str], 5, "payload.x is an int, not a list of 2"),
    (set[str], [["a"]], "payload.x[0] is a list, not a str"),
    (dict[str, int], {"a": {}}, "payload.x.a is a dict, not an int"),
    (dict[str, int], {1: 1}, "payload.x.(an int) is an int, not a str"),
    (dict[str, int], [], "payload.x is a list, not a dict"),
    (Literal["a", "b"], "c", "payload.x is not one of 'a', 'b'"),
    (Literal["a", "b"], ["a"], "payload.x is a list, not one of 'a', 'b'"),
    (Literal[1], True, "payload.x is a bool, not one of 1"),
    (Literal[1, False], True, "payload.x is not one of 1, False"),
    (Size, "m", "payload.x is not one of 's', 'l'"),
    (Size, {"a": 1}, "payload.x is a dict, not one of 's', 'l'"),
    (datetime, "noon", "payload.x is a str, but not that of a datetime"),
    (datetime, 5, "payload.x is an int, not a datetime, as text"),
    (date, "2026-13-01", "payload.x is a str, but not that of a date"),
    (UUID, "x" * 1000, "payload.x is a str, but not that of a UUID"),
    (Item, "a", "payload.x is a str, not a dict, for Item"),
    (Item, {}, "payload.x.name is missing"),
    (
        Item,
        {"name": "a", "cent": 1},
        "payload.x.cent is no field of Item, which has 'name', 'cents'",
    ),
    (Item, {"name": "a", 5: 1}, "payload.x.(an int) is no field of Item, which has 'name'"),
    (list[Item], [{"name": "a"}, {"name": 1}], "payload.x[1].name is an int, not a str"),
    (Part, {"number": "a"}, "payload.x.number is refused by Part: Expected `int`, got `str`"),
    (Part, {}, "payload.x is refused by Part: Object missing required field `number`"),
    (Shop, {"opened": "x"}, "payload.x.opened is refused by Shop: Input should be a valid date"),
    (Shop, {}, "payload.x.opened is refused by Shop: Field required"),
    (Place, {}, "payload.x.street is missing"),
    (Place, {"street": "a", "b": 1}, "payload.x.b is no field of Place"),
]


@pytest.mark.parametrize(("annotation", "value", "text"), REFUSED, ids=repr)
def test_a_value_that_does_not_fit_is_refused_with_its_path(
    annotation: Any, value: Any, text: str
) -> None:
    assert refusal(of(annotation), {"x": value}).startswith(text)


def test_a_value_that_is_refused_is_not_shown() -> None:
    for annotation in (int, Size, datetime, UUID, Item, Shop, Part, list[int], Literal["a"]):
        assert "secret" not in refusal(of(annotation), {"x": "secret"})


def test_names_that_came_are_shown_in_short_and_without_what_a_terminal_obeys() -> None:
    text = refusal(Item, {"name": "a", "\x1b[2J" + "a" * 100_000: 1})
    assert "\x1b" not in text
    assert len(text) < 400
    deep: Any = 1
    for _ in range(50):
        deep = {"long" * 10: deep}
    nested = make_dataclass("M", [("x", dict[str, Any])])
    assert converted(nested, {"x": deep}).x == deep


T = TypeVar("T")


@dataclass
class Page(Generic[T]):
    items: list[T]


class Pair(NamedTuple):
    one: int


IMPOSSIBLE: list[tuple[Any, str]] = [
    (Decimal, "field 'x' of M: Decimal is not converted. A field may be str, int"),
    (complex, "complex is not converted"),
    (Access, "Access is not converted"),
    (Pair, "Pair is not converted"),
    (typing.Callable[[], None], "is not converted"),
    (T, "write a type instead of the type variable ~T"),
    (Page[int], r"Page\[int\] is generic: write a class of its own"),
    (Page, "field 'items' of Page: write a type instead of the type variable ~T"),
    (set[int], "members of a set are text, bytes, an Enum or a Literal, not <class 'int'>"),
    (set, "members of a set are text"),
    (dict[int, str], "keys of a dict are text, bytes, an Enum or a Literal, not <class 'int'>"),
    (dict[UUID, str], "keys of a dict are text"),
    (str | datetime, "nothing tells which of them a str is: a str or a datetime"),
    (Item | Place, "nothing tells which of them a dict is: an Item or a Place"),
    (list[int] | set[str], "nothing tells which of them a list is"),
    (Literal[1] | int, "nothing tells which of them an int is"),
    (Enum("Odd", {"A": (1, 2)}), r"\(1, 2\) is neither text, number, bool, None nor bytes"),
]


@pytest.mark.parametrize(("annotation", "text"), IMPOSSIBLE, ids=repr)
def test_a_type_that_is_not_converted_is_an_error_of_the_class(annotation: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        converter_of(of(annotation), "it")


def test_no_text_of_the_error_is_longer_than_it_is_read() -> None:
    many = make_dataclass("M", [(f"field_{n}", int) for n in range(1000)])
    assert len(refusal(many, {"other": 1})) < 500
    huge = Enum("Huge", {f"name_{n}": f"value {n}" for n in range(1000)})  # type: ignore[misc]
    assert re.fullmatch(r"payload.x is not one of .*, \.\.\.", refusal(of(huge), {"x": "a"}))
