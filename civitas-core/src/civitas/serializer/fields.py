"""From the fields of a body to a Message: every type is checked, the bytes may be anyone's."""

from __future__ import annotations

from typing import Any, Final

from civitas import envelope
from civitas.errors import DeserializationError
from civitas.messages import Message
from civitas.serializer.protocol import Serializer

SCHEMA: Final = 1
"""Number of the body's layout: the first element of the array, the key `schema` of the object."""

FIELDS: Final = tuple(Message.__slots__)
"""The fields in the order in which an array has them."""

_TEXT: Final = (str,)
_LARGEST: Final = 1 << 63
"""Whole numbers beyond this one are no times and no counts, and can't be reckoned with as such."""

_OPTIONAL_TEXT: Final = (str, type(None))
_NUMBER: Final = (int, float)
TYPES: Final[dict[str, tuple[type, ...]]] = {
    "id": _TEXT,
    "type": _TEXT,
    "sender": _TEXT,
    "recipient": _TEXT,
    "correlation_id": _OPTIONAL_TEXT,
    "reply_to": _OPTIONAL_TEXT,
    "payload": (dict,),
    "timestamp": _NUMBER,
    "trace_id": _TEXT,
    "span_id": _TEXT,
    "parent_span_id": _OPTIONAL_TEXT,
    "attempt": (int,),
    "priority": (int,),
    "ttl": (*_NUMBER, type(None)),
}


def check_schema(schema: object) -> None:
    """Raise DeserializationError unless this is the number of the layout that is read here."""
    if type(schema) is not int or schema != SCHEMA:
        raise DeserializationError(
            f"the message has schema {schema!r}; this runtime reads schema {SCHEMA}"
        )


def message_from_fields(fields: dict[str, Any]) -> Message:
    """Make a message of its fields by name.

    Raises:
        DeserializationError: a field is missing, or of another type.
    """
    for field, types in TYPES.items():
        if field not in fields:
            raise DeserializationError(f"the message lacks {field!r}")
        value = fields[field]
        if not isinstance(value, types) or isinstance(value, bool):
            raise DeserializationError(f"{field!r} of the message is a {type(value).__name__}")
        if type(value) is int and not -_LARGEST <= value <= _LARGEST:
            raise DeserializationError(f"{field!r} of the message is a number of too many digits")
    return Message(**fields)


def message_from_frame(serializer: Serializer, frame: bytes) -> Message:
    """Decode a whole frame: code that was given a transport's data may not know of frames."""
    try:
        opened = envelope.open(frame)
    except Exception as error:
        raise DeserializationError(f"neither a message nor a frame: {error}") from error
    message = serializer.deserialize(opened.body)
    if opened.reply_to:
        message.reply_to = opened.reply_to
    return message


def text_of(error: BaseException) -> str:
    """Return type and text of an error in one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
