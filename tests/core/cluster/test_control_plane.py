"""ControlPlane: a membership in a thread of its own, from any half-started state to its end."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from civitas._cluster.codec import decode, encode
from civitas._cluster.events import Evicted, NodeSeen, Received
from civitas._cluster.liveness import STALLED
from civitas._cluster.protocol import EVERYONE, Hello, Left, NodeInfo, control_address
from civitas.envelope import Origin
from civitas.errors import TransportError
from core.cluster.planes import DEADLINE, Wire, node, running, until


@pytest.fixture(params=[False, True], ids=["thread", "shared"])
def shared(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_two_planes_meet_and_tell_it_in_the_nodes_own_loop() -> None:
    wire = Wire()
    primary, worker = node(wire, 1, "primary"), node(wire, 2)
    async with running(primary, worker):
        await until(lambda: primary.heard(Received) and worker.heard(NodeSeen))
    assert primary.threads == worker.threads == {threading.current_thread()}
    assert primary.transport.thread is not threading.current_thread()


async def test_a_blocked_node_still_answers_pings_and_says_that_it_is_stalled() -> None:
    wire = Wire()
    primary, worker = node(wire, 1, "primary"), node(wire, 2)
    worker.beaten_at -= 2 * STALLED
    async with running(primary, worker):
        await until(lambda: worker.heard(NodeSeen) and primary.heard(Received))
        said = len(wire.said)
        blocked_until = time.monotonic() + DEADLINE
        pongs = control_address(primary.id)
        # This loop, which is that of both nodes, takes no turn; their planes talk nevertheless.
        while not any(to == pongs and b"Pong" in frame for to, frame in wire.said[said:]):
            assert time.monotonic() < blocked_until
        await until(lambda: primary.heard(Received)[-1].message.stalled > STALLED)


async def test_a_plane_stops_once_however_often_it_is_told() -> None:
    one = node(Wire())
    await one.plane.start()
    await asyncio.gather(one.plane.stop(), one.plane.stop())
    await one.plane.stop()
    assert one.transport.stops == 1


async def test_a_plane_that_was_never_started_stops_and_takes_calls() -> None:
    one = node(Wire())
    one.join()
    one.plane.link_up()
    await one.plane.stop()
    assert not one.events


async def test_a_plane_is_started_once() -> None:
    one = node(Wire())
    async with running(one):
        with pytest.raises(RuntimeError, match="started once"):
            await one.plane.start()


async def test_a_start_that_fails_says_why_and_leaves_nothing() -> None:
    one = node(Wire(), fails=TransportError("no broker"))
    with pytest.raises(TransportError, match="no broker"):
        await one.plane.start()
    await one.plane.stop()
    assert one.transport.stops == 1


async def test_a_stop_ends_a_start_that_does_not_come_to_an_end() -> None:
    one = node(Wire(), gate=threading.Event())
    starting = asyncio.create_task(one.plane.start())
    await until(lambda: one.transport.thread is not None)
    await one.plane.stop()
    await starting
    assert one.transport.stops == 1


async def test_a_start_that_is_cancelled_can_be_stopped() -> None:
    gate = threading.Event()
    one = node(Wire(), gate=gate, fails=TransportError("no broker"))
    starting = asyncio.create_task(one.plane.start())
    await until(lambda: one.transport.thread is not None)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    gate.set()
    await one.plane.stop()


async def test_calls_keep_their_order_whenever_they_are_posted(shared: bool) -> None:
    one = node(Wire(), shared=shared)
    done: list[int] = []
    if shared:
        await one.transport.start()

    def post(number: int) -> None:
        one.plane.post(lambda _members, _now: done.append(number))

    for number in range(10):
        post(number)
    starting = asyncio.create_task(one.plane.start())
    for number in range(10, 200):
        post(number)
        await asyncio.sleep(0)
    await starting
    post(200)
    await one.plane.stop()
    assert done == list(range(201))


async def test_calls_after_the_end_do_nothing(shared: bool) -> None:
    wire = Wire()
    one = node(wire, shared=shared)
    if shared:
        await one.transport.start()
    async with running(one):
        await until(lambda: wire.said)
        one.plane.post(lambda members, _now: members.leave("it stopped"))
    said = len(wire.said)
    one.plane.link_up()
    one.join()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(wire.said) == said


async def test_the_last_words_are_said_in_order_and_the_goodbye_is_the_last() -> None:
    wire = Wire()
    one = node(wire)
    async with running(one):
        await until(lambda: wire.said)
        for number in range(50):
            change = {f"other{number}": ("RUNNING", 0)}
            one.plane.post(lambda members, _now, change=change: members.announce(change))  # type: ignore[misc]
        one.plane.post(lambda members, _now: members.leave("it stopped"))
    frames = [frame for _, frame in wire.said]
    changes = [frame for frame in frames if b"Changed" in frame]
    assert [b"other%d" % n in frame for n, frame in enumerate(changes[-50:])] == [True] * 50
    assert b"Left" in frames[-1]


async def test_what_is_no_message_is_counted_and_the_next_one_is_heard() -> None:
    wire = Wire()
    one = node(wire)
    async with running(one):
        stranger = Origin(b"\x09" * 8, 1)
        hello = Hello(NodeInfo(stranger.node.hex(), 1, "late", "worker"), time.time(), b"nonce")
        one.transport.arrive(EVERYONE, b"garbage")
        one.transport.arrive(EVERYONE, encode(hello, stranger))
        at = control_address(stranger.node.hex())
        await until(lambda: any(address == at for address, _ in wire.said))
        (challenge,) = [decode(frame)[1] for address, frame in wire.said if address == at]
        proved = replace(hello, proof=challenge.cookie)
        one.transport.arrive(EVERYONE, encode(proved, stranger))
        await until(lambda: one.heard(NodeSeen))
    assert one.dropped == ["malformed system frame"]


async def test_a_node_without_a_thread_leaves_its_transport_to_those_who_started_it() -> None:
    one = node(Wire(), shared=True)
    await one.transport.start()
    async with running(one):
        pass
    assert one.transport.stops == 0
    assert one.transport.thread is threading.current_thread()


async def test_a_fenced_node_is_told_by_whoever_declared_it_dead() -> None:
    wire = Wire()
    primary, worker = node(wire, 1, "primary"), node(wire, 2)
    async with running(primary, worker):
        await until(lambda: worker.heard(NodeSeen))
        left = Left(worker.id, 1, "no answer", fenced=True)
        for end in wire.ends:
            end.arrive(EVERYONE, encode(left, primary.origin))
        await until(lambda: worker.heard(Evicted))
    assert worker.heard(Evicted) == [Evicted("no answer", fenced=True)]
