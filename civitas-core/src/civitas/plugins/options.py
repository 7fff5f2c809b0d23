"""The options of a plugin, described for people: read from the fields of their pydantic model."""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from civitas.plugins.specs import TransportSpec

HIDDEN: Final = "(hidden)"
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)[^/\s]*@")
_SOUNDS_SECRET: Final = re.compile(r"password|passwd|secret|token|credential|private_key")


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option of a plugin.

    Attributes:
        name: the key in the topology.
        type: the type as Python writes it.
        required: whether the topology must give it.
        default: the default as text; empty when there is none. A secret's is hidden.
        description: the author's words.
        secret: whether its value is never shown.
    """

    name: str
    type: str
    required: bool
    default: str
    description: str
    secret: bool


def describe_options(model: type[BaseModel] | None) -> list[OptionInfo]:
    """Return the options of a model, in the order in which it declares them."""
    if model is None:
        return []
    return [_describe(name, field) for name, field in model.model_fields.items()]


def options_advice(spec: TransportSpec) -> list[str]:
    """Return what the author of a transport should improve in its options; it works as it is."""
    advice = []
    for option in describe_options(spec.options):
        if not option.description:
            advice.append(f"option {option.name!r} has no description")
        names_file = "Path" in option.type  # a file of secrets is no secret itself
        if not option.secret and not names_file and _SOUNDS_SECRET.search(option.name):
            advice.append(f"option {option.name!r} sounds like a secret and is not a SecretStr")
    return advice


def _describe(name: str, field: FieldInfo) -> OptionInfo:
    secret = is_secret(field.annotation)
    return OptionInfo(
        name=field.alias or name,
        type=type_text(field.annotation),
        required=field.is_required(),
        default=_default_text(field, secret=secret),
        description=" ".join((field.description or "").split()),
        secret=secret,
    )


def _default_text(field: FieldInfo, *, secret: bool) -> str:
    if field.is_required():
        return ""
    if field.default_factory is not None:
        return "(computed)"
    if secret and field.default is not None:
        return HIDDEN
    return _PASSWORD_IN_URL.sub(f"{HIDDEN}@", repr(field.default))


def is_secret(annotation: Any) -> bool:
    """Return whether a type is, or contains, SecretStr or SecretBytes."""
    if annotation in (SecretStr, SecretBytes):
        return True
    return any(is_secret(each) for each in get_args(annotation))


def type_text(annotation: Any) -> str:
    """Return a type as a reader would write it: `list[str] | None`, not `typing.Optional[...]`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is types.NoneType:
        return "None"
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(each) for each in arguments)
    if annotation is Ellipsis:
        return "..."
    if origin is Literal:
        return " | ".join(repr(each) for each in arguments)
    if origin is not None and hasattr(annotation, "__metadata__"):  # Annotated
        return type_text(arguments[0])
    if origin is not None and arguments:
        inner = ", ".join(type_text(each) for each in arguments)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    return getattr(annotation, "__name__", None) or str(annotation)
