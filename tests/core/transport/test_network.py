"""What a NetworkTransport does around the network of its subclass."""

from __future__ import annotations

import asyncio

import pytest

from civitas.errors import (
    MessageTooLargeError,
    MessageValidationError,
    NotConnectedError,
    TransportError,
)
from civitas.plugins import Capabilities
from civitas.transport import NetworkTransport
from support.nats.nodes import Agent, frame_of

LIMIT = 1_000
DEFECTS = [ValueError, SystemExit, asyncio.CancelledError]


class Recorded(NetworkTransport):
    """A transport whose network notes what it is asked for, and fails where it is told to.

    Attributes:
        calls: the methods that were called, each with its address.
        fails: for the name of a method, what it raises.
        closing: how many calls of `close` are under way.
    """

    def __init__(self) -> None:
        super().__init__("recorded", Capabilities(max_message_bytes=LIMIT), linger=5)
        self.calls: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.closing = 0

    async def open(self) -> None:
        self._note("open", *sorted(each for each in self.dispatcher.addresses() if each[0] != "_"))

    async def close(self) -> None:
        self._note("close")
        self.closing += 1
        assert self.closing == 1
        await asyncio.sleep(0.01)
        self.closing -= 1

    async def listen(self, address: str) -> None:
        self._note("listen", address)

    async def forget(self, address: str) -> None:
        self._note("forget", address)

    async def send(self, address: str, frame: bytes) -> None:
        self._note("send", address)

    async def prove(self) -> None:
        self._note("prove")

    async def settle(self) -> None:
        self._note("settle")

    def _note(self, method: str, *arguments: str) -> None:
        self.calls.append(" ".join((method, *arguments)))
        if method in self.fails:
            raise self.fails[method]


async def test_the_network_is_asked_for_what_has_handlers() -> None:
    transport = Recorded()
    await transport.subscribe("before", Agent())
    await transport.start()
    await transport.start()
    await transport.subscribe("after", Agent())
    for _ in range(2):
        await transport.subscribe("_agency.news", Agent())
    with pytest.raises(TransportError, match="owner"):
        await transport.subscribe("after", Agent())
    await transport.publish("far", frame_of())
    await transport.publish("after", frame_of())
    await transport.publish("_agency.news", frame_of())
    await transport.wait_ready()
    await transport.unsubscribe("after")
    await transport.unsubscribe("after")
    await transport.stop()
    await transport.subscribe("later", Agent())
    assert transport.calls == [
        *("open before", "listen after", "listen _agency.news"),
        *("send far", "send _agency.news", "prove", "forget after", "settle", "close"),
    ]


async def test_what_can_be_handed_over_without_waiting_is_not_sent_besides() -> None:
    offered: list[str] = []

    def offer(address: str, frame: bytes) -> bool:
        offered.append(address)
        return address == "soon"

    transport = Recorded()
    transport.offer = offer
    await transport.start()
    await transport.publish("soon", frame_of())
    await transport.publish("late", frame_of())
    assert offered == ["soon", "late"]
    assert transport.calls == ["open", "send late"]
    with pytest.raises(MessageTooLargeError):
        await transport.publish("soon", bytes(LIMIT + 1))
    await transport.stop()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_nothing_is_asked_of_a_network_that_is_not_open(when: str) -> None:
    transport = Recorded()
    if when == "after":
        await transport.start()
        await transport.stop()
        transport.calls.clear()
    await transport.subscribe("a", Agent())
    await transport.unsubscribe("a")
    for work in (
        transport.publish("far", frame_of()),
        transport.request("far", frame_of(), 1),
        transport.wait_ready(),
    ):
        with pytest.raises(NotConnectedError, match="the recorded transport is not started"):
            await work
    assert transport.calls == []


@pytest.mark.parametrize("defect", DEFECTS)
async def test_an_open_that_fails_is_closed_once_and_may_be_tried_again(
    defect: type[BaseException],
) -> None:
    transport = Recorded()
    transport.fails["open"] = defect("on purpose")
    with pytest.raises(defect, match="on purpose"):
        await transport.start()
    assert transport.calls == ["open", "close"]
    transport.fails.clear()
    await transport.start()
    await transport.publish("far", frame_of())
    await transport.stop()
    assert transport.calls[2:] == ["open", "send far", "settle", "close"]


async def test_stops_that_come_together_close_one_after_the_other() -> None:
    transport = Recorded()
    await transport.start()
    await asyncio.gather(*(transport.stop() for _ in range(3)))
    assert transport.closing == 0


@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_stop_closes_whatever_hinders_it_before(defect: type[BaseException]) -> None:
    transport = Recorded()
    await transport.start()
    transport.fails["settle"] = defect("on purpose")
    with pytest.raises(defect, match="on purpose"):
        await transport.stop()
    assert transport.calls[-1] == "close"


async def test_a_stop_that_is_cancelled_while_a_handler_ends_closes() -> None:
    async def never(_: bytes) -> None:
        await asyncio.Event().wait()

    transport = Recorded()
    await transport.subscribe("a", never)
    await transport.start()
    transport.dispatcher.deliver("a", frame_of())
    stopping = asyncio.ensure_future(transport.stop())
    while "settle" not in transport.calls:
        await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait((stopping,))
    assert stopping.cancelled()
    assert transport.calls[-1] == "close"


async def test_an_address_is_free_again_though_the_network_could_not_be_told() -> None:
    transport = Recorded()
    await transport.start()
    await transport.subscribe("a", Agent())
    transport.fails["forget"] = MessageValidationError("on purpose")
    with pytest.raises(MessageValidationError):
        await transport.unsubscribe("a")
    await transport.subscribe("a", Agent())
    await transport.stop()
