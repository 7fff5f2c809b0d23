"""Codec: the frames of the protocol's messages; it makes them, and checks what comes.

A message travels as a frame of kind 2 whose body is a msgpack array: the message's name and the map
of its fields. What does not fit the types of its fields raises DeserializationError. An unknown
field is passed over, and one with a default may be missing, so that nodes of neighbouring versions
understand each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Final, get_args, get_type_hints

import msgpack

from civitas import envelope
from civitas._cluster.protocol import AgentStates, ControlMessage, DataMessage, NodeInfo
from civitas._signing import SIGNED_FRAME
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import (
    CivitasError,
    DeserializationError,
    FrameError,
    SignedFrameError,
    describe,
)
from civitas.messages import name_problem

LARGEST_FRAME: Final = 1024 * 1024
"""Bytes of a system frame at most; what is larger travels in pieces."""

_FORMAT: Final = "msgpack"

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
    try:
        name, values = msgpack.unpackb(opened.body)
        message = _read(kinds[name], values)
    except Exception as error:
        raise DeserializationError(f"no message: {describe(error)}") from error
    return Origin(opened.node, opened.generation), message


def drop_reason(error: CivitasError) -> str:
    """Return as what a frame is counted that can't be decoded."""
    return SIGNED_FRAME if isinstance(error, SignedFrameError) else "malformed system frame"


def _read(kind: Any, values: dict[str, Any]) -> Any:
    """Make a message of its fields, each checked against its declared type."""
    return kind(
        *[
            read(values[name]) if name in values or default is MISSING else default
            for name, read, default in _readers(kind)
        ]
    )


@cache
def _readers(kind: Any) -> list[tuple[str, Callable[[Any], Any], Any]]:
    """Return name, reader of the value, and the default, `MISSING` for none, for each field."""
    hints = get_type_hints(kind)
    return [(each.name, _READERS[hints[each.name]], each.default) for each in fields(kind)]


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


def _read_info(value: Any) -> NodeInfo:
    info: NodeInfo = _read(NodeInfo, value)
    if len(info.node) != 16 or len(info.key) != 12:
        raise ValueError(f"{info.node!r} is no node id")
    return info


def _read_agents(value: Any) -> dict[str, tuple[str, int]]:
    for name in value:
        problem = name_problem(name)
        if problem is not None:
            raise ValueError(f"{name!r:.80} can't be an agent's name: {problem}")
    return {name: (_text(state), _whole(count)) for name, (state, count) in value.items()}


_READERS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    bool: _exactly(bool),
    bytes: _exactly(bytes),
    float: _number,
    float | None: lambda value: None if value is None else _number(value),
    int: _whole,
    str: _text,
    tuple[str, ...]: lambda value: tuple(map(_text, value)),
    AgentStates: _read_agents,
    Mapping[str, Any]: _exactly(dict),
    NodeInfo: _read_info,
}
