"""Sending: an object of a model becomes a message type and a dict.

What is in it is converted, and not judged: a value that can't be sent is left as it is, and the
serializer names it, with its path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date, datetime
from enum import Enum
from types import NoneType
from typing import Any, Final
from weakref import WeakKeyDictionary

from civitas._typed.libraries import library_of
from civitas._typed.shapes import Shape, model_of, shape_of, tag_of
from civitas.errors import MessageValidationError, SerializationError, crash_of, describe

_DEEPEST: Final = 100
"""Levels that are converted. What lies deeper is refused by the serializers."""

_AS_IT_IS: Final = frozenset((str, int, float, bool, NoneType, bytes))

_fields_of: Final[WeakKeyDictionary[type, tuple[str, ...]]] = WeakKeyDictionary()


def as_message(model: object) -> tuple[str, dict[str, Any]]:
    """Return type and payload for an object of a model.

    Raises:
        SerializationError: its library does not turn it into what can be sent.
        MessageValidationError: it is no dict on the wire.
    """
    cls = type(model)
    _, shape = model_of(cls, "what is sent")
    payload = _dict_of(model, shape, 0)
    if type(payload) is not dict:
        raise MessageValidationError(
            f"a {cls.__qualname__} is sent as a {type(payload).__name__}, and a payload is a dict: "
            f"put it into a field of another model"
        )
    return tag_of(cls), payload


def _dict_of(model: Any, shape: Shape, depth: int) -> Any:
    cls = type(model)
    if shape is Shape.DATACLASS:
        names = _fields_of.get(cls)
        if names is None:
            names = _fields_of[cls] = tuple(field.name for field in fields(cls) if field.init)
        return {name: _plain(getattr(model, name), depth + 1) for name in names}
    if shape is Shape.TYPED_DICT:
        return _plain(model, depth)
    try:
        if shape is Shape.PYDANTIC:
            return model.model_dump(mode="json", by_alias=True)
        return library_of(cls).to_builtins(model)
    except BaseException as error:
        said = describe(crash_of(error))
        text = f"payload can't be sent: {cls.__qualname__} does not become a dict: {said}"
        raise SerializationError(text, "payload") from error


def _plain(value: Any, depth: int) -> Any:
    """Return a value as it is sent; what is of no known type, as it is."""
    kind = type(value)
    if kind in _AS_IT_IS or depth > _DEEPEST:
        return value
    if kind is list or kind is tuple:
        return [_plain(item, depth + 1) for item in value]
    if kind is dict:
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    for types, convert in _OTHERS:
        if isinstance(value, types):
            return convert(value, depth)
    if (kind.__module__, kind.__name__) == ("uuid", "UUID"):
        return str(value)
    shape = shape_of(kind)
    return value if shape is None else _dict_of(value, shape, depth)


def _key(key: Any) -> Any:
    return key.value if isinstance(key, Enum) else key


def _text(value: Any, _: int) -> str:
    text: str = value.isoformat()
    return text


def _list(value: Any, depth: int) -> list[Any]:
    return [_plain(item, depth + 1) for item in value]


def _dict(value: Any, depth: int) -> dict[Any, Any]:
    return {_key(key): _plain(item, depth + 1) for key, item in value.items()}


_OTHERS: Final[tuple[tuple[tuple[type, ...], Callable[[Any, int], Any]], ...]] = (
    ((datetime, date), _text),
    ((set, frozenset, list, tuple), _list),
    ((Mapping,), _dict),
)
