"""Options as they are shown: JSON-like values, in which nothing secret is left.

What pydantic makes of a model is not shown: it fails where one type has no JSON, has what is
computed as well, which nobody can type, and calls serializers of the plugin's, which may reveal a
secret.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final

from pydantic import BaseModel, RootModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from civitas.plugins.masking import MASK, mask_values
from civitas.plugins.option_fields import SECRET_TYPES, is_secret, option_keys

_DEEPEST: Final = 50
_ADDRESSES: Final = (IPv4Address, IPv4Network, IPv6Address, IPv6Network)


def shown_options(options: BaseModel) -> dict[str, Any]:
    """Return options by the keys that a topology gives them with."""
    shown: dict[str, Any] = mask_values(_shown_model(options, 0))
    return shown


def shown_value(value: Any, annotation: Any, name: str) -> Any:
    """Return a value, such as the default, of the option of that type and name."""
    return mask_values(_shown(value, 0, is_secret=is_secret(annotation)), name)


def _shown_model(model: BaseModel, depth: int) -> Any:
    if isinstance(model, RootModel):
        return _shown(model.root, depth + 1, is_secret=is_secret(type(model)))
    shown = {}
    values = vars(model)  # to get an attribute that is deprecated would warn
    for name, field in type(model).model_fields.items():
        if not field.exclude:
            value = values.get(name)
            secret = is_secret(field.annotation)
            shown[option_keys(type(model), name)[0]] = _shown(value, depth + 1, is_secret=secret)
    for name, value in (model.model_extra or {}).items():
        shown[name] = _shown(value, depth + 1)
    return shown


def _shown(value: Any, depth: int, *, is_secret: bool = False) -> Any:
    """Return a value; of one that is secret, or below such a one, only the form is shown."""
    if depth > _DEEPEST:
        return f"(nested more than {_DEEPEST} levels deep)"
    if isinstance(value, SECRET_TYPES):
        return MASK
    if isinstance(value, BaseModel):
        return _shown_model(value, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {
            str(_shown(key, depth + 1)): _shown(item, depth + 1, is_secret=is_secret)
            for key, item in value.items()
        }
    if isinstance(value, Set):
        items = [_shown(item, depth + 1, is_secret=is_secret) for item in value]
        return sorted(items, key=lambda item: (str(type(item)), str(item)))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [_shown(item, depth + 1, is_secret=is_secret) for item in value]
    if value is None or isinstance(value, bool):
        return value
    return MASK if is_secret else _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return _scalar(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="backslashreplace")
    if isinstance(value, _ADDRESSES):  # pydantic 2.7 does not know them
        return str(value)
    try:
        shown = to_jsonable_python(value)
    except (PydanticSerializationError, ValueError, TypeError):
        return f"({type(value).__name__})"
    return shown if isinstance(shown, str | int | float | None) else f"({type(value).__name__})"
