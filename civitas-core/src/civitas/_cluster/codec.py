"""Codec: the frames of the protocol's messages; it makes them, and checks what comes.

A message travels as a frame of kind 2 whose body is a msgpack array: the message's name and the map
of its fields. What does not fit the types of its fields raises DeserializationError. An unknown
field is passed over, and one with a default may be missing, so that nodes of neighbouring versions
understand each other.

A frame may be anyone's, and lists and maps cost many times their bytes. So it is never unpacked as
a whole: it is read value by value, a list or a map only where the type of a field wants one, and
with no more elements than such a field may have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Final, get_args, get_type_hints

import msgpack

from civitas import envelope
from civitas._cluster.protocol import (
    AgentStates,
    ControlMessage,
    Credit,
    DataMessage,
    NodeInfo,
)
from civitas._signing.settings import SIGNED_FRAME
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import (
    CivitasError,
    DeserializationError,
    FrameError,
    SignedFrameError,
    describe,
)
from civitas.messages import name_problem
from civitas.serializer.limits import CONTAINERS, NO_EXTENSIONS, Limits, check_msgpack

LONGEST_NAME: Final = 200
"""Characters of the name of a process, and of a role, at most."""

LARGEST_FRAME: Final = 1024 * 1024
"""Bytes of a system frame at most; what is larger travels in pieces."""

MOST_AGENTS: Final = 1 << 18
"""Agents of a node at most, and names in a list."""

_COUNTERS: Final = Limits(values=1 << 22, containers=1 << 19)
"""What the counters of a node may hold."""

_FORMAT: Final = "msgpack"

_CREDIT: Final = b"\x92\xa6Credit\x82"
"""How a message begins that is a credit with two fields."""
_SMALL: Final = 256

CONTROL: Final[Mapping[str, Any]] = {kind.__name__: kind for kind in get_args(ControlMessage)}
DATA: Final[Mapping[str, Any]] = {kind.__name__: kind for kind in get_args(DataMessage)}


def encode(message: ControlMessage | DataMessage, origin: Origin) -> bytes:
    """Make the frame of a message."""
    values = [type(message).__name__, message]
    body = msgpack.packb(values, default=_values, unicode_errors="backslashreplace")
    return envelope.seal(body, _FORMAT, origin, kind=KIND_SYSTEM)


def _values(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in _names(message.__class__)}


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


def decode(
    frame: bytes, kinds: Mapping[str, Any] = CONTROL, limit: int = LARGEST_FRAME
) -> tuple[Origin, Any]:
    """Return who sent a message, and the message: one of `kinds`, `CONTROL` or `DATA`.

    Raises:
        FrameError: the bytes are no system frame, or more than `limit`.
        DeserializationError: its body is no such message.
    """
    if len(frame) > limit:
        raise FrameError(f"a system frame of {len(frame):,} bytes is more than {limit:,}")
    opened = envelope.open(frame)
    if opened.kind != KIND_SYSTEM or opened.serializer != _FORMAT:
        raise FrameError("only frames of kind 2 in msgpack belong on a system address")
    origin = Origin(opened.node, opened.generation)
    credit = _credit(opened.body) if kinds is DATA else None
    if credit is not None:
        return origin, credit
    try:
        body = _Body(opened.body)
        if body.list_length() != 2:
            raise ValueError("not a name and its fields")
        message = _read(kinds[_text(body.scalar())], body)
        body.end()
    except Exception as error:
        raise DeserializationError(f"no message: {describe(error)}") from error
    return origin, message


def _credit(data: bytes) -> Credit | None:
    """Return the credit that these bytes are, as `encode` makes it; None for all else.

    One comes for 64 messages of a stream. Value by value it took 2 us more, and twice that where
    the code is cold. So few bytes may be unpacked as a whole, whatever they claim to be.
    """
    if not data.startswith(_CREDIT) or len(data) > _SMALL:
        return None
    try:
        fields: dict[object, Any] = msgpack.unpackb(data, **NO_EXTENSIONS)[1]
    except Exception:  # noqa: BLE001 - whatever it is, who reads value by value says so
        return None
    agent, number = fields.get("agent"), fields.get("number")
    if type(agent) is not str or type(number) is not int:
        return None
    return Credit(agent, number)


def drop_reason(error: CivitasError) -> str:
    """Return as what a frame is counted that can't be decoded."""
    return SIGNED_FRAME if isinstance(error, SignedFrameError) else "malformed system frame"


class _Body:
    """The values of a frame, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._unpacker = msgpack.Unpacker(max_buffer_size=len(data), **NO_EXTENSIONS)
        self._unpacker.feed(data)

    def scalar(self) -> Any:
        """Return the next value, which must be no list and no map."""
        if self._data[self._unpacker.tell()] in CONTAINERS:
            raise TypeError("a list or a map is where none belongs")
        return self._unpacker.unpack()

    def list_length(self) -> int:
        """Return how many values the list has that begins here."""
        return self._limited(self._unpacker.read_array_header())

    def map_length(self) -> int:
        """Return how many keys, each with a value, the map has that begins here."""
        return self._limited(self._unpacker.read_map_header())

    def skip(self) -> bytes:
        """Pass over a value of any kind; return its bytes."""
        begin = self._unpacker.tell()
        self._unpacker.skip()
        return self._data[begin : self._unpacker.tell()]

    def end(self) -> None:
        """Raise ValueError unless all is read."""
        if self._unpacker.tell() != len(self._data):
            raise ValueError("there are bytes behind the message")

    @staticmethod
    def _limited(length: int) -> int:
        if length > MOST_AGENTS:
            raise ValueError(f"{length:,} elements are more than {MOST_AGENTS:,}")
        return length


def _read(kind: Any, body: _Body) -> Any:
    """Make a message of its fields, each checked against its declared type."""
    readers = _readers(kind)
    values: dict[str, Any] = {}
    for _ in range(body.map_length()):
        name = _text(body.scalar())
        if name in values:
            raise ValueError(f"{name!r:.80} comes twice")
        read = readers.get(name)
        if read is not None:
            values[name] = read(body)
        else:
            body.skip()
    return kind(**values)


@cache
def _readers(kind: Any) -> dict[str, Callable[[_Body], Any]]:
    """Return the reader of each field."""
    hints = get_type_hints(kind)
    return {each.name: _reader(hints[each.name]) for each in fields(kind)}


def _reader(hint: Any) -> Callable[[_Body], Any]:
    collection = _COLLECTIONS.get(hint)
    if collection is not None:
        return collection
    check = _SCALARS[hint]
    return lambda body: check(body.scalar())


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{value!r:.80} is not {kind.__name__}")
        return value

    return read


_text: Final = _exactly(str)
_whole: Final = _exactly(int)


def _number(value: Any) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):
        raise TypeError(f"{value!r:.80} is no number")
    return float(value)


def _read_info(body: _Body) -> NodeInfo:
    info: NodeInfo = _read(NodeInfo, body)
    if info.node != info.key[:8].hex() or len(info.key) != 12:
        raise ValueError(f"{info.node!r:.80} is no node id, which is 16 small hex digits")
    if max(len(info.process), len(info.role)) > LONGEST_NAME:
        raise ValueError(f"a name of more than {LONGEST_NAME} characters")
    return info


def _read_agents(body: _Body) -> dict[str, tuple[str, int]]:
    agents: dict[str, tuple[str, int]] = {}
    length = body.map_length()
    for _ in range(length):
        name = body.scalar()
        problem = name_problem(name)
        if problem is not None:
            raise ValueError(f"{name!r:.80} can't be an agent's name: {problem}")
        if body.list_length() != 2:
            raise ValueError(f"{name!r:.80} has not a state and a count")
        agents[name] = _text(body.scalar()), _whole(body.scalar())
    if len(agents) != length:
        raise ValueError("an agent comes twice")
    return agents


def _read_names(body: _Body) -> tuple[str, ...]:
    return tuple(_text(body.scalar()) for _ in range(body.list_length()))


def _read_counters(body: _Body) -> dict[str, Any]:
    data = body.skip()
    check_msgpack(data, _COUNTERS)
    counters: dict[str, Any] = _exactly(dict)(msgpack.unpackb(data, **NO_EXTENSIONS))
    return counters


_SCALARS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    bool: _exactly(bool),
    bytes: _exactly(bytes),
    float: _number,
    float | None: lambda value: None if value is None else _number(value),
    int: _whole,
    str: _text,
}
"""What checks a value of each type."""

_COLLECTIONS: Final[Mapping[Any, Callable[[_Body], Any]]] = {
    tuple[str, ...]: _read_names,
    AgentStates: _read_agents,
    Mapping[str, Any]: _read_counters,
    NodeInfo: _read_info,
}
"""What reads the lists and maps of each type."""
