"""Hostile bytes: a message in whatever format, changed so that it claims what it should not.

The format is not known here. Where a value stands is found by comparing messages that differ in it,
and what common formats write for strange values is put in its place: whoever reads another format
refuses that, or reads something harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from civitas.messages import Message

Serialize = Callable[[Message], bytes]

STRANGE: Final = (
    # MessagePack: an extension, a timestamp, no value at all, a map in a key
    *(b"\xd4\x05x", b"\xd6\xff\0\0\0\1", b"\xc7\x01\x07x", b"\xc1", b"\x81\x80\x01"),
    # CBOR: a date, a large number, a set, undefined, shared values that contain themselves
    *(
        b"\xc1\x01",
        b"\xc2\x41\x01",
        b"\xd9\x01\x02\x82\x01\x02",
        b"\xf7",
        b"\xd8\x1c\x81\xd8\x1d\0",
    ),
    *(b"\xd8\x23\x61a", b"\xd8\x2a\x41a", b"\x81\xd8\x1d\0", b"\xd8\x24\x61a"),
    # pickle: a set, a list that contains itself, a tuple, complex by its name
    *(b"\x8f", b"]q\xfeh\xfea", b")", b"c__builtin__\ncomplex\n(tR", b"}q\xfdK\x01h\xfds"),
    # JSON, and what some readers add to it: numbers that are none, a comment, text of half a sign
    *(b"NaN", b"-Infinity", b"1e999", b'{"a":1,"a":2}', b"{1:2}", b'"\\ud800"', b"/**/1"),
    # YAML: a set, a list that contains itself, any object
    *(b"!!set {1}", b"&a [*a]", b"!!python/object:builtins.object {}"),
)
"""What stands for a value that no payload has, in one format or another."""

HUGE: Final = (
    # MessagePack: an array, a map, text, bytes and an extension, each with a false length
    *(b"\xdd\x04\0\0\0", b"\xdf\x04\0\0\0", b"\xdb\x7f\xff\xff\xff", b"\xc6\x7f\xff\xff\xff"),
    *(b"\xc9\x7f\xff\xff\xff\x01", b"\xdc\xff\xff" * 40),
    # CBOR: the same
    *(b"\x9a\x04\0\0\0", b"\xba\x04\0\0\0", b"\x7a\x7f\xff\xff\xff", b"\x5a\x7f\xff\xff\xff"),
    *(b"\x9b\0\0\0\0\x04\0\0\0", b"\x5b\0\0\0\0\x7f\xff\xff\xff"),
    # pickle, and numbers of many digits
    *(b"\x8b\x7f\xff\xff\xff", b"\x8a\xff", b"9" * 10_000, b"1e9999999"),
)
"""What claims more than comes after it."""

_MARK: Final = "conformance-mark"


def with_value(serialize: Serialize, value: bytes) -> bytes:
    """Return a message in whose payload these bytes stand in place of a value."""
    one, other = (serialize(_message(each)) for each in (_MARK, 7))
    begin = _common(one, other)
    end = _common(one[begin:][::-1], other[begin:][::-1])
    return one[:begin] + value + one[len(one) - end :]


def everywhere(serialize: Serialize, value: bytes) -> Iterator[bytes]:
    """Yield messages with these bytes in each place, before the byte there, and instead of it."""
    whole = serialize(_message(7))
    for place in range(len(whole)):
        yield whole[:place] + value + whole[place:]
        yield whole[:place] + value + whole[place + 1 :]


def nested(serialize: Serialize, depth: int) -> bytes | None:
    """Return a message with lists within lists; `None` for a format that tells where each ends.

    What one more level adds is found by comparing a few of them.
    """
    mark = _MARK.encode()
    flat, deeper = (serialize(_message(value)) for value in ([[_MARK]], [[[_MARK]]]))
    at, further = flat.find(mark), deeper.find(mark)
    opening, closing = further - at, len(deeper) - len(flat) - (further - at)
    if at < 0 or opening <= 0 or closing < 0:
        return None
    begin = _common(flat[:at], deeper[:further])
    tail, longer = flat[at:], deeper[further:]
    end = _common(tail, longer)
    found = [
        flat[:begin] + deeper[begin : begin + opening] * times + flat[begin:at]
        + tail[:end] + longer[end : end + closing] * times + tail[end:]
        for times in (1, depth)
    ]  # fmt: skip
    return found[1] if found[0] == deeper else None


def _message(value: Any) -> Message:
    return Message(id="0", type="hostile", timestamp=1.0, payload={"value": value})


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes two beginnings share."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
