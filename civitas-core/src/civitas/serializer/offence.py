"""Which value of a message could not be written: found only after the format has refused it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from civitas.errors import SerializationError
from civitas.messages import Message
from civitas.serializer.fields import FIELDS, text_of

_MAX_DEPTH: Final = 100
_PATH_SHOWN: Final = 60

Check: TypeAlias = Callable[[Any], None]
"""Raises for a value that has no form in a format."""


def unserializable(
    message: Message, format: str, error: Exception, check_value: Check, check_key: Check
) -> SerializationError:
    """Make the error that names the offending value by its path, such as `payload.a.b`.

    Args:
        message: what could not be written.
        format: the serializer's name.
        error: what the format raised.
        check_value: raises for a scalar that has no form in the format.
        check_key: raises for a key that has none.
    """
    for field in FIELDS:
        found = _offender(getattr(message, field), field, check_value, check_key, 0)
        if found is not None:
            path, reason = found
            return SerializationError(
                f"{path} can't be sent: {reason}. A payload holds JSON-like values: dict, list, "
                f"str, int, float, bool and None (serializer: {format})",
                path,
            )
    return SerializationError(f"the message can't be sent as {format}: {text_of(error)}", "payload")


def _offender(
    value: Any, path: str, check_value: Check, check_key: Check, depth: int
) -> tuple[str, str] | None:
    """Return path and reason of the first value that has no form in the format."""
    if depth > _MAX_DEPTH:
        shown = path[:_PATH_SHOWN] + "…"
        return shown, f"more than {_MAX_DEPTH} levels deep, or a value that contains itself"
    if isinstance(value, dict):
        for key in value:
            reason = _problem(key, check_key)
            if reason is not None:
                return path, f"key {key!r}: {reason}"
        inner = [(item, f"{path}.{key}") for key, item in value.items()]
    elif isinstance(value, list | tuple):
        inner = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
    else:
        reason = _problem(value, check_value)
        return None if reason is None else (path, reason)
    for item, inner_path in inner:
        found = _offender(item, inner_path, check_value, check_key, depth + 1)
        if found is not None:
            return found
    return None


def _problem(value: Any, check: Check) -> str | None:
    try:
        check(value)
    except Exception as error:  # noqa: BLE001 - whatever the format raises is the reason
        return f"{type(value).__name__} has no form there ({text_of(error)})"
    return None
