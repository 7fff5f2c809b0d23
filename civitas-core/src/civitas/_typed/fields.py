"""Fields: what the fields of a dataclass, or the keys of a TypedDict, are to be."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from civitas._typed.refusals import refused_by
from civitas._typed.shapes import Shape
from civitas.errors import ConfigurationError, describe

_UNIONS = (typing.Union, types.UnionType)


class Described(NamedTuple):
    """A model that we convert."""

    hints: dict[str, Any]
    """The type of each field that a payload may have."""
    required: frozenset[str]
    """Those that it must have."""
    make: Callable[[dict[str, Any]], Any]
    """Makes the object of its converted fields; raises ValueRefusedError."""


def described(cls: type, shape: Shape) -> Described:
    """Return what a dataclass or a TypedDict says of itself.

    Raises:
        NameError: a type that it names is not there yet.
        ConfigurationError: it can't be made from its fields.
    """
    hints = _hints_of(cls)
    if shape is Shape.TYPED_DICT:
        return _typed_dict(cls, hints)
    return _dataclass(cls, hints)


def is_union(origin: object) -> bool:
    """Return whether a type's origin is that of a union."""
    return origin in _UNIONS


def unwrapped(hint: Any) -> Any:
    """Return a type without what says something else about it: Annotated, Final, NewType ..."""
    while True:
        origin = typing.get_origin(hint)
        if origin in _WRAPPERS or _name_of(origin) in _WRAPPER_NAMES:
            hint = typing.get_args(hint)[0]
        elif hasattr(hint, "__supertype__"):  # a NewType
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":  # of a `type` statement
            hint = hint.__value__
        else:
            return hint


_WRAPPERS = (typing.Annotated, typing.Final, typing.Required, typing.NotRequired)
_WRAPPER_NAMES = frozenset(("ReadOnly", "Required", "NotRequired"))
"""Of `typing` in later versions of Python, or of typing_extensions."""


def _name_of(origin: object) -> str:
    return str(getattr(origin, "_name", None) or getattr(origin, "__name__", ""))


def _hints_of(cls: type) -> dict[str, Any]:
    try:
        try:
            return typing.get_type_hints(cls, include_extras=True)
        except NameError:  # a class within a function may at least name itself
            names = {cls.__name__: cls}
            return typing.get_type_hints(cls, localns=names, include_extras=True)
    except NameError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the annotations of {cls.__qualname__} can't be read: {describe(error)}"
        ) from error


def _dataclass(cls: type, hints: dict[str, Any]) -> Described:
    of_init = [field for field in fields(cls) if field.init]
    names = {field.name: hints[field.name] for field in of_init}
    _check_init(cls, names)
    made: Callable[..., Any] = cls

    def make(values: dict[str, Any]) -> Any:
        try:
            return made(**values)
        except Exception as error:  # noqa: BLE001 - of a `__post_init__`
            raise refused_by(cls.__name__, error) from None

    missing = (
        field.name
        for field in of_init
        if field.default is MISSING and field.default_factory is MISSING
    )
    return Described(names, frozenset(missing), make)


def _check_init(cls: Any, names: dict[str, Any]) -> None:
    """Raise ConfigurationError unless a class is made by calling it with these fields by name."""
    try:
        if cls.__init__ is object.__init__ and names:
            raise TypeError("it has none")
        inspect.signature(cls.__init__).bind(None, **names)
    except TypeError as error:
        raise ConfigurationError(
            f"{cls.__qualname__} is made by calling it with its fields by name, and its __init__ "
            f"does not take them: {error}"
        ) from error


def _typed_dict(cls: Any, hints: dict[str, Any]) -> Described:
    """Describe a TypedDict. Its own sets of keys miss qualifiers that were written as text."""
    required = set()
    for name, hint in hints.items():
        qualifiers = {_name_of(origin) for origin in _origins(hint)}
        if "Required" in qualifiers or (
            "NotRequired" not in qualifiers and name in cls.__required_keys__
        ):
            required.add(name)
    return Described(hints, frozenset(required), lambda values: values)


def _origins(hint: Any) -> list[object]:
    origins: list[object] = []
    while (origin := typing.get_origin(hint)) is not None and typing.get_args(hint):
        origins.append(origin)
        hint = typing.get_args(hint)[0]
    return origins
