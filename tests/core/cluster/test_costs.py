"""Costs: what a frame of a stranger may make a node build has a limit, whatever field it is in."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import msgpack
import pytest

from civitas import envelope
from civitas._cluster.announcements import check_announceable
from civitas._cluster.codec import CONTROL, DATA, LARGEST_FRAME, MOST_AGENTS, decode
from civitas._cluster.pieces import (
    LARGEST_MESSAGE,
    OF_STRANGERS_BYTES,
    Assembly,
    ControlCodec,
    split,
)
from civitas._cluster.protocol import Changed, NodeInfo
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import ConfigurationError, DeserializationError
from core.cluster.one_node import info

ORIGIN = Origin(b"\x44" * 8, 5)
KINDS = {**CONTROL, **DATA}

EXPENSIVE = {
    "empty maps": b"\x80",
    "empty lists": b"\x90",
    "maps of one": b"\x81\x00\xc0",
    "lists of one": b"\x91\xc0",
    "deep lists": b"\x91",
    "agents": b"\xa1a\x92\xa0\x00",
}
"""What costs most memory for its bytes."""


def many(unit: bytes, size: int, head: int) -> bytes:
    """Return a list (0xdd) or a map (0xdf) of so many bytes."""
    count = size // len(unit)
    return bytes((head,)) + (count // (1 + (head == 0xDF))).to_bytes(4) + unit * count


def bodies(name: str, size: int) -> Iterator[bytes]:
    """Yield bodies of a message in which each field in turn is the large one."""
    for unit in EXPENSIVE.values():
        for head in (0xDD, 0xDF):
            large = many(unit, size, head)
            yield large
            yield b"\x92" + large
            yield b"\x92" + msgpack.packb(name) + large
            for field in (*_fields(KINDS[name]), "another"):
                yield b"\x92" + msgpack.packb(name) + b"\x81" + msgpack.packb(field) + large
    for field in fields(NodeInfo):
        large = many(b"\x80", size, 0xDD)
        info = b"\x81\xa4info\x81" + msgpack.packb(field.name) + large
        yield b"\x92" + msgpack.packb(name) + info


def _fields(kind: Any) -> list[str]:
    return [each.name for each in fields(kind)]


def frame(body: bytes) -> bytes:
    return envelope.seal(body, "msgpack", ORIGIN, kind=KIND_SYSTEM)


def peak_of_reading(body: bytes, limit: int = LARGEST_FRAME) -> int:
    """Return the bytes that were taken while a frame was read or refused, its own copies aside."""
    whole = frame(body)
    tracemalloc.start()
    with suppress(DeserializationError):
        decode(whole, KINDS, limit)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - 6 * len(whole)


@pytest.mark.parametrize("name", KINDS)
def test_a_frame_of_what_costs_most_is_never_built(name: str) -> None:
    size = 50_000
    for body in bodies(name, size):
        if name == "Counters" and b"\xa8counters" in body:
            continue  # its values may be any; they have a limit of their own
        assert peak_of_reading(body) < size


@pytest.mark.parametrize("unit", ["empty maps", "empty lists", "maps of one", "lists of one"])
def test_counters_that_hold_too_much_are_refused_by_their_bytes(unit: str) -> None:
    large = many(EXPENSIVE[unit], 4_000_000, 0xDD)
    body = b"\x92\xa8Counters\x82\xa6number\x01\xa8counters\x81\xa1a" + large
    with pytest.raises(DeserializationError, match="holds more than"):
        decode(frame(body), KINDS, LARGEST_MESSAGE)


def test_a_field_or_an_agent_that_comes_twice_is_refused() -> None:
    ping = b"\x92\xa4Ping\x83\xa8sequence\x01\xa8sequence\x02\xa8patience\xca\x00\x00\x00\x00"
    pong = b"\x92\xa4Pong\x83\xa8sequence\x01\xa7stalled\xca\x00\x00\x00\x00\xa6agents\x82"
    for body in (ping, pong + 2 * b"\xa1a\x92\xa7RUNNING\x01"):
        with pytest.raises(DeserializationError, match="twice"):
            decode(frame(body))


def test_bytes_behind_a_message_are_refused() -> None:
    with pytest.raises(DeserializationError, match="behind"):
        decode(frame(msgpack.packb(["Contested", {}]) + b"\xc0"))


def test_a_node_with_more_agents_than_others_take_fails_its_start() -> None:
    agents = {f"a{number}": ("", 0) for number in range(MOST_AGENTS + 1)}
    crowd = replace(info("44", ""), agents=agents)
    with pytest.raises(ConfigurationError, match="262,144 of one at most"):
        check_announceable(crowd, None)
    frames = ControlCodec(ORIGIN).frames(Changed(crowd))
    reader = ControlCodec(Origin(b"\x55" * 8, 5))
    for each in frames[:-1]:
        reader.read(each, 0.0, bool, lambda *_: False, to_everyone=True)
    with pytest.raises(DeserializationError, match="more than 262,144"):
        reader.read(frames[-1], 0.0, bool, lambda *_: False, to_everyone=True)


def test_the_pieces_of_all_strangers_together_are_no_more_than_one_of_the_largest() -> None:
    assembly = Assembly()
    for number in range(8):
        origin = Origin(number.to_bytes(8), 1)
        for piece in split(b"x" * LARGEST_MESSAGE, 1)[:-1]:
            assembly.take(origin, piece, 0.0, to_everyone=True, of_member=False)
            assert assembly.size <= OF_STRANGERS_BYTES
    whole = [
        assembly.take(ORIGIN, piece, 0.0, to_everyone=True, of_member=False)
        for piece in split(b"x" * LARGEST_MESSAGE, 1)
    ]
    assert whole[-1] is not None
