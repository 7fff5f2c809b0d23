"""The options of a plugin, described for people: read from the fields of their pydantic model."""

from __future__ import annotations

import re
import types
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from civitas.plugins.masking import MASK
from civitas.plugins.option_fields import all_keys, is_secret, models_in
from civitas.plugins.shown import shown_value
from civitas.plugins.specs import PluginSpec

HIDDEN: Final = "(hidden)"
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
    if model is None:
        return []
    return [
        OptionInfo(
            name=option,
            type=type_text(field.annotation),
            required=field.is_required(),
            default=_default_text(option, field),
            description=" ".join((field.description or "").split()),
            secret=is_secret(field.annotation),
        )
        for option, field in zip(all_keys(model), model.model_fields.values(), strict=True)
    ]


def options_advice(spec: PluginSpec) -> list[str]:
    """Return what the author of a plugin should improve in its options; it works as it is."""
    advice: list[str] = []
    for option in describe_options(spec.options):
        if not option.description:
            advice.append(f"option {option.name!r} has no description")
        is_file = "Path" in option.type  # a file of secrets is no secret itself
        if not option.secret and not is_file and _SOUNDS_SECRET.search(option.name):
            advice.append(f"option {option.name!r} sounds like a secret and is not a SecretStr")
    nested = [] if spec.options is None else models_in(spec.options)[1:]
    advice += [
        f'{each.__name__} ignores unknown keys: set model_config = ConfigDict(extra="forbid")'
        for each in nested
        if each.model_config.get("extra", "ignore") == "ignore"
    ]
    return advice


def _default_text(option: str, field: FieldInfo) -> str:
    if field.is_required():
        return ""
    if field.default_factory is not None:
        return "(computed)"
    shown = shown_value(field.default, field.annotation, option)
    return HIDDEN if shown == MASK else repr(shown)


def type_text(annotation: Any) -> str:
    """Return a type as a reader would write it: `list[str] | None`, not `typing.Optional[...]`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is types.NoneType:
        return "None"
    if origin in (Union, types.UnionType):
        return " | ".join(map(type_text, arguments))
    if annotation is Ellipsis:
        return "..."
    if isinstance(annotation, list):  # the arguments of a Callable
        return f"[{', '.join(map(type_text, annotation))}]"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " | ".join(repr(each.value) for each in annotation)
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin is not None and hasattr(annotation, "__metadata__"):  # Annotated
        return type_text(arguments[0])
    if origin is not None and arguments:
        return f"{getattr(origin, '__name__', origin)}[{', '.join(map(type_text, arguments))}]"
    return getattr(annotation, "__name__", None) or str(annotation)
