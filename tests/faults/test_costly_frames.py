"""Frames of a stranger that would cost far more than their bytes: a running system goes on."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgpack
import pytest

from civitas import Message, envelope
from civitas._cluster.codec import encode
from civitas._cluster.pieces import split
from civitas._cluster.protocol import EVERYONE, control_address, data_address
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.testing.collisions import colliding_keys
from faults.test_hostile_peers import all_are_reached, all_is_well, nodes, three
from support.deployment import CALM, Build, agent
from support.intruder import Intruder
from support.waiting import eventually

pytestmark = pytest.mark.slow

MIB = 1 << 20
MOST_MEMORY = 500 * MIB


def test_chosen_keys_hold_up_no_worker_and_nobody_is_taken_for_dead(build: Build) -> None:
    system, running = three(build)
    payload = msgpack.packb(dict.fromkeys(colliding_keys(17)))
    with Intruder(system.transport) as intruder:
        for name in ("far", "near"):
            for _ in range(3):
                intruder.send(f"{name}\0".encode(), to_agent(payload))
            all_are_reached(system)
        for process in ("w1", "w2"):
            eventually(lambda p=process: refused(system.stats()[p]["dropped"]) == 3)
    all_is_well(system, running)


def test_empty_maps_and_small_numbers_take_the_memory_of_nobody(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"), beats=CALM)
    running = system.run("supervisor", "w1", "w2")
    ids = nodes(system).values()
    pids = [system.console(process).pid for process in ("supervisor", "w1", "w2")]
    with Intruder(system.transport) as intruder:
        for unit in (b"\x80", b"\xe0"):
            many = large(unit, 9 * MIB)
            intruder.send(b"far\0", to_agent(b"\x81\xa1a" + many))
            intruder.send(f"{EVERYONE}\0".encode(), system_frame(many))
            whole = system_frame(b"\x92\xa5Hello\x81\xa4info" + many)
            for piece in split(whole, 1):
                intruder.send(f"{EVERYONE}\0".encode(), encode(piece, Origin(whole[4:12], 1)))
            for address in (EVERYONE, *map(control_address, ids), *map(data_address, ids)):
                ping = system_frame(b"\x92\xa4Ping" + large(unit, MIB - 100))
                intruder.send(f"{address}\0".encode(), ping)
            all_are_reached(system)
        eventually(lambda: refused(system.stats()["w1"]["dropped"]) == 2)
    assert max(map(peak, pids)) < MOST_MEMORY
    all_is_well(system, running)


def to_agent(payload: bytes) -> bytes:
    """Return a frame for an agent with these bytes as its payload."""
    fields = [1, *(getattr(Message(), field) for field in Message.__slots__[:14])]
    parts = [msgpack.packb(each) for each in fields]
    parts[fields.index({})] = payload
    return envelope.seal(b"\x9f" + b"".join(parts), "msgpack", Origin(os.urandom(8), 1))


def system_frame(body: bytes) -> bytes:
    return envelope.seal(body, "msgpack", Origin(b"\x66" * 8, 1), kind=KIND_SYSTEM)


def large(unit: bytes, size: int) -> bytes:
    return b"\xdd" + (size // len(unit)).to_bytes(4) + unit * (size // len(unit))


def refused(dropped: dict[str, int]) -> int:
    return sum(count for reason, count in dropped.items() if reason.startswith("unreadable"))


def peak(pid: int) -> int:
    """Return the most memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024
