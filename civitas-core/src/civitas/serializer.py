"""Serializers: from a message to the body of a frame, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Protocol, runtime_checkable

import msgpack

from civitas import envelope
from civitas.errors import DeserializationError, SerializationError
from civitas.messages import Message

SCHEMA: Final = 1
"""Number of the body's layout: the first element of the array, the key `schema` of the object."""

_FIELDS: Final = tuple(Message.__slots__)
_LENGTH: Final = len(_FIELDS) + 1
_TEXT: Final = (str,)
_OPTIONAL_TEXT: Final = (str, type(None))
_NUMBER: Final = (int, float)
_TYPES: Final[dict[str, tuple[type, ...]]] = {
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
_MAX_DEPTH: Final = 100


@runtime_checkable
class Serializer(Protocol):
    """What turns messages into bytes and back.

    A serializer may have an attribute `name` (ASCII), which is written into every frame; without
    it, the name of its class is.
    """

    def serialize(self, message: Message) -> bytes:
        """Return the message as bytes.

        Raises:
            SerializationError: a value of the payload has no form in this format.
        """
        ...

    def deserialize(self, data: bytes) -> Message:
        """Return the message that `serialize` was given.

        Raises:
            DeserializationError: the bytes are not a message in this format.
        """
        ...


class MsgpackSerializer:
    """MessagePack: a positional array that begins with the schema's number. The default.

    Beyond JSON-like values it carries `bytes`, and keys that are no text: integers, bytes, tuples.
    """

    name: Final = "msgpack"

    def __init__(self) -> None:
        self._pack = msgpack.Packer().pack

    def serialize(self, message: Message) -> bytes:
        """Return the message as MessagePack."""
        m = message
        try:
            packed: bytes = self._pack(
                (
                    SCHEMA,
                    m.id,
                    m.type,
                    m.sender,
                    m.recipient,
                    m.correlation_id,
                    m.reply_to,
                    m.payload,
                    m.timestamp,
                    m.trace_id,
                    m.span_id,
                    m.parent_span_id,
                    m.attempt,
                    m.priority,
                    m.ttl,
                )
            )
        except Exception as error:
            raise _unserializable(message, self.name, error, _msgpack_leaf) from error
        return packed

    def deserialize(self, data: bytes) -> Message:
        """Return the message in these bytes, which are a body or a whole frame."""
        try:
            if len(data) > _SMALL_BODY:
                _refuse_false_lengths(data)
            return _message_from_array(_unpack_values(data))
        except DeserializationError:
            raise
        except Exception as error:
            if envelope.is_frame(data):
                return _from_frame(self, data)
            raise DeserializationError(f"not a message in msgpack: {_text(error)}") from error


class JsonSerializer:
    """JSON: an object with the key `schema`. Readable on the wire, stricter about values."""

    name: Final = "json"

    def serialize(self, message: Message) -> bytes:
        """Return the message as JSON."""
        document: dict[str, Any] = {"schema": SCHEMA}
        for field in _FIELDS:
            document[field] = getattr(message, field)
        try:
            _refuse_other_keys(message.payload, 0)
            return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        except Exception as error:
            raise _unserializable(message, self.name, error, _json_leaf) from error

    def deserialize(self, data: bytes) -> Message:
        """Return the message in these bytes, which are a body or a whole frame."""
        try:
            document = json.loads(data)
            if not isinstance(document, dict):
                raise DeserializationError("not a message in json: the document is no object")
            _check_schema(document.pop("schema", None))
            return _message_from_fields({k: v for k, v in document.items() if k in _TYPES})
        except DeserializationError:
            raise
        except (ValueError, RecursionError) as error:
            if envelope.is_frame(data):
                return _from_frame(self, data)
            raise DeserializationError(f"not a message in json: {_text(error)}") from error


def name_of(serializer: Serializer) -> str:
    """Return the name that frames carry for this serializer."""
    name = getattr(serializer, "name", None)
    return name if isinstance(name, str) and name else type(serializer).__name__


# --- reading -------------------------------------------------------------------------------------


def _unpack_values(data: bytes) -> Any:
    try:
        return _unpack(data, strict_map_key=False)
    except TypeError:  # a tuple that was a key comes as a list, which can't be one
        return _unpack(data, strict_map_key=False, object_pairs_hook=_dict_with_tuple_keys)


def _dict_with_tuple_keys(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return {_as_key(key): value for key, value in pairs}


def _as_key(key: Any) -> Any:
    return tuple(_as_key(item) for item in key) if isinstance(key, list) else key


_unpack: Final = msgpack.unpackb
_SMALL_BODY: Final = 512
_MAX_CLAIM: Final = 1 << 20


def _refuse_false_lengths(data: bytes) -> None:
    """Raise when arrays claim more elements than the bytes hold.

    msgpack 1.x makes a list of the claimed length before it reads the elements, and nested claims
    add up: 100 kB of nested array headers would take 800 MB. A claim as long as that needs one of
    two bytes; only bodies in which they are frequent are walked, in C and without making objects.
    """
    if (data.count(b"\xdc") + data.count(b"\xdd")) * len(data) > _MAX_CLAIM:
        unpacker = msgpack.Unpacker(max_buffer_size=len(data), strict_map_key=False)
        unpacker.feed(data)
        unpacker.skip()


def _message_from_array(values: Any) -> Message:
    """Make a message of the array's values. Every message passes here, so it is written out."""
    if type(values) is not list or not values:
        raise DeserializationError("not a message in msgpack: the body is no array")
    if values[0] != SCHEMA or len(values) != _LENGTH:
        return _message_from_other_array(values)
    # fmt: off
    (_, id, kind, sender, recipient, correlation_id, reply_to, payload,
     timestamp, trace_id, span_id, parent_span_id, attempt, priority, ttl) = values
    if (
        type(id) is type(kind) is type(sender) is type(recipient)
        is type(trace_id) is type(span_id) is str
        and type(payload) is dict and type(timestamp) is float
        and type(attempt) is type(priority) is int
        and (correlation_id is None or type(correlation_id) is str)
        and (reply_to is None or type(reply_to) is str)
        and (parent_span_id is None or type(parent_span_id) is str)
        and (ttl is None or type(ttl) is float)
    ):
        return Message(
            id, kind, sender, recipient, correlation_id, reply_to, payload,
            timestamp, trace_id, span_id, parent_span_id, attempt, priority, ttl,
        )
    # fmt: on
    return _message_from_fields(dict(zip(_FIELDS, values[1:], strict=True)))


def _message_from_other_array(values: list[Any]) -> Message:
    """Make a message of an array of another length, or refuse it."""
    _check_schema(values[0])
    if len(values) < _LENGTH:
        raise DeserializationError(
            f"not a message in msgpack: {len(values)} elements, expected {_LENGTH}"
        )
    # A later minor version may add fields at the end; they are not ours to understand.
    return _message_from_fields(dict(zip(_FIELDS, values[1:_LENGTH], strict=True)))


def _check_schema(schema: object) -> None:
    if type(schema) is not int or schema != SCHEMA:
        raise DeserializationError(
            f"the message has schema {schema!r}; this runtime reads schema {SCHEMA}"
        )


def _message_from_fields(fields: dict[str, Any]) -> Message:
    for field, types in _TYPES.items():
        if field not in fields:
            raise DeserializationError(f"the message lacks {field!r}")
        value = fields[field]
        if not isinstance(value, types) or isinstance(value, bool):
            raise DeserializationError(f"{field!r} of the message is a {type(value).__name__}")
    return Message(**fields)


def _from_frame(serializer: Serializer, frame: bytes) -> Message:
    """Decode a whole frame: code that was given a transport's data may not know of frames."""
    try:
        opened = envelope.open(frame)
    except Exception as error:
        raise DeserializationError(f"neither a message nor a frame: {error}") from error
    message = serializer.deserialize(opened.body)
    if opened.reply_to:
        message.reply_to = opened.reply_to
    return message


# --- telling what could not be written ------------------------------------------------------------


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _refuse_other_keys(value: Any, depth: int) -> None:
    """Raise for keys that are not text, which json would turn into text without a word."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"keys are text in JSON, not {type(key).__name__}")
            _refuse_other_keys(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_other_keys(item, depth + 1)


def _unserializable(
    message: Message, format: str, error: Exception, leaf: Callable[[Any], None]
) -> SerializationError:
    """Say which value it was: `payload.a.b`."""
    for field in _FIELDS:
        found = _offender(getattr(message, field), field, leaf, 0)
        if found is not None:
            path, reason = found
            return SerializationError(
                f"{path} can't be sent: {reason}. A payload holds JSON-like values: dict, list, "
                f"str, int, float, bool and None (serializer: {format})",
                path,
            )
    return SerializationError(f"the message can't be sent as {format}: {_text(error)}", "payload")


def _offender(
    value: Any, path: str, leaf: Callable[[Any], None], depth: int
) -> tuple[str, str] | None:
    """Return path and reason of the first value that has no form in the format."""
    if depth > _MAX_DEPTH:
        return path, f"more than {_MAX_DEPTH} levels deep, or a value that contains itself"
    if isinstance(value, dict):
        for key, item in value.items():
            reason = _leaf_problem(key, leaf) or _key_problem(key, leaf)
            if reason is not None:
                return path, f"key {key!r}: {reason}"
            found = _offender(item, f"{path}.{key}", leaf, depth + 1)
            if found is not None:
                return found
        return None
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            found = _offender(item, f"{path}[{index}]", leaf, depth + 1)
            if found is not None:
                return found
        return None
    reason = _leaf_problem(value, leaf)
    return None if reason is None else (path, reason)


def _leaf_problem(value: Any, leaf: Callable[[Any], None]) -> str | None:
    try:
        leaf(value)
    except Exception as error:  # noqa: BLE001 - whatever the format raises is the reason
        return f"{type(value).__name__} has no form there ({_text(error)})"
    return None


def _key_problem(key: Any, leaf: Callable[[Any], None]) -> str | None:
    if leaf is _json_leaf and not isinstance(key, str):
        return f"keys are text, not {type(key).__name__}"
    return None


def _msgpack_leaf(value: Any) -> None:
    msgpack.packb(value)


def _json_leaf(value: Any) -> None:
    json.dumps(value, ensure_ascii=False).encode()
