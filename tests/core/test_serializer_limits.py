"""Limits of a body: chosen keys take no quadratic time, and few bytes no memory out of proportion.

Costs are measured in a process of its own, which may take 6 GiB.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.errors import DeserializationError, SerializationError
from civitas.messages import Message, compose
from civitas.serializer import JsonSerializer, MsgpackSerializer, Serializer, name_of
from civitas.serializer.limits import FREE_KEYS, MOST_KEYS, Limits, check_json, check_msgpack
from support.bounded import Cost, cost_of

MIB = 1 << 20
both = pytest.mark.parametrize("serializer", [MsgpackSerializer(), JsonSerializer()], ids=name_of)


def message(payload: dict[str, Any]) -> Message:
    return compose("a", "b", payload, "message")


def msgpack_body(payload: bytes) -> bytes:
    """Return a body whose payload is a map with these bytes as the value of `a`."""
    fields = [1, *(getattr(message({}), field) for field in Message.__slots__[:14])]
    parts = [msgpack.packb(each) for each in fields]
    parts[fields.index({})] = b"\x81\xa1a" + payload
    return b"\x9f" + b"".join(parts)


def cost_of_reading(setup: str, body: str, name: str = "Msgpack") -> Cost:
    """Return what it costs to deserialize a body, which `body` makes after `setup`."""
    begin = f"from civitas.serializer import {name}Serializer as Reader\nreader = Reader()\n"
    begin += "from core.test_serializer_limits import *\n"
    return cost_of(f"{begin}{setup}\nbody = {body}", "reader.deserialize(body)")


# --- keys -----------------------------------------------------------------------------------------

CHOSEN = "from civitas.testing.collisions import colliding_keys\nkeys = colliding_keys(15)"
HARMLESS = "keys = [str(each) for each in range(21_845)]"


@pytest.mark.parametrize(
    "keys",
    ["{key: 0 for key in keys}", "{float(key): 0 for key in keys}", "[dict.fromkeys(keys)]"],
)
def test_chosen_keys_cost_no_more_than_others(keys: str) -> None:
    body = f"msgpack_body(msgpack.packb({keys}))"
    harmless = cost_of_reading(HARMLESS, body.replace("float(key)", "key"))
    chosen = cost_of_reading(CHOSEN, body)
    assert harmless.outcome == "done"
    assert chosen.outcome == "DeserializationError"
    assert chosen.seconds < 10 * harmless.seconds + 0.05


def test_chosen_keys_in_many_maps_cost_no_more_than_others() -> None:
    maps = f"[dict.fromkeys(keys[at:at + {FREE_KEYS}]) for at in range(0, 200_000, {FREE_KEYS})]"
    body = f"msgpack_body(msgpack.packb({maps}))"
    harmless = cost_of_reading("keys = [str(each) for each in range(200_000)]", body)
    chosen = cost_of_reading("keys = [each << 40 for each in range(200_000)]", body)
    assert harmless.outcome == chosen.outcome == "done"
    assert chosen.seconds < 10 * harmless.seconds + 0.05


@pytest.mark.parametrize("make", [int, float, lambda n: (n, "x"), lambda n: ((n,),)])
def test_keys_that_are_no_text_come_back_up_to_a_limit_and_beyond_it_the_sender_hears(
    make: Any,
) -> None:
    serializer = MsgpackSerializer()
    few = message({"map": {make(n): n for n in range(MOST_KEYS)}, "more": [{1: 2}] * 1000})
    assert serializer.deserialize(serializer.serialize(few)) == few
    many = message({"map": {make(n): n for n in range(MOST_KEYS + 1)}})
    with pytest.raises(SerializationError, match="more than 4,096 keys"):
        serializer.serialize(many)
    hidden = message({"list": [many.payload]})
    with pytest.raises(DeserializationError, match="more than 4,096 keys"):
        serializer.deserialize(serializer.serialize(hidden))


def test_keys_of_text_and_bytes_have_no_limit() -> None:
    serializer = MsgpackSerializer()
    m = message({"a": {str(n): n for n in range(50_000)}, "b": {b"%d" % n: n for n in range(9999)}})
    assert serializer.deserialize(serializer.serialize(m)) == m


@pytest.mark.parametrize("keys", [(1, 1), (1, 1.0), (1, True), ([1], [1]), (b"x", b"x", 1)])
def test_a_repeated_key_that_is_no_text_is_refused(keys: tuple[Any, ...]) -> None:
    pairs = b"".join(msgpack.packb(key) + b"\xc0" for key in keys)
    with pytest.raises(DeserializationError, match="twice"):
        MsgpackSerializer().deserialize(msgpack_body(bytes((0x80 + len(keys),)) + pairs))


def test_in_msgpack_the_last_of_repeated_texts_counts() -> None:
    body = msgpack_body(b"\x82\xa1x\x01\xa1x\x02")
    assert MsgpackSerializer().deserialize(body).payload == {"a": {"x": 2}}


@pytest.mark.parametrize("field", ["sender", "payload"])
def test_a_repeated_key_in_json_is_refused(field: str) -> None:
    document = JsonSerializer().serialize(message({}))
    again = document[:-1] + b',"%s":{}}' % field.encode()
    for body in (again, document.replace(b'"payload":{}', b'"payload":{"a":[{"x":1,"x":2}]}')):
        with pytest.raises(DeserializationError, match="twice"):
            JsonSerializer().deserialize(body)


# --- extension types ------------------------------------------------------------------------------

EXTENSIONS = [
    *(msgpack.packb(msgpack.ExtType(5, bytes(size))) for size in (0, 1, 2, 3, 4, 8, 16, 17)),
    *(msgpack.packb(msgpack.ExtType(127, bytes(size))) for size in (300, 70_000)),
    *(msgpack.packb(msgpack.Timestamp(seconds)) for seconds in (1, 1 << 33, 1 << 35)),
]


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda value: value[:8].hex())
@pytest.mark.parametrize(
    "around", [b"%b", b"\x81\x01%b", b"\x81%b\x01", b"\x92\xda\x04\x00" + b"x" * 1024 + b"%b"]
)
def test_extension_types_of_msgpack_are_refused_wherever_they_are(
    extension: bytes, around: bytes
) -> None:
    body = msgpack_body(around.replace(b"%b", extension))
    with pytest.raises(DeserializationError, match="extension types"):
        MsgpackSerializer().deserialize(body)


@pytest.mark.parametrize("field", range(1, 15))
def test_no_field_of_a_message_is_an_extension(field: int) -> None:
    values = msgpack.unpackb(MsgpackSerializer().serialize(message({})))
    values[field] = msgpack.Timestamp(1)
    with pytest.raises(DeserializationError, match="extension types"):
        MsgpackSerializer().deserialize(msgpack.packb(values))


# --- memory ---------------------------------------------------------------------------------------

PLAIN = "def many(unit, count): return b'\\xdd' + count.to_bytes(4, 'big') + unit * count\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "payload",
    [
        "many(b'\\x80', 8 * MIB)",
        "many(b'\\x90', 8 * MIB)",
        "many(b'\\x81\\x00\\xc0', 3 * MIB)",
        "many(b'\\x91\\xc0', 8 * MIB)",
        "many(b'\\xe0', 10 * MIB)",  # small negative numbers: 41 bytes each
        "many(b'\\xd0\\x80', 10 * MIB)",
        "many(b'\\xa2\\xd0\\xb0', 10 * MIB)",
        *(f"many(b'\\xd4\\x05a', {count})" for count in (10 * MIB, 8_000_000, 1_000_000)),
        "many(b'\\xc7\\x00\\x05', 8_000_000)",
        "many(b'\\xd6\\xff\\x00\\x00\\x00\\x01', 4_000_000)",  # timestamps
        # Lists that end only with the body, so that nothing could be counted as they end:
        "b''.join(many(b'\\xe0', 2 * MIB)[:-1] for _ in range(8)) + b'\\xc0'",
    ],
    ids=lambda text: text[:24],
)
def test_what_is_small_on_the_wire_only_is_refused_before_it_takes_memory(payload: str) -> None:
    cost = cost_of_reading(PLAIN, f"msgpack_body({payload})")
    assert cost.outcome == "DeserializationError"
    assert cost.memory < 300 * MIB
    assert cost.seconds < 30


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["{}", "[]", "-6", '""', '{"":0}', "[[[]]]"])
def test_text_that_is_small_on_the_wire_only_is_refused(unit: str) -> None:
    setup = f"whole = JsonSerializer().serialize(message({{}})).decode()\nunit = {unit!r}"
    body = "whole.replace('{}', '{\"a\":[' + ','.join([unit] * (30 * MIB // len(unit))) + ']}')"
    cost = cost_of_reading(setup, f"{body}.encode()", "Json")
    assert cost.outcome == "DeserializationError"
    assert cost.memory < 10 * MIB


@pytest.mark.slow
@pytest.mark.parametrize(
    ("payload", "most"),
    [
        ("many(b'\\x80', MIB - 200)", 90),
        ("many(b'\\x05', 60 * MIB)", 600),
        ("many(b'\\xcb12345678', 60 * MIB // 9)", 450),
        ("msgpack.packb('x' * 60 * MIB)", 200),
        ("msgpack.packb('\\u597d' * 20 * MIB)", 200),
        ("msgpack.packb(bytes(range(256)) * 240 * 1024)", 250),
        ("msgpack.packb([{'id': n, 'x': 1.5, 'name': 'a name'} for n in range(250_000)])", 200),
        ("msgpack.packb([{'x': 1, 'y': 2}] * 500_000)", 160),
    ],
    ids=lambda text: str(text)[:40],
)
def test_large_messages_of_the_usual_kind_are_read(payload: str, most: int) -> None:
    cost = cost_of_reading(PLAIN, f"msgpack_body({payload})")
    assert cost.outcome == "done"
    assert cost.memory < most * MIB


@both
def test_the_sender_hears_that_its_message_holds_too_much(serializer: Serializer) -> None:
    with pytest.raises(SerializationError, match="holds more than") as caught:
        serializer.serialize(message({"a": [{}] * (MIB + 1)}))
    assert caught.value.path == "payload"


# --- the count ------------------------------------------------------------------------------------

scalars = st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
values = st.recursive(
    scalars | st.lists(st.floats(width=32) | st.floats(), max_size=20),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=60,
)


def counted(value: Any) -> tuple[int, int]:
    """Return how many values there are, and how many lists and maps."""
    if isinstance(value, dict):
        inner = [*value, *value.values()]
    elif isinstance(value, list):
        inner = value
    else:
        return 1, 0
    counts = [counted(each) for each in inner]
    return 1 + sum(each[0] for each in counts), 1 + sum(each[1] for each in counts)


@given(values, st.integers(0, 30), st.integers(0, 10))
def test_bytes_are_refused_that_hold_too_much_and_no_others(
    value: Any, more: int, most_containers: int
) -> None:
    limits = Limits(most_containers + more, most_containers)
    count, containers = counted(value)
    data = msgpack.packb(value)
    try:
        check_msgpack(data, limits)
    except DeserializationError:
        assert count > limits.values or containers > limits.containers
    else:  # numbers from 0 to 127, which take no memory, need not be counted
        free = sum(byte < 0x80 for byte in data)
        assert containers <= limits.containers
        assert count - free <= limits.values


@given(values.filter(lambda value: b"x" not in msgpack.packb(value)), st.integers(0, 30))
def test_text_is_refused_that_holds_too_much(value: Any, most: int) -> None:
    data = json.dumps(value, default=str).encode()
    count, containers = counted(json.loads(data))
    if count > 2 * most + 1 or containers > most:
        with pytest.raises(DeserializationError):
            check_json(b" " * 31 + data, Limits(most, most))


@given(st.binary(max_size=60))
def test_any_bytes_are_counted_or_left_to_who_unpacks_them(noise: bytes) -> None:
    with suppress(DeserializationError):
        check_msgpack(noise, Limits(3, 1))


@pytest.mark.parametrize("between", [0, 1, 20_000, 100_000])
def test_containers_are_counted_wherever_they_are_in_a_large_body(between: int) -> None:
    count = 100
    data = msgpack.packb([[{}, "x" * between] for _ in range(count)])
    containers = 2 * count + 1
    check_msgpack(data, Limits(values=1 << 20, containers=containers))
    with pytest.raises(DeserializationError):
        check_msgpack(data, Limits(values=1 << 20, containers=containers - 1))


NUMBERS = [b"\xca\x3f\x80\0\0", b"\xcb\x3f\xf0" + bytes(6), b"\xcc\xc8", b"\xcd\x01\0"]
NUMBERS += [b"\xce" + b"\xff" * 4, b"\xcf" + b"\xff" * 8]
NUMBERS += [b"\xd0\x80", b"\xd1\x80\0", b"\xd2\x80\0\0\0", b"\xd3\x80" + bytes(7)]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:1].hex())
def test_a_list_of_numbers_of_any_width_is_counted_without_looking_at_each(number: bytes) -> None:
    count = 500_000
    data = b"\xdd" + count.to_bytes(4, "big") + count * number
    begin = time.thread_time()
    check_msgpack(data, Limits(values=count + 1, containers=1))
    assert time.thread_time() - begin < 0.05
    with pytest.raises(DeserializationError):
        check_msgpack(data, Limits(values=count, containers=1))


# --- text -----------------------------------------------------------------------------------------


def test_half_a_character_in_json_is_refused() -> None:
    body = JsonSerializer().serialize(message({"a": "X"}))
    for text in (rb"\ud800", rb"\uDFFF", b"\xed\xa0\x80"):
        with pytest.raises(DeserializationError):
            JsonSerializer().deserialize(body.replace(b"X", text))
    whole = JsonSerializer().deserialize(body.replace(b"X", rb"\ud83d\ude00"))
    assert whole.payload == {"a": "\U0001f600"}


def test_json_is_utf_8_and_nothing_else() -> None:
    text = JsonSerializer().serialize(message({})).decode()
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        with pytest.raises(DeserializationError):
            JsonSerializer().deserialize(text.encode(encoding))
