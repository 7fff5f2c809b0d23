"""Batches of kept messages lose nothing, whatever ends them and whatever the network loses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from civitas import envelope
from civitas.plugins import TransportContext
from civitas.testing.simulation.dead_letter_store import SimulatedDeadLetterStore
from civitas.testing.simulation.network import Conditions, SimulatedNetwork
from civitas.testing.simulation.stream_server import DurabilitySettings, StreamServer
from civitas.transport import Kept, KeptMessage, Selection
from civitas.transport.dead_letters.batch import BatchResult, Target, return_all, snapshot
from civitas.transport.dead_letters.reader import MessageReader
from conformance.test_simulation import RealProcess, RealTime
from support.dead_letters import frame_of
from support.ledger import Ledger, LedgerStore

TO_COOK = Target(MessageReader(), "cook")
WAITING = Selection(Kept.WAITING, "cook_2")


def nothing(_: int) -> None:
    """Show no progress."""


async def filled(count: int) -> tuple[Ledger, LedgerStore]:
    ledger = Ledger()
    for n in range(count):
        ledger.keep("cook_2", frame_of({"n": n}))
    store = LedgerStore(ledger)
    await store.start()
    return ledger, store


def as_published(frames: list[bytes]) -> list[bytes]:
    return [envelope.with_attempt(frame, 0) for frame in frames]


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_batch_that_is_cancelled_ends_between_two_messages(turns):
    ledger, store = await filled(10)
    frames = as_published(ledger.kept("cook_2"))
    result = BatchResult()
    work = return_all(store, await snapshot(store, WAITING), TO_COOK, result, nothing)
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    moved, left = ledger.kept("cook"), as_published(ledger.kept("cook_2"))
    assert moved + left == frames
    assert len(moved) == result.done


async def test_what_comes_meanwhile_does_not_belong_to_a_batch():
    """Else a message that its agent fails on once more would go back and forth for ever."""
    ledger, store = await filled(3)
    chosen = await snapshot(store, WAITING)

    def comes_again(_: int) -> None:
        ledger.keep("cook_2", frame_of({"n": "late"}))

    result = BatchResult()
    await return_all(store, chosen, TO_COOK, result, comes_again)
    assert (chosen.count, result.done, len(ledger.kept("cook_2"))) == (3, 3, 3)


async def test_each_message_and_each_target_has_a_key_of_its_own():
    keys: list[str] = []

    class Noting(LedgerStore):
        async def add(self, agent: str, frame: bytes, key: str) -> None:
            keys.append(key)

        async def remove(self, message: KeptMessage) -> None:
            """Fail to, as after a crash."""

    ledger, _ = await filled(3)
    store = Noting(ledger)
    await store.start()
    for agent in ("cook", "waiter", "cook"):
        target = TO_COOK._replace(agent=agent)
        await return_all(store, await snapshot(store, WAITING), target, BatchResult(), nothing)
    assert len(set(keys)) == 6
    assert keys[:3] == keys[6:], "the same step once more has another key"


@pytest.fixture
def lossy(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[StreamServer, object]]:
    monkeypatch.setattr("civitas.testing.simulation.server_calls._ATTEMPT", 0.02)

    def make() -> tuple[StreamServer, SimulatedDeadLetterStore]:
        network = SimulatedNetwork(RealTime(), Conditions(delay=(0.0, 0.002), spike=0.0, loss=0.3))
        server = StreamServer(network, DurabilitySettings())
        process = RealProcess("command")
        return server, SimulatedDeadLetterStore(network, server, process, TransportContext(), 1)

    return make


async def test_over_a_network_that_loses_every_third_frame_all_are_moved_once_in_order(lossy):
    server, store = lossy()
    frames = [frame_of({"n": n}) for n in range(20)]
    for number, frame in enumerate(frames):
        server.store("cook_2", number, frame)
    await store.start()
    result = BatchResult()
    await return_all(store, await snapshot(store, WAITING), TO_COOK, result, nothing)
    await store.stop()
    moved = [(each.agent, each.frame) for each in server.messages(Kept.WAITING)]
    assert moved == [("cook", frame) for frame in as_published(frames)]
    assert result.done == 20
