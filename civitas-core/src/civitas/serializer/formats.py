"""The formats of core: MsgpackSerializer writes an array, JsonSerializer an object."""

from __future__ import annotations

import json
from typing import Any, Final

import msgpack

from civitas.errors import DeserializationError, crash_of
from civitas.messages import Message
from civitas.serializer import fields
from civitas.serializer.fields import FIELDS, LARGEST, SCHEMA

_DEEPEST: Final = 500
"""Levels of nesting that are written as JSON; msgpack's own limit is 511."""

_LENGTH: Final = len(FIELDS) + 1
_SMALL_BODY: Final = 512
_LARGE_BODY: Final = 1 << 20
_MAX_CLAIM: Final = 1 << 20
_unpack: Final = msgpack.unpackb


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
                    SCHEMA, m.id, m.type, m.sender, m.recipient, m.correlation_id, m.reply_to,
                    m.payload, m.timestamp, m.trace_id, m.span_id, m.parent_span_id, m.attempt,
                    m.priority, m.ttl,
                )
            )  # fmt: skip
        except BaseException as error:
            raise fields.unserializable(
                message, self.name, crash_of(error), msgpack.packb, msgpack.packb
            ) from error
        if len(packed) > _LARGE_BODY:
            self._pack = msgpack.Packer().pack  # the old one would keep a buffer of that size
        return packed

    def deserialize(self, data: bytes) -> Message:
        """Return the message in these bytes, which are a body or a whole frame."""
        try:
            if len(data) > _SMALL_BODY:
                _refuse_false_lengths(data)
            try:
                values = _unpack(data, strict_map_key=False)
            except TypeError:  # a tuple that was a key comes as a list, which can't be one
                values = _unpack(data, strict_map_key=False, object_pairs_hook=_with_tuple_keys)
            return _message_from_array(values)
        except DeserializationError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever msgpack raises is the cause
            return fields.message_from_frame(self, data, error)


def _with_tuple_keys(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return {_as_key(key): value for key, value in pairs}


def _as_key(key: Any) -> Any:
    return tuple(_as_key(item) for item in key) if isinstance(key, list) else key


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
        and (ttl is None or type(ttl) is float or (type(ttl) is int and ttl <= LARGEST))
    ):
        return Message(
            id, kind, sender, recipient, correlation_id, reply_to, payload,
            timestamp, trace_id, span_id, parent_span_id, attempt, priority, ttl,
        )
    # fmt: on
    return fields.message_from_fields(dict(zip(FIELDS, values[1:], strict=True)))


def _message_from_other_array(values: list[Any]) -> Message:
    """Make a message of an array of another length, or refuse it."""
    fields.check_schema(values[0])
    if len(values) < _LENGTH:
        raise DeserializationError(
            f"not a message in msgpack: {len(values)} elements, expected {_LENGTH}"
        )
    # A later minor version may add fields at the end; they are not ours to understand.
    return fields.message_from_fields(dict(zip(FIELDS, values[1:_LENGTH], strict=True)))


class JsonSerializer:
    """JSON: an object with the key `schema`. Readable on the wire, stricter about values."""

    name: Final = "json"

    def serialize(self, message: Message) -> bytes:
        """Return the message as JSON."""
        document = {"schema": SCHEMA} | {field: getattr(message, field) for field in FIELDS}
        try:
            _refuse_other_keys(message.payload, 0)
            return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        except BaseException as error:
            raise fields.unserializable(
                message, self.name, crash_of(error), _check_value, _check_key
            ) from error

    def deserialize(self, data: bytes) -> Message:
        """Return the message in these bytes, which are a body or a whole frame."""
        try:
            document = json.loads(data)
            if not isinstance(document, dict):
                raise DeserializationError("not a message in json: the document is no object")
            fields.check_schema(document.pop("schema", None))
            return fields.message_from_fields(
                {k: v for k, v in document.items() if k in fields.TYPES}
            )
        except DeserializationError:
            raise
        except (ValueError, RecursionError) as error:
            return fields.message_from_frame(self, data, error)


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
