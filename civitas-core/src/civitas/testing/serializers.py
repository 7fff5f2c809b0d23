"""SerializerConformance: the list of behaviours that every serializer shows."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final

from civitas.errors import SerializationError
from civitas.messages import Message
from civitas.serializer import Serializer
from civitas.testing.collisions import colliding_keys
from civitas.testing.reading import MakeSerializer, ReadingBehaviours, read
from civitas.testing.suite import ConformanceSuite

_PAYLOADS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"text": "", "more": "Grüße, 世界 🦜", "control": "\0\t\r\n\x7f\u2028"},
    {"none": None, "yes": True, "no": False},
    {"zero": 0, "one": 1, "minus": -1, "large": 2**63 - 1, "small": -(2**63), "high": 2**64 - 1},
    {"float": 1.0, "third": 1 / 3, "tiny": 5e-324, "huge": 1.7976931348623157e308, "minus": -0.5},
    {"list": [], "nested": [[1, [2, [3]]], {"a": [{"b": None}]}], "dict": {}},
    {"": "an empty key", "a.b": 1, "schema": 2, "ключ": 3},
    {"long": "x" * 100_000, "wide": list(range(10_000))},
)

_REFUSED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("payload.a", {"a": object()}),
    ("payload.a.b", {"good": 1, "a": {"c": [1, 2], "b": {1, 2}}}),
    ("payload.list[2]", {"list": [0, 1, 1j]}),
    ("payload.list[0].deep", {"list": [{"deep": lambda: None}]}),
)

_FURTHER: Final[Mapping[type, Any]] = {
    set: {1, "two", 3.0},
    frozenset: frozenset((1, "two")),
    tuple: (1, ("two", 3.0)),
    complex: 1 + 2j,
    datetime: datetime(2024, 7, 14, 23, 59, 59, tzinfo=UTC),
    Decimal: Decimal("1.10"),
}
"""What a format may have besides JSON's values: one of each type."""


class SerializerConformance(ReadingBehaviours, ConformanceSuite, kit=True):
    """The tests of a serializer. Subclass it and say how to make yours.

    Attributes:
        carries: types of values that your format has besides those of JSON and bytes, as `set`.
        deviations: standard tests that you know to fail, each with the reason.

    Example:
        The fixture gives a callable that makes a fresh serializer.

            class TestCbor(SerializerConformance):
                @pytest.fixture
                def make_serializer(self):
                    return CborSerializer

        A fixture `hostile` is optional: it gives bytes in your format that must be refused, each
        by what they are.
    """

    kind: ClassVar[str] = "serializer"
    level: ClassVar[str] = "serializer conformance 1.0"
    optional: ClassVar[Mapping[str, str]] = {
        "hostile": "a dict of bytes that must be refused, each by what they are"
    }

    def test_it_has_a_name(self, make_serializer: MakeSerializer) -> None:
        """`name` is ASCII, 1 to 255 bytes: every frame carries it.

        If this fails: the attribute is missing; it equals the name of the entry point.
        """
        name = getattr(make_serializer(), "name", None)
        assert isinstance(name, str), f"name is {name!r}, not text"
        assert name.isascii(), f"name {name!r} is not ASCII"
        assert 1 <= len(name) <= 255, f"name has {len(name)} bytes"

    def test_every_field_comes_back(self, make_serializer: MakeSerializer) -> None:
        """Each field of a message comes back with its value and its type.

        If this fails: a field is left out, or optional ones come back as "" in place of None.
        """
        for message in (_full(), Message()):
            found = _round_trip(make_serializer(), message)
            for field in fields(Message):
                sent, came = getattr(message, field.name), getattr(found, field.name)
                if field.name == "headers":  # that of none is of another type
                    sent, came = dict(sent), dict(came)
                assert _same(sent, came), f"{field.name} was {sent!r} and came back as {came!r}"

    def test_payloads_come_back(self, make_serializer: MakeSerializer) -> None:
        """JSON-like values come back equal and of the same type: 1 is not 1.0 and not True.

        So do values of the types that the class says it carries.

        If this fails: floats without a fraction become integers; large integers lose digits in a
        float; empty containers become None; text is normalised.
        """
        serializer = make_serializer()
        for payload in _PAYLOADS:
            found = _round_trip(serializer, Message(payload=copy.deepcopy(payload)))
            assert _same(payload, found.payload), f"{str(payload)[:80]} did not come back as sent"
        for kind in self.carries:
            if kind in _FURTHER:
                _comes_back(serializer, {"value": _FURTHER[kind]}, kind)

    def test_the_message_stays_as_it_is(self, make_serializer: MakeSerializer) -> None:
        """Serializing changes nothing of the message, and gives `bytes`.

        If this fails: the payload is cleaned in place; or a bytearray or memoryview of a shared
        buffer is returned, which the next message overwrites.
        """
        serializer = make_serializer()
        message, twin = _full(), _full()
        data = serializer.serialize(message)
        kept = bytes(data)
        serializer.serialize(Message(payload={"another": "message"}))
        assert message == twin, "serializing changed the message"
        assert type(data) is bytes, f"serialize gave {type(data).__name__}, not bytes"
        assert data == kept, "the bytes changed when the next message was serialized"

    def test_a_refused_value_is_named(self, make_serializer: MakeSerializer) -> None:
        """What can't be sent raises SerializationError, whose `path` says where it is.

        If this fails: the library's own TypeError comes out; or the path stops at `payload`.
        """
        serializer = make_serializer()
        for path, payload in _refused_by(self.carries):
            error = _refusal(serializer, Message(payload=payload))
            assert error.path == path, f"the offending value is at {path}, not at {error.path!r}"
            assert path in str(error), f"the message does not say where: {error}"

    def test_a_payload_that_contains_itself_is_refused(
        self, make_serializer: MakeSerializer
    ) -> None:
        """A value that contains itself raises SerializationError, in time.

        If this fails: RecursionError or the library's own error comes out untranslated.
        """
        payload: dict[str, Any] = {}
        payload["self"] = payload
        _refusal(make_serializer(), Message(payload=payload))

    def test_after_a_refusal_the_next_message_is_whole(
        self, make_serializer: MakeSerializer
    ) -> None:
        """After a refused message the same serializer writes the next one as ever.

        If this fails: a reused buffer still holds the beginning of the refused message.
        """
        serializer = make_serializer()
        expected = serializer.serialize(_full())
        _refusal(serializer, Message(payload={"good": "x" * 1000, "bad": object()}))
        assert serializer.serialize(_full()) == expected, "the next message is not as before"

    def test_bytes_that_are_no_message_are_refused(self, make_serializer: MakeSerializer) -> None:
        """Bytes that are no message raise DeserializationError, whatever they are.

        If this fails: the library's own error comes out; or the result is not checked, so that a
        number or an empty list passes for a message.
        """
        serializer = make_serializer()
        whole = serializer.serialize(_full())
        for data in (b"", b"\0", b"\xc1", b"\xff" * 16, b"null", b"[]", b"{}", b"\x90", b"hello"):
            _unreadable(serializer, data)
        for size in range(len(whole)):
            _unreadable(serializer, whole[:size])

    def test_damaged_bytes_never_raise_another_error(self, make_serializer: MakeSerializer) -> None:
        """Changing any one byte gives a message or DeserializationError, never another error.

        If this fails: text that is no valid UTF-8, or a field of another type, is not caught.
        """
        serializer = make_serializer()
        whole = serializer.serialize(_full())
        for place in range(len(whole)):
            for flip in (0x01, 0x80, 0xFF):
                damaged = whole[:place] + bytes((whole[place] ^ flip,)) + whole[place + 1 :]
                read(serializer, damaged)

    def test_chosen_keys_cost_no_more_than_others(self, make_serializer: MakeSerializer) -> None:
        """A map with keys that were chosen to collide is refused, or read as fast as any other.

        The hashes of numbers, and of tuples of them, can be computed by anybody; of 90,000 chosen
        ones a dict takes 17 s, during which the process does nothing else.

        If this fails: keys that are no text are put into a dict however many there are. Allow
        text only, or count the others before a dict is made of them.
        """
        serializer = make_serializer()
        keys = colliding_keys(_SLOTS)
        texts = dict.fromkeys(map(str, keys), 0)
        others = min(_seconds_of_reading(serializer, texts) for _ in range(3))
        chosen = _seconds_of_reading(serializer, dict.fromkeys(keys, 0))
        assert chosen < 10 * others + 0.05, (
            f"{len(keys):,} chosen keys took {chosen:.3f} s, as many texts {others:.3f} s"
        )


_SLOTS: Final = 16
"""The dict has 2**16 slots: the chosen keys then take fifty times as long as others."""


def _seconds_of_reading(serializer: Serializer, payload: dict[Any, Any]) -> float:
    """Return what it costs to read a payload, in seconds of the processor; 0 if it is refused."""
    try:
        data = serializer.serialize(Message(payload={"map": payload}))
    except SerializationError:
        return 0.0
    begin = time.thread_time()
    read(serializer, data)
    return time.thread_time() - begin


def _refused_by(carries: tuple[type, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Return what such a format refuses, each with the path to it."""
    unless = {set: "payload.a.b", complex: "payload.list[2]"}
    taken = {path for kind, path in unless.items() if kind in carries}
    return [(path, payload) for path, payload in _REFUSED if path not in taken]


def _full() -> Message:
    """Return a message whose every field differs from its default."""
    return Message(
        id="0190d3a4-7c1e-7abc-8def-0123456789ab",
        type="question",
        sender="asker",
        recipient="oracle",
        correlation_id="0190d3a4-7c1e-7abc-8def-0123456789ac",
        reply_to="_reply.0123456789abcdef.7",
        payload={"what": "is 6 times 7?", "numbers": [6, 7.0, None, True]},
        timestamp=1721000000.123456,
        trace_id="0123456789abcdef" * 2,
        span_id="0123456789abcdef",
        parent_span_id="fedcba9876543210",
        attempt=3,
        priority=-2,
        ttl=1.5,
        headers={"traceparent": f"00-{'0123456789abcdef' * 2}-fedcba9876543210-01", "ä": ""},
    )


def _round_trip(serializer: Serializer, message: Message) -> Message:
    return serializer.deserialize(serializer.serialize(message))


def _comes_back(serializer: Serializer, sent: dict[str, Any], kind: type) -> None:
    """Fail when a value that the class says it carries does not come back."""
    problem = f"a {kind.__name__} did not come back as sent"
    try:
        found = _round_trip(serializer, Message(payload=copy.deepcopy(sent)))
    except Exception as error:
        raise AssertionError(f"{problem}: {error!r}") from error
    assert _same(sent, found.payload), problem


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of the same types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _refusal(serializer: Serializer, message: Message) -> SerializationError:
    try:
        serializer.serialize(message)
    except SerializationError as error:
        return error
    except Exception as error:
        raise AssertionError(f"expected SerializationError, not {error!r}") from error
    raise AssertionError(f"{str(message.payload)[:80]} was not refused")


def _unreadable(serializer: Serializer, data: bytes) -> None:
    found = read(serializer, data)
    assert found is None, f"{data[:40]!r} was read as {found}"
