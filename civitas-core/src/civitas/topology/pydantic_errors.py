"""The errors of pydantic, explained in the words of a topology."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_TEXTS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "invalid_key": "a key must be text",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "finite_number": "must be a finite number",
    "too_short": "needs at least {min_length}, and has {actual_length}",
    "too_long": "has at most {max_length}, and has {actual_length}",
    "string_too_short": "needs at least {min_length} characters",
    "string_too_long": "has at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
}
_EXPECTED: Final[Mapping[str, str]] = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
REMOVE_QUOTES: Final = "remove the quotes"
_NUMBERS: Final = frozenset(("a whole number", "a number"))


class Explanation(NamedTuple):
    """What is wrong and what to do, for one error of pydantic."""

    message: str
    suggestion: str = ""


def explain(error: Mapping[str, Any]) -> Explanation:
    """Explain one entry of `ValidationError.errors()`. The offending value is not repeated.

    Args:
        error: the entry, with `type`, `msg`, and where pydantic gives them `input` and `ctx`.
    """
    kind = error["type"]
    value = error.get("input")
    expected = _EXPECTED.get(kind)
    if expected is not None:
        return Explanation(f"must be {expected}, not {kind_of(value)}", _hint(expected, value))
    context = {key: _number(each) for key, each in error.get("ctx", {}).items()}
    template = _TEXTS.get(kind)
    if template is not None:
        return Explanation(template.format_map(context))
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return Explanation(message.replace("Input should be", "must be"))


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of a topology."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a number"
    for type_, word in ((str, "text"), (list, "a list"), (Mapping, "a mapping")):
        if isinstance(value, type_):
            return word
    return type(value).__name__


def _hint(expected: str, value: Any) -> str:
    if expected in _NUMBERS and isinstance(value, str) and _is_number(value):
        return REMOVE_QUOTES
    if expected == "true or false" and isinstance(value, str):
        return REMOVE_QUOTES if value.lower() in ("true", "false") else ""
    if expected == "text" and isinstance(value, bool | int | float):
        return "put it in quotes"
    return ""


def _number(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, float) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
