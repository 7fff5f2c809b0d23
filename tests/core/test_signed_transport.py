"""SignedTransport: what it lets through to a handler, and what it says of the rest."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from civitas import AgentProcess, Runtime, Supervisor, envelope
from civitas import _platform as platform
from civitas._signing.settings import FORMER_NODE, NOT_AUTHENTICATED, REPLAYED
from civitas._signing.signatures import ClusterKey
from civitas.envelope import Origin
from civitas.errors import FrameError, MessageTooLargeError
from civitas.plugins import Capabilities, TransportContext
from civitas.transport import Dispatcher, Handler, InProcessTransport
from civitas.transport.signed_transport import LOG_PAUSE, SignedTransport
from support.ledger import Ledger

KEY = ClusterKey("the-key-of-a-cluster")
NODE = Origin(b"12345678", 1)
FRAME = envelope.seal(b"body", "json", NODE)


class Carrier(InProcessTransport):
    """Carries frames to other processes, it says."""

    capabilities = Capabilities(cross_process=True, max_message_bytes=1000)  # type: ignore[misc]


class DispatchingCarrier(Carrier):
    """Gives what is published to a Dispatcher, as transports with a socket do."""

    def __init__(self, lane_limit: int) -> None:
        super().__init__()
        self.drops: list[str] = []
        context = TransportContext(dropped=lambda reason, _frame: self.drops.append(reason))
        self._dispatcher = Dispatcher(context, lane_limit=lane_limit)

    async def subscribe(self, address: str, handler: Handler) -> None:
        self._dispatcher.subscribe(address, handler)

    async def publish(self, address: str, data: bytes) -> None:
        self._dispatcher.deliver(address, data)

    async def stop(self) -> None:
        await self._dispatcher.close(10.0)


class DurableCarrier(InProcessTransport):
    """Keeps frames, it says."""

    capabilities = Capabilities(cross_process=True, at_least_once=True)  # type: ignore[misc]


class Taker:
    """A handler that takes frames without waiting while it has room."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.has_room = True

    def take(self, frame: bytes) -> bool:
        if self.has_room:
            self.frames.append(frame)
        return self.has_room

    async def __call__(self, frame: bytes) -> None:
        self.frames.append(frame)


class Quiet(AgentProcess):
    """Does nothing."""


class Setup:
    """A signed transport with what it drops; `give` is what the carrier does with a frame."""

    def __init__(self, carrier: Any, *, probes_at: str = "") -> None:
        self.carrier = carrier
        self.drops: list[str] = []
        self.signed = SignedTransport(
            carrier,
            KEY,
            everything=True,
            probes_at=probes_at,
            dropped=lambda reason, _frame: self.drops.append(reason),
        )

    async def listen(self, address: str) -> Taker:
        """Subscribe a handler that can take frames."""
        await self.signed.subscribe(address, taker := Taker())
        return taker

    async def give(self, address: str, *frames: bytes) -> None:
        """Have frames arrive at an address."""
        for frame in frames:
            await self.carrier.publish(address, frame)


@pytest.fixture
async def setup() -> Setup:
    made = Setup(Carrier())
    await made.signed.start()
    return made


def signed(address: str, *counters: int) -> list[bytes]:
    return [KEY.at(address).sign(FRAME, counter) for counter in counters]


async def test_only_new_frames_with_the_key_reach_a_handler(setup: Setup) -> None:
    agent = await setup.listen("agent")
    await setup.give(
        "agent", *signed("agent", 5, 5, 4, 7), *signed("other", 8), FRAME, b"", b"\xc1"
    )
    assert agent.frames == [FRAME, FRAME]
    assert setup.drops == [REPLAYED] * 2 + [NOT_AUTHENTICATED] * 4


async def test_messages_to_an_agent_wait_for_a_probe_of_their_sender() -> None:
    setup = Setup(Carrier(), probes_at="_agency.data.")
    await setup.signed.start()
    agent = await setup.listen("agent")
    await setup.listen("_agency.data.me")
    await setup.give("agent", *signed("agent", 5))
    await setup.give("_agency.data.me", *signed("_agency.data.me", 6))
    await setup.give("agent", *signed("agent", 5, 7))
    assert agent.frames == [FRAME]
    assert setup.drops == [FORMER_NODE] * 2


class Stuck(Taker):
    """A handler without room, which ends with no frame until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.has_room = False
        self.may_end = asyncio.Event()

    async def __call__(self, frame: bytes) -> None:
        await self.may_end.wait()
        self.frames.append(frame)


async def test_frames_are_verified_before_they_wait_for_a_handler() -> None:
    carrier = DispatchingCarrier(lane_limit=4)
    setup = Setup(carrier)
    await setup.signed.start()
    await setup.signed.subscribe("agent", stuck := Stuck())
    first, second, third = signed("agent", 1, 2, 3)
    forged = [ClusterKey("another-key-of-one").at("agent").sign(FRAME, n) for n in range(10)]
    await setup.give("agent", first, *forged, second, first, second, third)
    assert setup.drops == [NOT_AUTHENTICATED] * 10 + [REPLAYED] * 2
    stuck.may_end.set()
    await carrier.stop()
    assert stuck.frames == [FRAME] * 3
    assert carrier.drops == []


async def test_a_durable_transport_hears_why_a_frame_can_never_be_read() -> None:
    setup = Setup(DurableCarrier())
    await setup.signed.start()
    heard: list[bytes] = []

    async def handler(frame: bytes) -> None:
        heard.append(frame)

    await setup.signed.subscribe("agent", handler)
    again = KEY.at("agent", attempt_may_change=True).sign(FRAME, 1)
    await setup.give("agent", again, envelope.with_attempt(again, 3))
    with pytest.raises(FrameError, match="it is not signed"):
        await setup.give("agent", FRAME)
    assert heard == [FRAME, envelope.with_attempt(FRAME, 3)]
    assert setup.drops == [NOT_AUTHENTICATED]


async def test_what_stays_in_the_process_is_not_signed_and_has_the_same_limit(setup: Setup) -> None:
    agent = await setup.listen("agent")
    await setup.signed.publish("agent", FRAME)
    assert agent.frames == [FRAME]
    with pytest.raises(MessageTooLargeError, match="without the 24 bytes of a signature"):
        await setup.signed.publish("agent", FRAME + bytes(1000 - 24))


async def test_refused_frames_are_logged_at_once_and_then_from_time_to_time(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    await setup.listen("agent")
    with platform.replaced(platform.Platform(monotonic=lambda: now)):
        await setup.give("agent", FRAME)
        now += LOG_PAUSE / 2
        await setup.give("agent", *[FRAME] * 3)
        now += LOG_PAUSE
        await setup.give("agent", ClusterKey("another-key-of-one").at("agent").sign(FRAME, 1))
    lines = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(lines) == 2
    assert "of node 3132333435363738: it is not signed" in lines[0]
    assert "another cluster_key" in lines[1]
    assert "(3 others since the last line)" in lines[1]


async def test_a_node_without_a_key_says_of_a_signed_message_what_it_lacks() -> None:
    reasons: list[str] = []
    async with Runtime(Supervisor("root", [Quiet("agent")])) as runtime:
        runtime.on_dead_letter(lambda _item, reason: reasons.append(reason))
        await runtime.components.transport.publish("agent", *signed("agent", 1))
        async with asyncio.timeout(10.0):
            while not reasons:
                await asyncio.sleep(0)
    assert reasons == ["unreadable frame-signed"]


async def test_what_waits_is_counted_by_the_transport_behind() -> None:
    counting = Ledger().transport()
    signed = SignedTransport(counting, KEY)
    await signed.start()
    await signed.publish("cook", FRAME)
    assert signed.backlog is not None
    assert await signed.backlog(["cook"]) == {"cook": 1}
    await signed.stop()
    assert SignedTransport(Carrier(), KEY).backlog is None
