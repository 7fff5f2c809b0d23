"""Converting: a dict that came becomes an object of the model that the receiver has chosen."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum, Flag
from functools import partial
from types import NoneType
from typing import Any, Final

from civitas._typed import libraries, values
from civitas._typed.fields import described, is_union, unwrapped
from civitas._typed.refusals import ValueRefusedError, key_step, some_of, type_name, wrong_type
from civitas._typed.shapes import NOT_GENERIC, Shape, model_of, shape_of
from civitas._typed.values import Convert, Part
from civitas.errors import ConfigurationError

_CONVERTER: Final = "__civitas_converter__"
"""The attribute of a model that has its converter. A subclass has one of its own."""

_SIMPLE: Final[dict[Any, Part]] = {
    **{kind: values.exactly(kind) for kind in (str, int, bool, bytes)},
    **dict.fromkeys((None, NoneType), values.exactly(NoneType)),
    **dict.fromkeys((Any, object), values.ANYTHING),
    float: values.NUMBER,
    datetime: values.MOMENT,
    date: values.DAY,
}

_BARE: Final[dict[Any, Any]] = {
    list: list[Any],
    tuple: tuple[Any, ...],
    dict: dict[str, Any],
    set: set[Any],
    frozenset: frozenset[Any],
    Sequence: Sequence[Any],
    Mapping: Mapping[str, Any],
}
"""Types without arguments, and what they mean."""

_HASHED: Final = (str, bytes)
"""Types whose hashes depend on a secret of this process. Thousands of numbers can be chosen that
fall on one another in a set, so that making it takes the square of their number."""

_MAY_BE: Final = (
    "str, int, float, bool, bytes, None, Any, datetime, date, UUID, an Enum, Literal, list, tuple, "
    "set, dict with text for its keys, other models, and unions of these"
)


def converter_of(cls: Any, what: str) -> Convert:
    """Return the function that makes an object of a model out of a payload; it is kept for later.

    It raises ValueRefusedError for whatever does not fit. `what` names the class in an error.

    Raises:
        ConfigurationError: the class is no model, or has a field of a type that is not converted.
        NameError: a type that it names is not there yet.
    """
    model, shape = model_of(cls, what)
    kept: Convert | None = vars(model).get(_CONVERTER)
    if kept is not None:
        return kept
    try:
        convert = _Converters().of_model(model, shape)
    except RecursionError:
        raise ConfigurationError(f"a type of {model.__qualname__} has no end") from None
    made = staticmethod(partial(_at_any_depth, convert))
    setattr(model, _CONVERTER, made)
    return made


def _at_any_depth(convert: Convert, payload: Any) -> Any:
    try:
        return convert(payload)
    except RecursionError:
        raise ValueRefusedError("has too many levels") from None


class _Fields:
    """Makes an object of a dict, field by field."""

    __slots__ = ("converts", "make", "name", "required")

    def __init__(self, name: str) -> None:
        self.name = name
        self.converts: dict[str, Convert] = {}
        self.required: frozenset[str] = frozenset()
        self.make: Convert = dict

    def __call__(self, value: Any) -> Any:
        if type(value) is not dict:
            raise wrong_type(value, f"a dict, for {self.name}")
        converts = self.converts
        if value.keys() != converts.keys():
            self._check_keys(value)
        made = {}
        for name, item in value.items():
            try:
                made[name] = converts[name](item)
            except ValueRefusedError as error:
                error.within(key_step(name))
                raise
        return self.make(made)

    def _check_keys(self, value: dict[Any, Any]) -> None:
        for name in value:
            if name not in self.converts:
                known = f"which has {some_of(self.converts)}" if self.converts else "which has none"
                raise ValueRefusedError(f"is no field of {self.name}, {known}", key_step(name))
        for name in self.converts:
            if name in self.required and name not in value:
                raise ValueRefusedError("is missing", key_step(name))


class _Converters:
    """Makes the converters of one model, and of those within it, which may have it within them."""

    def __init__(self) -> None:
        self._made: dict[type, Convert] = {}

    def of_model(self, cls: type, shape: Shape) -> Convert:
        """Return what makes an object of a model."""
        if cls not in self._made:
            if shape is Shape.PYDANTIC:
                self._made[cls] = libraries.of_pydantic(cls)
            elif shape is Shape.STRUCT:
                self._made[cls] = libraries.of_struct(cls)
            else:
                self._of_fields(cls, shape)
        return self._made[cls]

    def _of_fields(self, cls: type, shape: Shape) -> None:
        fields = described(cls, shape)
        convert = self._made[cls] = _Fields(cls.__name__)
        convert.required, convert.make = fields.required, fields.make
        for name, hint in fields.hints.items():
            try:
                convert.converts[name] = self._of(hint).convert
            except TypeError as error:
                raise ConfigurationError(f"field {name!r} of {cls.__qualname__}: {error}") from None

    def _of(self, hint: Any) -> Part:
        """Return what takes values of a type.

        Raises:
            TypeError: there is nothing for this type.
        """
        hint = unwrapped(hint)
        if _is_simple(hint):
            return _SIMPLE[hint]
        if isinstance(hint, typing.TypeVar):
            raise TypeError(f"write a type instead of the type variable {hint}")
        shape = shape_of(hint)
        if shape is not None:
            return Part(frozenset((dict,)), self.of_model(hint, shape), type_name(hint))
        if isinstance(hint, type) and issubclass(hint, Enum) and not issubclass(hint, Flag):
            return values.choice(hint)
        if (getattr(hint, "__module__", ""), getattr(hint, "__name__", "")) == ("uuid", "UUID"):
            return values.written(hint, "a UUID")
        return self._of_generic(_BARE.get(hint, hint) if isinstance(hint, type) else hint)

    def _of_generic(self, hint: Any) -> Part:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if is_union(origin):
            return values.union([self._of(each) for each in arguments])
        if origin is typing.Literal:
            return values.choice(arguments)
        if origin in (dict, Mapping):
            key = self._of_hashed(arguments[0], "keys of a dict")
            return values.mapping(key, self._of(arguments[1]).convert)
        if origin in (set, frozenset):
            member = self._of_hashed(arguments[0], "members of a set")
            return values.many(member, origin, "a set")
        if origin is tuple and arguments[-1:] != (...,):
            return values.row([self._of(each).convert for each in arguments])
        if origin in (list, tuple, Sequence):
            make = tuple if origin is tuple else _same
            return values.many(self._of(arguments[0]).convert, make, "a list")
        if shape_of(origin) is not None:
            raise TypeError(f"{hint} is generic: {NOT_GENERIC}")
        raise TypeError(
            f"{getattr(hint, '__qualname__', hint)} is not converted. A field may be {_MAY_BE}; a "
            f"pydantic model or a msgspec Struct may have others"
        )

    def _of_hashed(self, hint: Any, what: str) -> Convert:
        hint = unwrapped(hint)
        if hint not in _HASHED and not _is_chosen(hint):
            raise TypeError(f"{what} are text, bytes, an Enum or a Literal, not {hint!r}")
        return self._of(hint).convert


def _same(value: list[Any]) -> list[Any]:
    return value


def _is_simple(hint: Any) -> bool:
    try:
        return hint in _SIMPLE
    except TypeError:  # no hash
        return False


def _is_chosen(hint: Any) -> bool:
    """Return whether a type has few values, which its author has chosen."""
    if typing.get_origin(hint) is typing.Literal:
        return True
    return isinstance(hint, type) and issubclass(hint, Enum)
