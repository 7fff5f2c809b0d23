"""The formats of core: MsgpackSerializer writes an array, JsonSerializer an object."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

import msgpack

from civitas.errors import DeserializationError, SerializationError, crash_of, describe
from civitas.messages import NO_HEADERS, Message, make_blank
from civitas.serializer import fields, limits
from civitas.serializer.fields import FIELDS, LARGEST, SCHEMA

_DEEPEST: Final = 500
"""Levels of nesting that are written as JSON; msgpack's own limit is 511."""

_LENGTH: Final = len(FIELDS)
"""Elements of an array without headers, the schema's number among them."""
_WITH_HEADERS: Final = bytes((0xDC, 0, _LENGTH + 1))
"""The beginning of an array that has one element more."""
_SMALL_BODY: Final = 512
_LARGE_BODY: Final = 1 << 20
_MAX_CLAIM: Final = 1 << 20
_MUCH_TO_COUNT: Final = 1 << 13
"""Bytes from which on it takes longer to count in them than `limits.is_simple` does to give up."""

_PAYLOAD: Final = limits.BODY._replace(values=limits.BODY.values - len(FIELDS))
"""The limits of a payload by itself: the rest of the body has so many values more."""

_unpack: Final = msgpack.unpackb
_refuse_extension: Final = limits.refuse_extension


class MsgpackSerializer:
    """MessagePack: a positional array that begins with the schema's number. The default.

    Beyond JSON-like values it carries `bytes`, and keys that are no text: bytes, and a limited
    number of integers and tuples; see `limits`.
    """

    name: Final = "msgpack"

    def __init__(self) -> None:
        self._pack = msgpack.Packer().pack

    def serialize(self, message: Message) -> bytes:
        """Return the message as MessagePack."""
        m = message
        values: tuple[Any, ...] = (
            SCHEMA, m.id, m.type, m.sender, m.recipient, m.correlation_id, m.reply_to, m.payload,
            m.timestamp, m.trace_id, m.span_id, m.parent_span_id, m.attempt, m.priority, m.ttl,
        )  # fmt: skip
        if m.headers:
            fields.refuse_headers(m.headers)
            values = (*values, m.headers)
        try:
            packed: bytes = self._pack(values)
        except BaseException as error:
            raise fields.unserializable(
                message, self.name, crash_of(error), msgpack.packb, msgpack.packb
            ) from error
        size = len(packed)
        if size > limits.SAFE_SIZE:
            if size > _LARGE_BODY:
                self._pack = msgpack.Packer().pack  # the old one would keep a buffer of that size
            _refuse_unreadable(packed, message.payload)
        return packed

    def pack_payload(self, payload: dict[str, Any]) -> bytes | None:
        """Return a payload in MessagePack, for `unpack_payload`; None for `serialize` to refuse it.

        It stands in a list, so that it may be as deep as within a body, and no deeper.
        """
        try:
            packed: bytes = self._pack((payload,))
        except BaseException as error:  # noqa: BLE001 - a value whose own code raises
            crash_of(error)
            return None
        size = len(packed)
        if size > limits.SAFE_SIZE:
            if size > _LARGE_BODY:
                self._pack = msgpack.Packer().pack
            try:
                limits.check_msgpack(packed, _PAYLOAD)
                limits.check_keys(payload)
            except DeserializationError:
                return None
        return packed

    def deserialize(self, data: bytes, start: int = 0) -> Message:
        """Return the message in these bytes, which are a body or a whole frame.

        The body of a frame may be read where it is: it begins at `start`.
        """
        try:
            if len(data) > _SMALL_BODY:
                _refuse_false_lengths(data, start)
                limits.check_msgpack(data, start=start)
            body = memoryview(data)[start:] if start else data
            try:
                values = _unpack(body, max_ext_len=0, ext_hook=_refuse_extension)
            except ValueError as error:
                if type(error) is not ValueError:
                    raise
                values = _unpack_with_any_keys(body)  # there may be one that is no text
            return _message_from_array(values)
        except DeserializationError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever msgpack raises is the cause
            return fields.message_from_frame(self, data[start:], error)


def unpack_payload(packed: bytes) -> dict[str, Any]:
    """Return the payload that `pack_payload` was given, which has checked how much there is.

    Raises:
        DeserializationError: it can't be read, as it could not be in a body.
    """
    try:
        if len(packed) > _SMALL_BODY:
            _refuse_false_lengths(packed)
        try:
            (payload,) = _unpack(packed, max_ext_len=0, ext_hook=_refuse_extension)
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            (payload,) = _unpack_with_any_keys(packed)
        if type(payload) is dict:
            return payload
    except DeserializationError:
        raise
    except Exception as error:
        problem = f"not a message in {MsgpackSerializer.name}: {describe(error)}"
        raise DeserializationError(problem) from error
    raise DeserializationError(f"the message's 'payload' is a {type(payload).__name__}")


def body_of(message: Message, packed: bytes) -> bytes:
    """Return the body of a message whose payload was packed by `pack_payload`."""
    m = message
    before = (SCHEMA, m.id, m.type, m.sender, m.recipient, m.correlation_id, m.reply_to)
    after = [m.timestamp, m.trace_id, m.span_id, m.parent_span_id, m.attempt, m.priority, m.ttl]
    head = bytes((0x90 | _LENGTH,))
    if m.headers:
        after.append(m.headers)
        head = _WITH_HEADERS
    parts = (msgpack.packb(before), packed, msgpack.packb(after))
    # Each begins with one byte, for none has more than 15 elements.
    return b"".join((head, *(part[1:] for part in parts)))


def _refuse_unreadable(packed: bytes, payload: Any) -> None:
    """Raise where the reader would refuse a body for what it holds: here the sender hears of it."""
    try:
        limits.check_msgpack(packed)
        limits.check_keys(payload)
    except DeserializationError as error:
        raise SerializationError(f"the message can't be sent: {error}", "payload") from None


def _refuse_false_lengths(data: bytes, start: int = 0) -> None:
    """Raise when arrays claim more elements than the bytes hold.

    msgpack 1.x makes a list of the claimed length before it reads the elements, and nested claims
    add up: 100 kB of nested array headers would take 800 MB. A claim as long as that needs one of
    two bytes; only bodies in which they are frequent are walked, in C and without making objects.
    """
    if len(data) > _MUCH_TO_COUNT and limits.is_simple(data, start):
        return
    if (data.count(b"\xdc", start) + data.count(b"\xdd", start)) * len(data) > _MAX_CLAIM:
        _skip(memoryview(data)[start:])


def _unpack_with_any_keys(data: bytes | memoryview) -> Any:
    _skip(data)  # with the hook, msgpack makes lists of the lengths that maps claim
    keys = limits.CountedKeys()
    try:
        return _unpack(data, strict_map_key=False, object_pairs_hook=keys, **limits.NO_EXTENSIONS)
    except ValueError as error:
        if limits.is_extension(error):
            limits.refuse_extension()
        raise


def _skip(data: bytes | memoryview) -> None:
    """Raise what msgpack raises where the bytes end before their first value does."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(data), strict_map_key=False)
    unpacker.feed(data)
    unpacker.skip()


def _message_from_array(values: Any) -> Message:
    """Make a message of the array's values. Every message passes here, so it is written out."""
    if type(values) is not list or not values:
        raise DeserializationError("not a message in msgpack: the body is no array")
    headers = NO_HEADERS
    if values[0] != SCHEMA or len(values) != _LENGTH:
        headers = _headers_of_other_array(values)
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
        # Made without `__init__`, as `messages.compose` does: to call a class takes twice as long.
        m = make_blank(Message)
        m.id, m.type, m.sender, m.recipient = id, kind, sender, recipient
        m.correlation_id, m.reply_to, m.payload = correlation_id, reply_to, payload
        m.timestamp, m.trace_id, m.span_id, m.parent_span_id = (
            timestamp, trace_id, span_id, parent_span_id,
        )
        m.attempt, m.priority, m.ttl, m.headers = attempt, priority, ttl, headers
        return m
    # fmt: on
    return fields.message_from_fields(dict(zip(FIELDS, (*values[1:], headers), strict=True)))


def _headers_of_other_array(values: list[Any]) -> dict[str, str]:
    """Return the headers of an array of another length, which has the usual one then; or refuse it.

    A later minor version may add fields at the end; they are not ours to understand.
    """
    fields.check_schema(values[0])
    if len(values) < _LENGTH:
        raise DeserializationError(
            f"not a message in msgpack: {len(values)} elements, expected {_LENGTH}"
        )
    headers = values[_LENGTH] if len(values) > _LENGTH else NO_HEADERS
    del values[_LENGTH:]
    return fields.headers_of(headers)


class JsonSerializer:
    """JSON: an object with the key `schema`. Readable on the wire, stricter about values.

    JSON has no NaN and no infinity (RFC 8259), though Python writes and reads them by default.
    """

    name: Final = "json"

    def __init__(self) -> None:
        self._decode = json.JSONDecoder(
            object_pairs_hook=limits.unrepeated,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        ).decode
        self._encode = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode

    def serialize(self, message: Message) -> bytes:
        """Return the message as JSON."""
        document = {"schema": SCHEMA} | {field: getattr(message, field) for field in FIELDS}
        if message.headers:
            fields.refuse_headers(message.headers)
        else:
            del document["headers"]
        try:
            _refuse_other_keys(message.payload, 0)
            body = self._encode(document).encode()
        except BaseException as error:
            raise fields.unserializable(
                message, self.name, crash_of(error), _check_value, _check_key
            ) from error
        try:
            limits.check_json(body)
        except DeserializationError as error:
            raise SerializationError(f"the message can't be sent: {error}", "payload") from None
        return body

    def deserialize(self, data: bytes) -> Message:
        """Return the message in these bytes, which are a body or a whole frame."""
        try:
            limits.check_json(data)
            document = self._decode(data.decode())
            if b"\\u" in data:
                _refuse_half_characters(document)
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


def _refuse_constant(word: str) -> NoReturn:
    raise DeserializationError(f"not a message in json: {word} is no JSON")


def _finite(text: str) -> float:
    """Return a number; one that is too large would be read as an infinity, which is no JSON."""
    number = float(text)
    if math.isinf(number):
        raise DeserializationError(f"not a message in json: {text:.40} is too large a number")
    return number


def _refuse_half_characters(document: Any) -> None:
    """Raise for half of a surrogate pair, which JSON can escape and nobody can send on."""
    json.dumps(document, ensure_ascii=False).encode()


def _refuse_other_keys(value: Any, depth: int) -> None:
    """Raise for keys that are not text, which json would turn into text without a word."""
    if depth > _DEEPEST:
        raise RecursionError("nested too deep, or a value that contains itself")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise _no_text(key)
            _refuse_other_keys(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_other_keys(item, depth + 1)


def _check_key(key: Any) -> None:
    if not isinstance(key, str):
        raise _no_text(key)
    _check_value(key)


def _no_text(key: Any) -> TypeError:
    return TypeError(f"keys are text in JSON, not {type(key).__name__}")


def _check_value(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("JSON has neither NaN nor infinity")
    json.dumps(value, ensure_ascii=False).encode()
