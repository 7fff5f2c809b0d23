"""What is promised of `deserialize`: what it lets through, agents and their transports can use."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, Final

from civitas.errors import DeserializationError
from civitas.messages import Message, headers_problem
from civitas.serializer import Serializer
from civitas.testing.hostile_bytes import HUGE, STRANGE, everywhere, nested, with_value

MakeSerializer = Callable[[], Serializer]

_PLAIN: Final = (type(None), bool, int, float, str, bytes)
"""Types of a payload's values besides lists and dicts; a format may have bytes."""

_CONTAINERS: Final = (set, frozenset, tuple)
_DEEP: Final = 100_000
_DEEPEST: Final = 1000
"""Levels of lists and dicts that what is read may have."""

_MEMORY: Final = 32 << 20
"""Bytes that reading a small message may take for a moment."""

_SECONDS: Final = 1.0
"""Time of the processor that reading a small message may take."""


class ReadingBehaviours:
    """What comes from the network is read, or refused; it costs no more than it is worth.

    Attributes:
        carries: types of values that the format has besides those of JSON and bytes, as `set`.
            What is read may have them, and `serialize` may take them.
    """

    carries: ClassVar[tuple[type, ...]] = ()

    def test_what_is_read_is_a_message(self, make_serializer: MakeSerializer) -> None:
        """Whatever is read has fields of the right types, and the payload values that it may have.

        These are JSON's, bytes, and what the class says in `carries`. Everything else, in the
        format's own words for it, is refused with DeserializationError, values that contain
        themselves included. What is read can be sent on.

        If this fails: the library makes objects of tags, extensions or references; switch them
        off, or look through what it made.
        """
        serializer = make_serializer()
        for value in STRANGE:
            _let_through(serializer, with_value(serializer.serialize, value), self.carries)
            for data in everywhere(serializer.serialize, value):
                _let_through(serializer, data, self.carries)

    def test_what_is_nested_too_deep_is_refused(self, make_serializer: MakeSerializer) -> None:
        """100,000 lists within each other are refused with DeserializationError.

        What has read them could do nothing with them: not copy, compare or send them.

        If this fails: RecursionError comes out; or a library that does not recurse reads them.
        """
        serializer = make_serializer()
        data = nested(serializer.serialize, _DEEP)
        if data is not None:
            found = read(serializer, data)
            assert found is None, f"a payload of {_DEEP:,} levels was read"

    def test_false_lengths_cost_nothing(self, make_serializer: MakeSerializer) -> None:
        """A small message that claims to be large takes neither memory nor time.

        If this fails: room is made for as much as the header claims. Compare it with the bytes
        that are there, before anything is made.
        """
        serializer = make_serializer()
        for value in HUGE:
            data = with_value(serializer.serialize, value)
            begin = time.thread_time()
            peak = _memory_of(lambda data=data: _let_through(serializer, data, self.carries))  # type: ignore[misc]
            seconds = time.thread_time() - begin
            assert peak < _MEMORY, f"{len(data)} bytes took {peak >> 20} MiB: {data[-60:]!r}"
            assert seconds < _SECONDS, f"{len(data)} bytes took {seconds:.1f} s: {data[-60:]!r}"

    def test_hostile_bytes_are_refused(
        self, make_serializer: MakeSerializer, hostile: Mapping[str, bytes]
    ) -> None:
        """What the author knows to be hostile in this format is refused, each of it.

        If this fails: as above.
        """
        for what, data in hostile.items():
            assert read(make_serializer(), data) is None, f"it was read: {what}"


def read(serializer: Serializer, data: bytes) -> Message | None:
    """Return the message in these bytes, or None where they are refused as they should be."""
    try:
        return serializer.deserialize(data)
    except DeserializationError:
        return None
    except Exception as error:
        raise AssertionError(
            f"expected DeserializationError for {data[:40]!r}, not {error!r}"
        ) from error


def _let_through(serializer: Serializer, data: bytes, carries: tuple[type, ...]) -> None:
    """Fail where what is read is nothing that an agent could work with."""
    message = read(serializer, data)
    if message is None:
        return
    for field in fields(Message):
        problem = _problem_of_field(field.name, getattr(message, field.name), carries)
        assert not problem, f"{field.name} of a message that was read {problem}: {data[-80:]!r}"
    try:
        serializer.serialize(message)
    except Exception as error:
        text = f"what was read can't be sent on: {error!r}: {data[-80:]!r}"
        raise AssertionError(text) from error


def _problem_of_field(name: str, value: object, carries: tuple[type, ...]) -> str:
    if name == "payload":
        if type(value) is not dict:
            return f"is a {type(value).__name__}"
        return _problem(value, carries)
    if name == "headers":
        return headers_problem(value) or ""
    expected = _FIELDS[name]
    return "" if isinstance(value, expected) else f"is a {type(value).__name__}"


def _problem(payload: dict[Any, Any], carries: tuple[type, ...]) -> str:
    """Return what is wrong with a value of a payload, if anything is."""
    left: list[tuple[Any, int]] = [(payload, 0)]
    while left:
        value, depth = left.pop()
        kind = type(value)
        if depth > _DEEPEST:
            return "is too deep, or contains itself"
        if kind is dict:
            strange = _strange_key(value, carries)
            if strange:
                return f"has a {strange} as a key"
            left += [(item, depth + 1) for item in value.values()]
        elif kind is list or (kind in carries and kind in _CONTAINERS):
            left += [(item, depth + 1) for item in value]
        elif kind not in _PLAIN and kind not in carries:
            return f"has a {kind.__name__}"
    return ""


def _strange_key(value: dict[Any, Any], carries: tuple[type, ...]) -> str:
    """Return the type of a key that is none; one may be a tuple, where a format has such keys."""
    for key in value:
        for part in key if type(key) is tuple else (key,):
            if type(part) not in (*_PLAIN, tuple, *carries):
                return type(part).__name__
    return ""


def _memory_of(work: Callable[[], None]) -> int:
    """Return how much memory Python takes for a moment during this, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


_TEXT: Final = (str,)
_NUMBER: Final = (int, float)
_FIELDS: Final[Mapping[str, tuple[type, ...]]] = {
    **dict.fromkeys(("id", "type", "sender", "recipient"), _TEXT),
    **dict.fromkeys(("correlation_id", "reply_to"), (str, type(None))),
    **dict.fromkeys(("trace_id", "span_id", "parent_span_id"), (str, type(None))),
    **dict.fromkeys(("attempt", "priority"), (int,)),
    "timestamp": _NUMBER,
    "ttl": (*_NUMBER, type(None)),
}
