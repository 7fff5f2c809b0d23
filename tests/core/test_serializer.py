"""Serializers: every message survives, every other byte string is refused within reason."""

from __future__ import annotations

import contextlib
import gc
import json
import tracemalloc
from typing import Any

import msgpack
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import DeserializationError, SerializationError
from civitas.messages import NO_HEADERS, Message, compose
from civitas.serializer import JsonSerializer, MsgpackSerializer, Serializer, name_of

SERIALIZERS = [MsgpackSerializer(), JsonSerializer()]
both = pytest.mark.parametrize("serializer", SERIALIZERS, ids=name_of)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | text
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)
)
payloads = st.dictionaries(text, values, max_size=5)
messages = st.builds(
    Message,
    type=text,
    sender=text,
    recipient=text,
    correlation_id=st.none() | text,
    reply_to=st.none() | text,
    payload=payloads,
    timestamp=st.floats(0, 2e9),
    trace_id=text,
    span_id=text,
    parent_span_id=st.none() | text,
    attempt=st.integers(0, 300),
    priority=st.integers(-5, 5),
    ttl=st.none() | st.floats(0, 1e6) | st.integers(0, 100),
    headers=st.just(NO_HEADERS) | st.dictionaries(text, text, max_size=5),
)
SINCE_THE_FIRST = Message.__slots__[:14]
"""The fields that every body has: the others are left out where they are empty."""


def message(payload: dict[str, Any]) -> Message:
    return compose("a", "b", payload, "message")


@both
@given(messages)
def test_a_message_comes_back_as_it_was(serializer: Serializer, m: Message) -> None:
    assert serializer.deserialize(serializer.serialize(m)) == m


def test_the_body_of_msgpack_is_an_array_that_begins_with_the_schema() -> None:
    m = message({"n": 1})
    values = msgpack.unpackb(MsgpackSerializer().serialize(m))
    assert values == [1, *(getattr(m, field) for field in SINCE_THE_FIRST)]


def test_the_body_of_json_is_an_object_with_the_schema() -> None:
    m = message({"n": 1})
    document = json.loads(JsonSerializer().serialize(m))
    assert document == {"schema": 1} | {f: getattr(m, f) for f in SINCE_THE_FIRST}


def test_headers_are_the_last_element_of_msgpack_and_a_key_of_json() -> None:
    m = message({"n": 1})
    bare = msgpack.unpackb(MsgpackSerializer().serialize(m))
    m.headers = {"traceparent": "00-…"}
    assert msgpack.unpackb(MsgpackSerializer().serialize(m)) == [*bare, m.headers]
    assert json.loads(JsonSerializer().serialize(m))["headers"] == m.headers


@both
def test_a_message_without_headers_costs_nothing_on_the_wire(serializer: Serializer) -> None:
    m = message({"n": 1})
    bare = serializer.serialize(m)
    m.headers = {}
    assert serializer.serialize(m) == bare
    assert serializer.deserialize(bare).headers is NO_HEADERS


@both
def test_headers_are_counted_in_bytes_of_names_and_values(serializer: Serializer) -> None:
    m = message({})
    m.headers = {"ä" * 48: "x" * 4000}
    assert serializer.deserialize(serializer.serialize(m)) == m
    m.headers["y"] = ""
    with pytest.raises(SerializationError, match="4097 bytes of names and values, and 4096 at"):
        serializer.serialize(m)


@both
@pytest.mark.parametrize(
    "headers", [{"a": 1}, {1: "a"}, {"a": None}, {"a": b"x"}, ["a"], {"a": ["b"]}, {"a": "\ud800"}]
)
def test_headers_that_are_no_text_are_refused_where_they_are_written(
    serializer: Serializer, headers: Any
) -> None:
    m = message({})
    m.headers = headers
    with pytest.raises(SerializationError, match="'headers'") as refusal:
        serializer.serialize(m)
    assert refusal.value.path == "headers"


@pytest.mark.parametrize(
    "headers", [{"a": 1}, {1: "a"}, {"a": None}, [], None, "", {"a": {}}, {"a": "x" * 4096}]
)
def test_headers_that_are_none_are_refused_where_they_are_read(headers: Any) -> None:
    values = msgpack.unpackb(MsgpackSerializer().serialize(message({})))
    with pytest.raises(DeserializationError, match="'headers'"):
        MsgpackSerializer().deserialize(msgpack.packb([*values, headers]))
    document = json.loads(JsonSerializer().serialize(message({})))
    text = json.dumps({**document, "headers": headers})
    if '"1"' not in text:  # JSON has no other keys
        with pytest.raises(DeserializationError, match="'headers'"):
            JsonSerializer().deserialize(text.encode())


@both
@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"a": {"b": {1, 2}}}, "payload.a.b"),
        ({"a": [0, {"deep": object()}]}, "payload.a[1].deep"),
        ({"text": "\ud800"}, "payload.text"),
        ({"when": __import__("datetime").datetime(2026, 1, 1)}, "payload.when"),
    ],
)
def test_an_offending_value_is_named_by_its_path(
    serializer: Serializer, payload: dict[str, Any], path: str
) -> None:
    with pytest.raises(SerializationError) as caught:
        serializer.serialize(message(payload))
    assert caught.value.path == path
    assert str(caught.value).startswith(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_lacks_is_refused_by_its_path(value: float) -> None:
    with pytest.raises(SerializationError, match="neither NaN nor infinity") as caught:
        JsonSerializer().serialize(message({"a": [1, {"b": value}]}))
    assert caught.value.path == "payload.a[1].b"

    m = message({})
    m.ttl = value
    with pytest.raises(SerializationError) as caught:
        JsonSerializer().serialize(m)
    assert caught.value.path == "ttl"


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_is_no_json_is_not_read(word: bytes) -> None:
    body = JsonSerializer().serialize(message({"a": 0.125})).replace(b"0.125", word)

    with pytest.raises(DeserializationError, match="no JSON"):
        JsonSerializer().deserialize(body)


@pytest.mark.parametrize("number", [b"1e999", b"-1e9999999", b"9" * 400 + b".0"])
def test_a_number_that_would_be_read_as_an_infinity_is_refused(number: bytes) -> None:
    body = JsonSerializer().serialize(message({"a": 0.125})).replace(b"0.125", number)

    with pytest.raises(DeserializationError, match="too large a number"):
        JsonSerializer().deserialize(body)


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"x", ("x", 1)])
def test_a_key_that_is_no_text_is_refused_by_json_and_never_turned_into_text(key: object) -> None:
    with pytest.raises(SerializationError) as caught:
        JsonSerializer().serialize(message({"a": [{key: 2}]}))
    assert caught.value.path == "payload.a[0]"


@pytest.mark.parametrize("key", [1, b"x", ("x", (1, 2))])
def test_a_key_that_is_no_text_comes_back_as_it_was_from_msgpack(key: object) -> None:
    m = message({"a": [{key: 2}]})
    assert MsgpackSerializer().deserialize(MsgpackSerializer().serialize(m)) == m


@both
def test_a_value_that_contains_itself_is_refused(serializer: Serializer) -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(SerializationError, match="contains itself"):
        serializer.serialize(message(loop))


def test_an_integer_that_msgpack_does_not_know_is_named() -> None:
    with pytest.raises(SerializationError, match=r"payload\.n"):
        MsgpackSerializer().serialize(message({"n": 2**64}))


@both
def test_a_serializer_works_after_it_refused_a_message(serializer: Serializer) -> None:
    with pytest.raises(SerializationError):
        serializer.serialize(message({"first": "x" * 1000, "then": object()}))
    m = message({"fine": True})
    assert serializer.deserialize(serializer.serialize(m)) == m


@both
@given(st.binary(max_size=300))
def test_random_bytes_are_a_message_or_a_deserialization_error(
    serializer: Serializer, data: bytes
) -> None:
    with contextlib.suppress(DeserializationError):
        assert isinstance(serializer.deserialize(data), Message)


@both
@given(m=messages, data=st.data())
def test_a_truncated_body_is_refused(
    serializer: Serializer, m: Message, data: st.DataObject
) -> None:
    body = serializer.serialize(m)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(DeserializationError):
        serializer.deserialize(body[:cut])


@pytest.mark.parametrize("field", Message.__slots__)
@pytest.mark.parametrize("wrong", [True, b"x", [1], -1.5, "text", {"a": 1}, None, 3])
def test_a_field_of_another_type_is_refused(field: str, wrong: object) -> None:
    right = {
        "payload": dict,
        "headers": (),  # none of the above are text by text
        "timestamp": (int, float),
        "attempt": int,
        "priority": int,
        "ttl": (int, float, type(None)),
        "correlation_id": (str, type(None)),
        "reply_to": (str, type(None)),
        "parent_span_id": (str, type(None)),
    }.get(field, str)
    fits = isinstance(wrong, right) and not isinstance(wrong, bool)
    values = [getattr(message({}), each) for each in Message.__slots__]
    values[Message.__slots__.index(field)] = wrong
    body = msgpack.packb([1, *values])
    if fits:
        assert getattr(MsgpackSerializer().deserialize(body), field) == wrong
    else:
        with pytest.raises(DeserializationError, match=field):
            MsgpackSerializer().deserialize(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (msgpack.packb({"a": 1}), "no array"),
        (msgpack.packb([]), "no array"),
        (msgpack.packb([2] + [None] * 14), "schema 2"),
        (msgpack.packb([True] + [None] * 14), "id"),
        (msgpack.packb([1, "x"]), "2 elements"),
        (b"", "msgpack"),
    ],
)
def test_a_body_that_is_no_message_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(DeserializationError, match=reason):
        MsgpackSerializer().deserialize(body)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "no object"),
        ({"id": "x"}, "schema None"),
        ({"schema": 2}, "schema 2"),
        ({"schema": 1}, "lacks 'id'"),
    ],
)
def test_a_document_that_is_no_message_is_refused_with_the_reason(
    document: object, reason: str
) -> None:
    with pytest.raises(DeserializationError, match=reason):
        JsonSerializer().deserialize(json.dumps(document).encode())


@pytest.mark.parametrize("field", ["timestamp", "ttl", "attempt", "priority"])
def test_a_number_of_too_many_digits_is_refused(field: str) -> None:
    document = json.loads(JsonSerializer().serialize(message({})))
    body = json.dumps({**document, field: 10**400}).encode()
    with pytest.raises(DeserializationError, match=f"{field!r}.* too many digits"):
        JsonSerializer().deserialize(body)


def test_fields_that_a_later_version_adds_are_passed_over() -> None:
    m = message({"n": 1})
    m.headers = {"a": "b"}
    longer = [*msgpack.unpackb(MsgpackSerializer().serialize(m)), "new"]
    assert MsgpackSerializer().deserialize(msgpack.packb(longer)) == m
    wider = json.loads(JsonSerializer().serialize(m)) | {"new": 1}
    assert JsonSerializer().deserialize(json.dumps(wider).encode()) == m


@pytest.mark.parametrize(
    "body",
    [
        b"\xdd\x00\x01\x86\xa0" * 20_000,  # arrays in arrays, each claiming 100,000 elements
        b"\xdc\xff\xff" * 30_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff" * 20_000,
        b"\xc6\xff\xff\xff\xff",
        b"\x9f" * 100_000,
        b"\x81\xa1a" * 30_000,
        b"\x91" * 100_000,
    ],
    ids=lambda body: f"{body[:1].hex()}x{len(body)}",
)
def test_nesting_and_claimed_lengths_take_no_memory_out_of_proportion(body: bytes) -> None:
    serializer = MsgpackSerializer()
    tracemalloc.start()
    with pytest.raises(DeserializationError):
        serializer.deserialize(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000 + 20 * len(body)


def test_deep_nesting_in_json_is_refused() -> None:
    with pytest.raises(DeserializationError):
        JsonSerializer().deserialize(b"[" * 100_000)


def test_a_large_body_full_of_suspicious_bytes_is_read_all_the_same() -> None:
    m = message({"numbers": [0xDC] * 5000, "text": "\u0700" * 2000})
    assert MsgpackSerializer().deserialize(MsgpackSerializer().serialize(m)) == m


def test_a_large_message_leaves_no_large_buffer_behind() -> None:
    serializer = MsgpackSerializer()
    process = psutil.Process()
    serializer.serialize(message({"text": "x" * 1000}))
    before = process.memory_info().rss
    body = serializer.serialize(message({"text": "x" * 100_000_000}))
    assert len(body) > 100_000_000
    del body
    gc.collect()
    assert process.memory_info().rss - before < 50_000_000


@both
def test_a_whole_frame_is_read_too_with_the_reply_address_of_its_header(
    serializer: Serializer,
) -> None:
    m = message({"n": 1})
    frame = envelope.seal(
        serializer.serialize(m), name_of(serializer), Origin(b"12345678", 1), reply_to="_reply.x"
    )
    read = serializer.deserialize(frame)
    assert (read.payload, read.reply_to) == ({"n": 1}, "_reply.x")


def test_a_serializer_without_a_name_goes_by_its_class() -> None:
    class Plain:
        def serialize(self, message: Message) -> bytes:
            return b""

        def deserialize(self, data: bytes) -> Message:
            return Message()

    assert name_of(Plain()) == "Plain"
