"""DataPlane: what is on its way to an agent that takes no more is accounted for, somewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from civitas import envelope
from civitas._bus.mailbox import Mailbox
from civitas._cluster.codec import DATA, decode
from civitas._cluster.events import NodeLost
from civitas._cluster.leaving import ALL, TIMEOUT
from civitas._cluster.protocol import (
    Credit,
    DataMessage,
    Ended,
    LastNumber,
    Leaving,
    Probe,
    ProbeAnswer,
    data_address,
)
from civitas.envelope import KIND_SYSTEM
from civitas.errors import MessageRoutingError
from core.cluster.test_data_plane import THERE, Here, frame, info
from support.routing import LONG, started, turns


class Said:
    """What a node says to another by its data transport, and at the address of agent "a" there."""

    def __init__(self, here: Here) -> None:
        self.messages: list[DataMessage] = []
        self.last_numbers: list[int] = []
        self._here = here

    async def take(self) -> list[DataMessage]:
        """Return what was said since the last time, but for probes."""
        await turns()
        said = [each for each in self.messages if type(each).__name__[:5] != "Probe"]
        self.messages.clear()
        return said

    async def hear(self, data: bytes) -> None:
        self.messages.append(decode(data, DATA)[1])

    async def hear_last_number(self, data: bytes) -> None:
        opened = envelope.open(data)
        assert opened.kind == KIND_SYSTEM
        self.last_numbers.append(opened.number)


@asynccontextmanager
async def talking(here: Here) -> AsyncIterator[Said]:
    said, transport = Said(here), here.bus.transport
    await transport.start()
    await transport.subscribe(data_address(THERE), said.hear)
    await transport.subscribe("a", said.hear_last_number)
    await here.plane.probes.start()
    await turns()
    try:
        yield said
    finally:
        await here.plane.probes.stop()
        await transport.stop()


async def send(here: Here, agent: str, count: int) -> None:
    for _ in range(count):
        await (await here.bus.routes.find(agent, LONG)).number(LONG)


@pytest.mark.parametrize("who", [ALL, "a"])
async def test_who_is_told_that_an_agent_leaves_sends_no_more_and_tells_its_last_number(
    who: str,
) -> None:
    here = Here().meet(info(THERE, "a", "idle"))
    async with talking(here) as said:
        await send(here, "a", 3)
        await said.take()
        here.hear(THERE, Leaving(who))
        assert await said.take() == [LastNumber("a", 3), Ended(who)]
        assert said.last_numbers == [3]
        assert here.node_of("a") is None
        assert (here.node_of("idle") is None) == (who == ALL)
        with pytest.raises(MessageRoutingError, match="takes no more"):
            await here.bus.routes.find("a", LONG)
        here.hear(THERE, Credit("a", 3))
        here.hear(THERE, Leaving(who))
        assert await said.take() == [Ended(who)]


async def test_a_node_that_was_never_sent_to_hears_so_too() -> None:
    here = Here()
    async with talking(here) as said:
        here.hear(THERE, Leaving(ALL))
        assert await said.take() == [Ended(ALL)]


@pytest.mark.parametrize("who", [ALL, "a"])
async def test_an_announcement_that_is_older_opens_no_route_to_who_has_left(who: str) -> None:
    here = Here().meet(info(THERE, "a"))
    here.hear(THERE, Leaving(who))
    here.plane.node_seen(info(THERE, "a", "b"))
    assert here.node_of("a") is None
    assert (here.node_of("b") is None) == (who == ALL)


async def test_the_last_number_is_told_again_until_all_is_accounted_for() -> None:
    here = Here().meet(info(THERE, "a"))
    async with talking(here) as said:
        await send(here, "a", 2)
        here.plane.node_seen(replace(info(THERE), agents={"a": ("STOPPED", 0)}))
        await said.take()
        for _ in range(2):
            here.plane.ask_for_credit()
            assert await said.take() == [LastNumber("a", 2)]
        here.hear(THERE, Credit("a", 2))
        here.plane.ask_for_credit()
        assert await said.take() == []


@pytest.mark.parametrize("died", [False, True])
async def test_what_is_open_when_a_node_goes_is_counted_as_lost_here_and_logged(
    died: bool, caplog: pytest.LogCaptureFixture
) -> None:
    here = Here().meet(info(THERE, "a", "b"))
    await send(here, "a", 3)
    await send(here, "b", 1)
    here.hear(THERE, Credit("a", 1))
    if not died:
        here.hear(THERE, Leaving(ALL))
    with caplog.at_level("WARNING", "civitas.node"):
        here.plane.node_lost(NodeLost(info(THERE), "it has gone", died=died))
    assert here.bus.accounting is not None
    assert here.bus.accounting.lost == {"a": 2, "b": 1}
    assert "what became of 2 messages is not known" in caplog.text


async def test_to_a_node_that_was_only_silent_all_numbers_go_on() -> None:
    here = Here().meet(info(THERE, "a", "b"))
    assert here.bus.accounting is not None
    async with talking(here) as said:
        await send(here, "a", 3)
        await send(here, "b", 2)
        here.hear(THERE, Credit("b", 2))
        here.plane.node_lost(NodeLost(info(THERE), "silent", died=True, final=False))
        assert not here.bus.accounting.lost
        with pytest.raises(MessageRoutingError, match="silent"):
            await here.bus.routes.find("a", LONG)
        said.messages.clear()
        here.plane.node_seen(info(THERE, "a", "b"))
        await turns()
        assert Probe(fresh=False) in said.messages
        here.hear(THERE, ProbeAnswer())
        assert [await here.bus.routes.get(name).number(LONG) for name in ("a", "b")] == [4, 3]
        here.hear(THERE, Credit("a", 4))
        here.plane.node_lost(NodeLost(info(THERE), "dead", died=True))
        assert here.bus.accounting.lost == {"b": 1}


@pytest.mark.parametrize("how", ["given up", "forgotten", "this node stops"])
async def test_what_is_open_to_a_silent_node_that_never_comes_back_is_lost(how: str) -> None:
    here = Here().meet(info(THERE, "a"))
    await send(here, "a", 3)
    here.plane.node_lost(NodeLost(info(THERE), "silent", died=True, final=False))
    if how == "given up":
        here.plane.node_lost(NodeLost(info(THERE), "superseded", died=True))
    elif how == "forgotten":
        for number in range(1, 17):
            other = info(f"{number:016x}")
            here.meet(other)
            here.plane.node_lost(NodeLost(other, "silent", died=True, final=False))
    else:
        here.plane.close(())
    assert here.bus.accounting is not None
    assert here.bus.accounting.lost == {"a": 3}
    assert here.bus.accounting.unknown == 3


async def test_what_comes_too_late_for_an_agent_that_has_left_is_counted_as_lost() -> None:
    here = Here().meet(info(THERE))
    await here.bus.attach(Mailbox("mine"))
    accounting = here.bus.accounting
    assert accounting is not None
    async with talking(here) as said:
        accounting.arrived(frame(THERE, number=1), 1, "mine")
        leaving = await started(here.plane.leave("mine"))
        assert await said.take() == [Leaving("mine")]
        here.hear(THERE, Ended("mine"))
        await asyncio.wait_for(leaving, LONG)
        here.hear(THERE, LastNumber("mine", 4))
        assert accounting.lost == {"mine": 3}
        assert await said.take() == [Credit("mine", 4)]
        here.hear(THERE, LastNumber("never heard of", 4))
        assert accounting.lost == {"mine": 3}
        assert await said.take() == []


async def test_an_agent_leaves_when_what_was_on_its_way_has_come() -> None:
    here = Here().meet(info(THERE))
    mailbox: Mailbox[bytes] = Mailbox("mine")
    accounting = here.bus.accounting
    assert accounting is not None
    async with talking(here) as said:
        await here.bus.attach(mailbox)
        here.bus.on_detach = here.plane.leave
        detaching = await started(here.bus.detach("mine"))
        assert await said.take() == [Leaving("mine")]
        here.hear(THERE, LastNumber("mine", 1))
        here.hear(THERE, Ended("mine"))
        await turns()
        assert not detaching.done()
        await here.bus.transport.publish("mine", frame_of_a_message(1))
        await here.bus.transport.publish("mine", frame(THERE, number=1))
        await asyncio.wait_for(detaching, TIMEOUT / 2)
        assert mailbox.pending == 1
        assert not accounting.lost
        assert await said.take() == [Credit("mine", 1)]


def frame_of_a_message(number: int) -> bytes:
    sent = envelope.Origin(bytes.fromhex(THERE), 1)
    return envelope.seal(b"", "msgpack", sent, number=number)


async def test_of_a_durable_transport_nobody_is_asked_for_last_numbers() -> None:
    here = Here(windowed=False).meet(info(THERE))
    async with talking(here) as said:
        await here.plane.leave(ALL)
        assert await said.take() == []


async def test_last_numbers_of_strangers_and_for_nobody_hold_up_no_stop() -> None:
    here = Here().meet(info(THERE))
    await here.bus.attach(Mailbox("mine"))
    leaving = await started(here.plane.leave(ALL))
    here.hear("77" * 8, LastNumber("mine", 4))
    here.hear(THERE, LastNumber("nobody", 4))
    here.hear(THERE, Ended(ALL))
    await turns()
    assert leaving.done()


async def test_who_has_been_silent_once_is_not_waited_for_again_until_it_is_heard() -> None:
    here = Here().meet(info(THERE))
    async with talking(here) as said:
        for name in ("first", "second", "third"):
            await here.bus.attach(Mailbox(name))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await here.plane.leave("first")
        assert loop.time() - began >= TIMEOUT
        await asyncio.wait_for(here.plane.leave("second"), TIMEOUT / 2)
        await said.take()
        here.hear(THERE, ProbeAnswer())
        leaving = await started(here.plane.leave("third"))
        assert await said.take() == [Leaving("third")]
        here.hear(THERE, Ended("third"))
        await asyncio.wait_for(leaving, TIMEOUT / 2)


async def test_a_node_that_stops_counts_what_nobody_has_confirmed() -> None:
    here = Here().meet(info(THERE, "a"), info("55" * 8, "b"))
    await send(here, "a", 3)
    await send(here, "b", 2)
    here.plane.close([THERE])
    assert here.bus.accounting is not None
    assert here.bus.accounting.lost == {"b": 2}


async def test_a_route_to_a_successor_outlives_the_silence_of_the_node_before_it() -> None:
    here = Here().meet(info(THERE, "a"))
    await send(here, "a", 1)
    here.hear(THERE, Leaving(ALL))
    here.meet(info("55" * 8, "a"))
    here.plane.node_lost(NodeLost(info(THERE), "silent", died=True, final=False))
    assert here.node_of("a") == "55" * 8
    here.plane.node_lost(NodeLost(info(THERE), "superseded", died=True))
    assert here.node_of("a") == "55" * 8


async def test_who_waits_for_all_to_be_accounted_for_does_so_across_a_silence() -> None:
    here = Here().meet(info(THERE, "a"))
    await send(here, "a", 2)
    delivered = await started(here.bus.routes.delivered("a"))
    here.plane.node_lost(NodeLost(info(THERE), "silent", died=True, final=False))
    here.meet(info(THERE, "a"))
    await turns()
    assert not delivered.done()
    here.hear(THERE, Credit("a", 2))
    await turns()
    assert delivered.done()
