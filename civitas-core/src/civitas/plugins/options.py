"""The options of a plugin, described for people: read from the fields of their pydantic model."""

from __future__ import annotations

import re
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from civitas.plugins.specs import SerializerSpec, TransportSpec

HIDDEN: Final = "(hidden)"
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)[^/\s]*@")
_SOUNDS_SECRET: Final = re.compile(r"password|passwd|secret|token|credential|private_key")


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option of a plugin, by its key in the topology.

    `default` is text, and empty where there is none. That of a secret, which is never shown, is
    hidden.
    """

    name: str
    type: str
    required: bool
    default: str
    description: str
    secret: bool


def describe_options(model: type[BaseModel] | None) -> list[OptionInfo]:
    """Return the options of a model, in the order in which it declares them."""
    fields = {} if model is None else model.model_fields
    return [
        OptionInfo(
            name=field.alias or name,
            type=type_text(field.annotation),
            required=field.is_required(),
            default=_default_text(field),
            description=" ".join((field.description or "").split()),
            secret=is_secret(field.annotation),
        )
        for name, field in fields.items()
    ]


def options_advice(spec: TransportSpec | SerializerSpec) -> list[str]:
    """Return what the author of a plugin should improve in its options; it works as it is."""
    advice = []
    for option in describe_options(spec.options):
        if not option.description:
            advice.append(f"option {option.name!r} has no description")
        is_file = "Path" in option.type  # a file of secrets is no secret itself
        if not option.secret and not is_file and _SOUNDS_SECRET.search(option.name):
            advice.append(f"option {option.name!r} sounds like a secret and is not a SecretStr")
    return advice


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    if field.default_factory is not None:
        return "(computed)"
    if field.default is not None and is_secret(field.annotation):
        return HIDDEN
    return _PASSWORD_IN_URL.sub(f"{HIDDEN}@", repr(field.default))


def is_secret(annotation: Any) -> bool:
    """Return whether a type is, or contains, SecretStr or SecretBytes."""
    return annotation in (SecretStr, SecretBytes) or any(map(is_secret, get_args(annotation)))


def keys_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Return the keys that a block nested in options may have; empty where that is not fixed.

    `path` is what pydantic names as the place of an error: it may have list indices, keys of
    mappings and members of unions in it.
    """
    models = [model]
    for step in path:
        fields = [
            field
            for each in models
            for name, field in each.model_fields.items()
            if step in (name, field.alias)
        ]
        if fields:
            models = [nested for field in fields for nested in _models_in(field.annotation)]
    fields_of = (field for each in models for field in each.model_fields.items())
    return list(dict.fromkeys(field.alias or name for name, field in fields_of))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for argument in get_args(annotation) for each in _models_in(argument)]


def names_file(annotation: Any) -> bool:
    """Return whether a type is, or contains, Path: its value is the name of a file."""
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return True
    return any(map(names_file, get_args(annotation)))


def type_text(annotation: Any) -> str:
    """Return a type as a reader would write it: `list[str] | None`, not `typing.Optional[...]`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is types.NoneType:
        return "None"
    if origin in (Union, types.UnionType):
        return " | ".join(map(type_text, arguments))
    if annotation is Ellipsis:
        return "..."
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin is not None and hasattr(annotation, "__metadata__"):  # Annotated
        return type_text(arguments[0])
    if origin is not None and arguments:
        return f"{getattr(origin, '__name__', origin)}[{', '.join(map(type_text, arguments))}]"
    return getattr(annotation, "__name__", None) or str(annotation)
