"""The fields of a body: every type is checked on reading, and a refused value is named on writing.

What is read comes from the network, so the bytes may be anyone's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from civitas import envelope
from civitas.errors import DeserializationError, SerializationError, crash_of, describe
from civitas.messages import NO_HEADERS, Message, headers_problem
from civitas.serializer.protocol import Serializer, name_of

SCHEMA: Final = 1
"""Number of the body's layout: the first element of the array, the key `schema` of the object."""

FIELDS: Final = tuple(Message.__slots__)
"""The fields in the order in which an array has them. Those of `OPTIONAL`, the last ones, may be
left out where they are empty."""

OPTIONAL: Final = frozenset(("headers",))
"""The fields that were appended later: a body of an older writer lacks them."""

LARGEST: Final = 1 << 63
"""Whole numbers beyond this one are no times and no counts; arithmetic with them could fail."""

TYPES: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(FIELDS, (str,)),
    **dict.fromkeys(("correlation_id", "reply_to", "parent_span_id"), (str, type(None))),
    **dict.fromkeys(("attempt", "priority"), (int,)),
    **dict.fromkeys(("payload", "headers"), (dict,)),
    "timestamp": (int, float),
    "ttl": (int, float, type(None)),
}
"""The types of each field: text where nothing else is said."""

_MAX_DEPTH: Final = 100
_PATH_SHOWN: Final = 60

Check: TypeAlias = Callable[[Any], None]
"""Raises for a value that has no form in a format."""


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
    for field in TYPES:
        if field not in fields and field not in OPTIONAL:
            raise DeserializationError(f"the message lacks {field!r}")
    message = Message(**fields)
    if message.headers == {}:
        message.headers = NO_HEADERS
    problem = field_problem(message)
    if problem is not None:
        raise DeserializationError(f"the message's {problem}")
    return message


def field_problem(message: Message) -> str | None:
    """Say which field of a message that came is of a wrong type, and what it is; None for none."""
    for field, types in TYPES.items():
        value = getattr(message, field)
        if not isinstance(value, types) or isinstance(value, bool):
            return f"{field!r} is a {type(value).__name__}"
        if type(value) is int and not -LARGEST <= value <= LARGEST:
            return f"{field!r} is a number of too many digits"
    return headers_problem(message.headers)


def headers_of(found: object) -> dict[str, str]:
    """Return what was read as the headers of a message.

    Raises:
        DeserializationError: they are none.
    """
    problem = headers_problem(found)
    if problem is not None:
        raise DeserializationError(f"the message's {problem}")
    return found or NO_HEADERS  # type: ignore[return-value]  # it is a dict of text


def refuse_headers(headers: object) -> None:
    """Raise where a reader would refuse the headers of a message: here the sender hears of it.

    Raises:
        SerializationError: there are too many, or they are no text.
    """
    problem = headers_problem(headers)
    if problem is not None:
        raise SerializationError(f"the message can't be sent: {problem}", "headers")


def message_from_frame(serializer: Serializer, data: bytes, cause: Exception) -> Message:
    """Decode data that is no body, if it is a whole frame: the caller may not know of frames.

    Raises:
        DeserializationError: it is no frame, or its body is no message.
    """
    if not envelope.is_frame(data):
        problem = f"not a message in {name_of(serializer)}: {describe(cause)}"
        raise DeserializationError(problem) from cause
    try:
        opened = envelope.open(data)
    except Exception as error:
        raise DeserializationError(f"neither a message nor a frame: {describe(error)}") from error
    message = serializer.deserialize(opened.body)
    message.reply_to = opened.reply_to or message.reply_to
    return message


def unserializable(
    message: Message, format: str, error: Exception, check_value: Check, check_key: Check
) -> SerializationError:
    """Make the error that names the refused value by its path, such as `payload.a.b`.

    The value is searched for only now, after the format has refused the message.

    Args:
        message: what could not be written.
        format: the serializer's name.
        error: what the format raised.
        check_value: raises for a scalar that has no form in the format.
        check_key: raises for a key that has none.
    """
    try:
        for field in FIELDS:
            for path, reason in _refused(getattr(message, field), field, check_value, check_key, 0):
                return SerializationError(
                    f"{path} can't be sent: {reason}. A payload holds JSON-like values: dict, list,"
                    f" str, int, float, bool and None (serializer: {format})",
                    path,
                )
    except BaseException as failure:  # noqa: BLE001 - a value whose own code raises
        error = crash_of(failure)
    problem = f"the message can't be sent as {format}: {describe(error)}"
    return SerializationError(problem, "payload")


def _refused(
    value: Any, path: str, check_value: Check, check_key: Check, depth: int
) -> Iterator[tuple[str, str]]:
    """Find path and reason of each value that has no form in the format."""
    if depth > _MAX_DEPTH:
        shown = path[:_PATH_SHOWN] + "…"
        yield shown, f"more than {_MAX_DEPTH} levels deep, or a value that contains itself"
    elif isinstance(value, dict):
        for key in value:
            if reason := _problem(key, check_key):
                yield path, f"key {key!r}: {reason}"
        for key, item in value.items():
            yield from _refused(item, f"{path}.{key}", check_value, check_key, depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _refused(item, f"{path}[{index}]", check_value, check_key, depth + 1)
    elif reason := _problem(value, check_value):
        yield path, reason


def _problem(value: Any, check: Check) -> str | None:
    try:
        check(value)
    except BaseException as error:  # noqa: BLE001 - whatever the format raises is the reason
        return f"{type(value).__name__} has no form there ({describe(crash_of(error))})"
    return None
