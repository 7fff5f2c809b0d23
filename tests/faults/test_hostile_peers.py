"""Strangers on the wire of a running system: it goes on, and what they send is counted."""

from __future__ import annotations

import itertools
import os
import random
import signal

import pytest

from civitas import envelope
from civitas._cluster.codec import encode
from civitas._cluster.protocol import (
    EVERYONE,
    Changed,
    Command,
    Credit,
    Fenced,
    Hello,
    Left,
    NodeInfo,
    Ping,
    Pong,
    Refused,
    control_address,
    data_address,
)
from civitas.envelope import KIND_SYSTEM, Origin
from support.commands import Running
from support.deployment import Build, System, agent
from support.intruder import Intruder
from support.waiting import eventually

pytestmark = pytest.mark.slow

PLACES = {"here": "supervisor", "far": "w1", "near": "w2"}


def test_garbage_of_all_kinds_is_dropped_and_counted(build: Build) -> None:
    system, running = three(build)
    chance = random.Random(0)
    topics = [b"far\0", b"here\0", b"near\0", b"_agency.nodes\0"]
    topics += [f"{data_address(node)}\0".encode() for node in nodes(system).values()]
    topics += [f"{control_address(node)}\0".encode() for node in nodes(system).values()]
    with Intruder(system.transport) as intruder:
        intruder.speak_http()
        for topic in topics:
            for body in (b"", b"\xc1", b"\0" * 27, frame(), frame(serializer="pickle")):
                intruder.send(topic, body)
            for _ in range(100):
                intruder.send(topic, chance.randbytes(chance.randrange(200)))
            intruder.send(topic)
            intruder.send(topic, frame(), b"more", b"and more")
        for parts in ((b"",), (b"", b""), (b"nobody\0", frame()), (b"\xff\xfe", b"x")):
            intruder.send(*parts)
        intruder.send(b"far\0", b"x" * (1 << 20))
        for node in ("supervisor", "w1", "w2"):
            dropped = eventually(
                lambda n=node: system.stats()[n]["dropped"], lambda seen: sum(seen.values()) > 200
            )
            assert dropped
    all_is_well(system, running)


def test_forged_signals_move_nobody(build: Build) -> None:
    system, running = three(build)
    ids = nodes(system)
    with Intruder(system.transport) as intruder:
        for number in range(50):
            stranger = Origin(os.urandom(8), number + 1)
            info = NodeInfo(stranger.node.hex(), stranger.generation, f"ghost-{number}", "worker")
            signals = [
                *(Left(node, 1, "forged", fenced=True) for node in ids.values()),
                Fenced("forged"),
                Refused(info, "forged"),
                Changed(info),
                Pong(1, {"far": ("CRASHED", 9)}, 9.0),
                Command(number, "stop", "far", 0),
                Ping(number, 0.0),
            ]
            for signal, node in itertools.product(signals, ids.values()):
                intruder.send(f"{control_address(node)}\0".encode(), encode(signal, stranger))
                intruder.send(f"{data_address(node)}\0".encode(), encode(signal, stranger))
            for signal in signals:
                intruder.send(f"{EVERYONE}\0".encode(), encode(signal, stranger))
                intruder.send(b"far\0", encode(signal, stranger))
    all_is_well(system, running)


def test_nodes_that_only_say_hello_are_forgotten_and_others_join_meanwhile(build: Build) -> None:
    system, running = three(build)
    with Intruder(system.transport) as intruder:
        for number in range(300):
            stranger = Origin(os.urandom(8), number)
            claimed = {1: "far", 2: "here"}.get(number % 10, f"ghost-{number}")
            info = NodeInfo(
                stranger.node.hex(),
                stranger.generation,
                f"ghost-{number}",
                ("worker", "primary", "client")[number % 3],
                {claimed: ("RUNNING", 0)},
                settled=bool(number % 2),
            )
            intruder.send(f"{EVERYONE}\0".encode(), encode(Hello(info, 0.0), stranger))
        running[1].signal(signal.SIGTERM)
        assert running[1].wait() == 0
        running[1:2] = system.run("w1")
        all_are_reached(system)
    system.stop(*running)


def test_forged_credit_and_numbers_take_nothing_from_a_stream(build: Build) -> None:
    system, running = three(build)
    ids = nodes(system)
    streaming = system.console("w2").begin("stream", {"to": "far", "until": "halt"})
    eventually((system.folder / "streaming").exists)
    with Intruder(system.transport) as intruder:
        for number in (0, 1, 300, 10**6, 2**63, 2**64 - 1):
            origin = Origin(os.urandom(8), 1)
            for node in ids.values():
                credit = encode(Credit("far", number), origin)
                intruder.send(f"{data_address(node)}\0".encode(), credit)
            last = envelope.header("msgpack", origin, kind=KIND_SYSTEM, number=number)
            intruder.send(b"far\0", last)
            intruder.send(b"far\0", envelope.header("msgpack", origin, number=number) + b"junk")
    (system.folder / "halt").touch()
    sent = streaming.outcome()["sent"]
    assert sent > 0
    assert system.console("w2").ask("far")
    all_is_well(system, running)


def test_a_subscriber_to_all_that_never_reads_holds_up_nobody(build: Build) -> None:
    system, running = three(build)
    with Intruder(system.transport, b"") as intruder:
        assert intruder.overhear()
        streaming = system.console("w2").begin("stream", {"to": "far", "until": "halt"})
        eventually(lambda: handled(system, "w1", "far") > 20_000)
        all_are_reached(system)
        (system.folder / "halt").touch()
        sent = streaming.outcome()["sent"]
        eventually(lambda: handled(system, "w1", "far") >= sent)
    all_is_well(system, running)


def test_an_oversized_message_costs_its_sender_the_connection_and_nobody_else(
    build: Build,
) -> None:
    system, running = three(build, max_message_bytes=100_000)
    with Intruder(system.transport) as intruder:
        intruder.send(b"far\0", b"x" * 1_000_000)
        all_are_reached(system)
    with pytest.raises(Exception, match="MessageTooLargeError"):
        system.console().begin("far", {"bytes": 200_000}, verb="size").outcome()
    all_is_well(system, running)


# --- the system they visit ----------------------------------------------------------------------


def three(build: Build, **options: object) -> tuple[System, list[Running]]:
    system = build(
        agent("here"),
        agent("far", "w1"),
        agent("near", "w2"),
        agent("stream", "w2", "Stream"),
        transport=options,
    )
    return system, system.run("supervisor", "w1", "w2")


def nodes(system: System) -> dict[str, str]:
    """Return the ids of the nodes by process."""
    return {process: node["node"] for process, node in system.stats().items()}


def handled(system: System, process: str, name: str) -> int:
    agents = system.stats()[process]["agents"]
    return next(each["handled"] for each in agents if each["name"] == name)


def frame(serializer: str = "msgpack") -> bytes:
    return envelope.seal(b"no message", serializer, Origin(os.urandom(8), 1))


def all_are_reached(system: System) -> None:
    pids = {process: system.console(process).pid for process in PLACES.values()}
    for console in PLACES.values():
        for name, place in PLACES.items():
            assert system.console(console).ask(name)["pid"] == pids[place]


def all_is_well(system: System, running: list[Running]) -> None:
    """See that all reach all, that nobody was restarted or taken for gone, and end in order."""
    all_are_reached(system)
    for process in running:
        for word in ("has gone", "crashed", "can't stay", "is lost", "Traceback"):
            assert not process.count(word), process.err
    system.stop(*running)
