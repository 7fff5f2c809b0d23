"""Values: for each type that a field may have, the function that takes what came, or refuses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from enum import Enum
from types import NoneType
from typing import Any, Final, NamedTuple, TypeAlias

from civitas._typed.refusals import ValueRefusedError, key_step, some_of, type_name, wrong_type

Convert: TypeAlias = Callable[[Any], Any]
"""Takes a value of a payload, and returns it as its field has it, or raises ValueRefusedError."""

KINDS: Final[frozenset[type]] = frozenset((str, int, float, bool, NoneType, bytes, list, dict))
"""The types of the values of payloads."""

_LIST: Final = frozenset((list,))
_LISTS: Final = frozenset((list, tuple))
"""What is a list. A tuple comes only where a message passed no serializer."""


class Part(NamedTuple):
    """What is made of one type of a field."""

    kinds: frozenset[type]
    """The kinds of values that it takes."""
    convert: Convert
    name: str
    """What an error calls it, such as `an int`."""


ANYTHING: Final = Part(KINDS, lambda value: value, "anything")


def exactly(kind: type) -> Part:
    """Take values of one type, and of none derived from it: a bool is no int."""
    name = type_name(kind)

    def convert(value: Any) -> Any:
        if type(value) is not kind:
            raise wrong_type(value, name)
        return value

    return Part(frozenset((kind,)), convert, name)


def _to_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise wrong_type(value, "a float")
    try:
        return float(value)
    except OverflowError:
        raise ValueRefusedError("is a number of too many digits for a float") from None


NUMBER: Final = Part(frozenset((float, int)), _to_float, "a float")
"""A whole number is one, too: formats such as JSON write 1.0 as 1."""


def written(kind: Callable[[str], Any], name: str) -> Part:
    """Take text that `kind` reads, such as `datetime.fromisoformat`."""

    def convert(value: Any) -> Any:
        if type(value) is not str:
            raise wrong_type(value, f"{name}, as text")
        try:
            return kind(value)
        except ValueError:
            raise ValueRefusedError(f"is a str, but not that of {name}") from None

    return Part(frozenset((str,)), convert, name)


MOMENT: Final = written(datetime.fromisoformat, "a datetime")
DAY: Final = written(date.fromisoformat, "a date")


def choice(values: Iterable[Any]) -> Part:
    """Take some values only; those of members of an Enum become the members.

    Raises:
        TypeError: a value is neither text, number, bool, None nor bytes.
    """
    choices = {}
    for each in values:
        plain = each.value if isinstance(each, Enum) else each
        if type(plain) not in KINDS - {list, dict}:
            raise TypeError(f"{plain!r} is neither text, number, bool, None nor bytes")
        choices[type(plain), plain] = each
    kinds = frozenset(kind for kind, _ in choices)
    name = f"one of {some_of(plain for _, plain in choices)}"

    def convert(value: Any) -> Any:
        kind = type(value)
        if kind not in kinds:
            raise wrong_type(value, name)
        try:
            return choices[kind, value]
        except KeyError:
            raise ValueRefusedError(f"is not {name}") from None

    return Part(kinds, convert, name)


def many(item: Convert, make: Callable[[list[Any]], Any], name: str) -> Part:
    """Take a list; `make` makes a set or a tuple of the converted items."""

    def convert(value: Any) -> Any:
        if type(value) not in _LISTS:
            raise wrong_type(value, "a list")
        return make(_items(value, (item,) * len(value)))

    return Part(_LIST, convert, name)


def row(items: Sequence[Convert]) -> Part:
    """Take a list of so many values, each of a type of its own, as a tuple."""
    size = len(items)

    def convert(value: Any) -> Any:
        if type(value) not in _LISTS:
            raise wrong_type(value, f"a list of {size}")
        if len(value) != size:
            raise ValueRefusedError(f"is a list of {len(value)}, not of {size}")
        return tuple(_items(value, items))

    return Part(_LIST, convert, f"a list of {size}")


def _items(value: Sequence[Any], converts: Sequence[Convert]) -> list[Any]:
    made: list[Any] = []
    try:
        for item, convert in zip(value, converts, strict=True):
            made.append(convert(item))
    except ValueRefusedError as error:
        error.within(f"[{len(made)}]")
        raise
    return made


def mapping(key: Convert, item: Convert) -> Part:
    """Take a dict whose keys and values are of one type each."""

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise wrong_type(value, "a dict")
        made = {}
        for at, each in value.items():
            try:
                made[key(at)] = item(each)
            except ValueRefusedError as error:
                error.within(key_step(at))
                raise
        return made

    return Part(frozenset((dict,)), convert, "a dict")


def union(parts: Sequence[Part]) -> Part:
    """Take what one of several takes: the kind of a value tells which.

    Raises:
        TypeError: two of them take values of one kind.
    """
    if ANYTHING in parts:
        return ANYTHING
    by_kind: dict[type, Part] = {}
    for part in sorted(parts, key=lambda part: part is NUMBER):  # which leaves ints to an int
        for kind in part.kinds:
            if kind in by_kind and (part is not NUMBER or kind is float):
                both = f"{by_kind[kind].name} or {part.name}"
                raise TypeError(f"nothing tells which of them {type_name(kind)} is: {both}")
            by_kind.setdefault(kind, part)
    converts = {kind: part.convert for kind, part in by_kind.items()}
    if list in converts:
        converts[tuple] = converts[list]
    name = " or ".join(part.name for part in parts)

    def convert(value: Any) -> Any:
        take = converts.get(type(value))
        if take is None:
            raise wrong_type(value, name)
        return take(value)

    return Part(frozenset(by_kind), convert, name)
