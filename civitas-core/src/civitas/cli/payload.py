"""Reads the payload that a command was given: a JSON object, as RFC 8259 has it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import typer


def read_payload(text: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        typer.BadParameter: it is none, or it has what a message can't carry; the path says where.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
        wrong = next(_refused(value, "payload"), None)
    except RecursionError:
        raise typer.BadParameter("a payload is not nested so deep") from None
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"this is no JSON: {error}; given was {text!r:.80}") from None
    except ValueError:
        raise typer.BadParameter("a number has more digits than can be read") from None
    if wrong is not None:
        raise typer.BadParameter(f"this is no JSON: {wrong}")
    if isinstance(value, dict):
        return value
    example = '{"question": "..."}'
    raise typer.BadParameter(f"a payload is a JSON object, such as '{example}', not {text!r:.80}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise typer.BadParameter(f"an object has the key {twice!r} twice")
    return made


def _refused(value: Any, path: str) -> Iterator[str]:
    """Find what Python reads but JSON does not have: NaN, infinity, half a surrogate pair."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _refused(key, f"a key of {path}")
            yield from _refused(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _refused(item, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{path} is {'NaN' if math.isnan(value) else 'infinite, or too large a number'}"
    elif isinstance(value, str) and any("\ud800" <= each <= "\udfff" for each in value):
        yield f"{path} has half of a surrogate pair"
