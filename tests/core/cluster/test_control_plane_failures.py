"""ControlPlane: what fails in it, or keeps a thread at work, is reported and holds up nobody."""

from __future__ import annotations

import asyncio
import threading

import pytest

from civitas._cluster.events import Event
from civitas._cluster.membership import Membership
from core.cluster.planes import PlaneNode, Wire, node, running, until


@pytest.fixture(params=[False, True], ids=["thread", "shared"])
def shared(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class PanicError(BaseException):
    """What a library raises that wants to end the process."""


DEFECTS = pytest.mark.parametrize("kind", [ValueError, SystemExit, PanicError])


@DEFECTS
async def test_a_plane_that_fails_later_says_so_and_can_be_stopped(
    kind: type[BaseException],
) -> None:
    one = node(Wire())

    def broken(now: float) -> None:
        raise kind("a defect")

    async with running(one):
        one.made[0].tick = broken  # type: ignore[method-assign]
        await until(lambda: one.failures)
    # The first tick is the plane's own; a later one is a callback of its loop.
    assert str(one.failures[0]).startswith("'civitas control")
    assert f"has ended unexpectedly: {kind.__name__}: a defect" in str(one.failures[0])
    assert one.transport.stops == 1


@DEFECTS
async def test_a_call_that_fails_in_the_membership_is_reported(
    shared: bool, kind: type[BaseException]
) -> None:
    one = node(Wire(), shared=shared)
    if shared:
        await one.transport.start()

    def broken(members: Membership, now: float) -> None:
        raise kind("a defect")

    async with running(one):
        one.plane.post(broken)
        await until(lambda: one.failures)
    assert f"{kind.__name__}: a defect" in str(one.failures[0])


@DEFECTS
async def test_an_event_that_fails_in_the_node_is_reported(kind: type[BaseException]) -> None:
    wire = Wire()
    primary, worker = node(wire, 1, "primary"), node(wire, 2)

    def broken(event: Event) -> None:
        raise kind("a defect")

    worker.told = broken
    async with running(primary, worker):
        await until(lambda: worker.failures)
    assert "civitas control events" in str(worker.failures[0])
    assert primary.failures == []


@DEFECTS
async def test_whatever_a_transport_raises_at_the_start_is_raised_there(
    kind: type[BaseException],
) -> None:
    one = node(Wire(), fails=kind("a defect"))
    with pytest.raises(Exception, match="a defect"):
        await one.plane.start()
    await one.plane.stop()
    assert one.failures == []


async def test_a_stop_does_not_hold_up_the_loop_for_a_thread_that_the_transport_has_left() -> None:
    one = node(Wire())
    finish = threading.Event()
    async with running(one):
        one.plane.post(
            lambda _members, _now: asyncio.get_running_loop().run_in_executor(None, finish.wait)
        )
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        turning = asyncio.create_task(turn())
        await one.plane.stop()
        assert turns > 10  # it waited, and the loop ran
        turning.cancel()
        finish.set()


async def test_a_loop_that_ends_without_a_stop_takes_the_plane_along() -> None:
    transport = Wire().end()

    async def forget_to_stop() -> None:
        await PlaneNode(transport, 1, "primary", shared=False).plane.start()

    await asyncio.to_thread(asyncio.run, forget_to_stop())
    await until(lambda: transport.stops == 1)
    assert transport.thread is not None
    await until(lambda: not transport.thread.is_alive())  # type: ignore[union-attr]
