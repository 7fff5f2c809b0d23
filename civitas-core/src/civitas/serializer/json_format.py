"""JsonSerializer: an object with the key `schema`."""

from __future__ import annotations

import json
from typing import Any, Final

from civitas.errors import DeserializationError
from civitas.messages import Message
from civitas.serializer.fields import (
    FIELDS,
    SCHEMA,
    TYPES,
    check_schema,
    message_from_fields,
    message_from_frame,
    unserializable,
)

_DEEPEST: Final = 500
"""Levels of nesting that are written; msgpack's own limit is 511."""


class JsonSerializer:
    """JSON: an object with the key `schema`. Readable on the wire, stricter about values."""

    name: Final = "json"

    def serialize(self, message: Message) -> bytes:
        """Return the message as JSON."""
        document = {"schema": SCHEMA} | {field: getattr(message, field) for field in FIELDS}
        try:
            _refuse_other_keys(message.payload, 0)
            return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        except Exception as error:
            raise unserializable(message, self.name, error, _check_value, _check_key) from error

    def deserialize(self, data: bytes) -> Message:
        """Return the message in these bytes, which are a body or a whole frame."""
        try:
            document = json.loads(data)
            if not isinstance(document, dict):
                raise DeserializationError("not a message in json: the document is no object")
            check_schema(document.pop("schema", None))
            return message_from_fields({k: v for k, v in document.items() if k in TYPES})
        except DeserializationError:
            raise
        except (ValueError, RecursionError) as error:
            return message_from_frame(self, data, error)


def _refuse_other_keys(value: Any, depth: int) -> None:
    """Raise for keys that are not text, which json would turn into text without a word."""
    if depth > _DEEPEST:
        raise RecursionError("nested too deep, or a value that contains itself")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_key(key)
            _refuse_other_keys(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_other_keys(item, depth + 1)


def _check_key(key: Any) -> None:
    if not isinstance(key, str):
        raise TypeError(f"keys are text in JSON, not {type(key).__name__}")
    _check_value(key)


def _check_value(value: Any) -> None:
    json.dumps(value, ensure_ascii=False).encode()
