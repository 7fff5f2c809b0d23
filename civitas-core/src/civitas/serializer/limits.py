"""Limits: what a body may make its reader build. It is judged by its bytes, before it is unpacked.

Theory. A byte on the wire becomes up to 78 bytes of memory: an empty map is one byte there, and 64
bytes and a place in a list here. A list of small whole numbers takes 9 for each byte, text 1 to 4.
So it is not the size of a body that tells what it costs, but what it consists of; and a body is
refused that holds too many values, or too many of the most expensive ones, lists and maps. Their
number is never counted for a small body, and seldom for a large one: in a body of so few bytes, or
with so few bytes that could begin a value, there can't be so many. Only what that leaves in doubt
is walked, without an object being made of it. (Whole numbers from 0 to 127 look like text, and take
no memory but their place in a list: alone they never put a body in doubt.)

The other price is time. Text and `bytes` have hashes that nobody outside knows (SipHash); numbers,
and tuples of them, have hashes that anybody can compute, so that thousands of keys can be chosen
that fall on one another in a dict, and each new one is compared with all before it. So maps with
many such keys are limited before any key is hashed.

Extension types of msgpack have no limit, since there are none: an empty one is 3 bytes on the wire,
and 100 and a call of Python's here. Whoever unpacks gives `NO_EXTENSIONS`, which refuses the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

import msgpack

from civitas.errors import DeserializationError


class Limits(NamedTuple):
    """How many values a body may hold (keys are some, too), and how many lists and maps."""

    values: int
    containers: int


BODY: Final = Limits(values=1 << 23, containers=1 << 20)
"""The limits of an agent's message: 64 MiB of floats, a million records."""

FREE_KEYS: Final = 256
"""Keys that are neither text nor bytes which any map may have."""

MOST_KEYS: Final = 4096
"""Such keys of all maps of a body that have more than `FREE_KEYS` of them."""

SAFE_SIZE: Final = 2 * MOST_KEYS
"""A body of so many bytes has not so many keys, and is within all limits."""

CONTAINERS: Final = frozenset((*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF))
"""The bytes that begin a list or a map in msgpack."""

_HEADS: Final = bytes(CONTAINERS)

_TEXT: Final = frozenset((str, bytes))
_MAPS: Final = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))
_HIGH: Final = bytes(range(0x80, 0x100))
"""The bytes that begin anything but a whole number from 0 to 127, which takes no memory."""

_WIDTHS: Final = {
    **{0xCA: 5, 0xCB: 9},
    **{0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9},
    **{0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9},
}
"""Bytes of the numbers of which long lists consist: floats, and whole numbers with and without
sign."""

_EXTENSIONS: Final = frozenset((0xC7, 0xC8, 0xC9, *range(0xD4, 0xD9)))
"""The bytes that begin an extension."""


def refuse_extension(*_: object) -> NoReturn:
    """Raise DeserializationError; msgpack calls this with the code and bytes of an extension."""
    raise DeserializationError(
        "extension types of MessagePack, such as its Timestamp, are not read: send numbers, text "
        "or bytes"
    )


NO_EXTENSIONS: Final[Mapping[str, Any]] = {"max_ext_len": 0, "ext_hook": refuse_extension}
"""What msgpack is given to refuse extensions: those without bytes call the hook, and all others are
too long. A timestamp never comes to the hook."""


_FEW: Final = 64
"""Parts of a value that are looked at before it is counted in another way."""

_SIZED: Final[dict[int, tuple[int, int]]] = {
    **{0xC4 + power: (0, 1 << power) for power in range(3)},  # bytes
    **{0xD9 + power: (0, 1 << power) for power in range(3)},  # text
    **{0xDC + power: (1, 2 << power) for power in range(2)},  # lists
    **{0xDE + power: (2, 2 << power) for power in range(2)},  # maps
}
"""The bytes that begin a value which says how long it is: how many parts of it each counts (none
for what is no list and no map), and in how many bytes it says so."""

_SIZES: Final[dict[int, int]] = {
    **dict.fromkeys((*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3), 1),
    **{0xCC + power: 1 + (1 << power) for power in range(4)},  # whole numbers
    **{0xD0 + power: 1 + (1 << power) for power in range(4)},
    0xCA: 5,
    0xCB: 9,
}
"""The bytes that begin a value of a known size, and that size."""


def is_extension(error: Exception) -> bool:
    """Whether msgpack raised this because of `max_ext_len`."""
    return "max_ext_len" in str(error)


def is_simple(data: bytes, start: int = 0) -> bool:
    """Return whether the bytes from `start` to the end are one value of few parts, in msgpack.

    Such bytes make no false claims and are within all limits. Text and `bytes` are passed over, so
    it costs as little for a body of a megabyte as for a small one; to count in one takes forty
    times as long as to unpack it. Where there are more than `_FEW` parts, this gives up.
    """
    at, end, ahead = start, len(data), 1
    for _ in range(_FEW):
        if at >= end:
            return False
        head = data[at]
        if 0xA0 <= head < 0xC0:  # text
            at += 1 + (head & 0x1F)
        elif 0x80 <= head < 0xA0:
            ahead += head & 0xF if head >= 0x90 else 2 * (head & 0xF)
            at += 1
        elif head in _SIZED:
            parts, width = _SIZED[head]
            size = int.from_bytes(data[at + 1 : at + 1 + width])
            at += 1 + width
            if parts:
                ahead += parts * size
            else:
                at += size
        elif head in _SIZES:
            at += _SIZES[head]
        else:
            return False  # an extension, or nothing
        ahead -= 1
        if not ahead:
            return at == end
    return False


def check_msgpack(data: bytes, limits: Limits = BODY, start: int = 0) -> None:
    """Raise DeserializationError if the bytes from `start` hold more than the limits allow.

    What is no msgpack passes: whoever unpacks it finds that out.
    """
    if len(data) - start <= limits.containers:
        return
    if limits.containers >= _FEW and is_simple(data, start):
        return
    high = len(data) - len(data.translate(None, _HIGH))
    if high <= limits.containers:
        return
    if high <= limits.values and len(data) - len(data.translate(None, _HEADS)) <= limits.containers:
        return
    _walk(data[start:], limits)


def _walk(data: bytes, limits: Limits) -> None:
    """Count exactly: from value to value, into each list and map, and over the rest in C."""
    values, containers, ahead = 0, 0, 1
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        while ahead:
            ahead -= 1
            values += 1
            head = data[unpacker.tell()]
            if head in CONTAINERS:
                containers += 1
                is_map = head in _MAPS
                count = unpacker.read_map_header() if is_map else unpacker.read_array_header()
                numbers = 0 if is_map else _equal_numbers(data, unpacker.tell(), count)
                if numbers:
                    unpacker.read_bytes(numbers)
                    values += count
                else:
                    ahead += 2 * count if is_map else count
            elif head in _EXTENSIONS:
                refuse_extension()
            else:
                unpacker.skip()
            if values > limits.values or containers > limits.containers:
                raise _too_many(limits)
    except (msgpack.UnpackException, ValueError, IndexError):
        return


def _equal_numbers(data: bytes, at: int, count: int) -> int:
    """Return how many bytes a list takes whose elements are numbers of one width; 0 for others."""
    width = _WIDTHS.get(data[at], 0) if count else 0
    end = at + count * width
    return end - at if width and data[at:end:width].count(data[at]) == count else 0


def check_json(data: bytes, limits: Limits = BODY) -> None:
    """Raise DeserializationError if this text in JSON holds more than the limits allow.

    Brackets, commas and colons are counted as they are written, those inside of text too.
    """
    if len(data) <= limits.containers:
        return
    containers = data.count(b"[") + data.count(b"{")
    values = containers + data.count(b",") + data.count(b":")
    if containers > limits.containers or values > limits.values:
        raise _too_many(limits)


def _too_many(limits: Limits) -> DeserializationError:
    return DeserializationError(
        f"the body holds more than {limits.values:,} values, or {limits.containers:,} lists and "
        f"maps: send less at once, or many small values as bytes"
    )


def check_keys(payload: Any) -> None:
    """Raise DeserializationError where `CountedKeys` would, for the sender to hear of it.

    It does not look everywhere, since that costs as much as to write the message: not into lists,
    nor into large maps, and at the first key of a map only.
    """
    left = MOST_KEYS
    maps = [payload] if isinstance(payload, dict) else []
    for each in maps:
        if len(each) <= FREE_KEYS:
            maps += [value for value in each.values() if type(value) is dict]
        elif type(next(iter(each))) not in _TEXT:
            left -= _weak(list(each))
    if left < 0:
        raise _too_many_keys()


class CountedKeys:
    """Makes the maps of one body, and counts the keys whose hashes anybody can compute."""

    def __init__(self) -> None:
        self._left = MOST_KEYS

    def __call__(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        """Make a dict. A list that is a key was a tuple, which msgpack does not know.

        Raises:
            DeserializationError: there are too many such keys, or a key is there twice.
        """
        if len(pairs) > FREE_KEYS:
            self._left -= _weak([key for key, _ in pairs])
            if self._left < 0:
                raise _too_many_keys()
        try:
            return unrepeated(pairs)
        except TypeError:
            return unrepeated([(_as_key(key), value) for key, value in pairs])


def _weak(keys: list[Any]) -> int:
    """Return how many keys of a map count: those that are neither text nor bytes, if not few."""
    kinds = list(map(type, keys))
    count = len(kinds) - kinds.count(str) - kinds.count(bytes)
    return count if count > FREE_KEYS else 0


def _too_many_keys() -> DeserializationError:
    return DeserializationError(
        f"the maps of the body have more than {MOST_KEYS:,} keys that are neither text nor bytes, "
        f"and such keys can be chosen so that a dict of them takes minutes: use text"
    )


def unrepeated(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Make a dict of pairs; raise DeserializationError if a key is there twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise DeserializationError("a map has a key twice")
    return made


def _as_key(key: Any) -> Any:
    return tuple(_as_key(item) for item in key) if isinstance(key, list) else key
