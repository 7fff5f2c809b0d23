"""What is promised by a transport that is at-least-once: each frame is kept until it is processed.

Its handlers are those of `civitas.transport.Handler`: how they end says what becomes of a frame.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Final

import pytest

from civitas import envelope
from civitas.errors import (
    DeserializationError,
    FrameError,
    MessageRoutingError,
    ProcessingError,
    TransportError,
)
from civitas.messages import RESERVED_PREFIX
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.testing.suite import for_claim
from civitas.transport import Handler, Transport

_POISON: Final = b"poison"
_SYSTEM: Final = f"{RESERVED_PREFIX}conformance"
_NAMES: Final = ("cook", "Cook", "cook_2", "cook.2", "köchin")
"""Names of agents that a count must not take for one another."""

_PAUSE: Final = 0.01
"""Seconds between two counts."""


class DurabilityBehaviours(Behaviours):
    """From `publish` to the end of the handler, and over the end of a transport."""

    @for_claim("at_least_once", probe=True)
    @behaviour
    async def test_a_failed_frame_is_given_again_before_the_next(self, network: Network) -> None:
        """After ProcessingError the frame comes again, its attempt raised, then the next frame.

        If this fails: the error is taken for an acknowledgement; or later frames are handed over
        while one waits for its next delivery; or `envelope.with_attempt` is not called; or the
        delay is longer than `patience`: make the transport with a short one here.
        """
        sender, receiver = await network.pair()
        inbox = await _subscribe(network, receiver, [_failure()])
        frames = await _publish(network, sender, _POISON, b"next")
        arrived = await inbox.including(frames[-1])
        expected = [frames[0], frames[0], frames[1]]
        assert _as_published(arrived) == expected, "it was not given again, then the next one"
        assert _attempts(arrived) == [0, 1, 0], "the attempts are not the earlier deliveries"

    @for_claim("at_least_once")
    @behaviour
    async def test_a_frame_that_fails_for_ever_is_given_up(self, network: Network) -> None:
        """After its last delivery a frame that always fails is put aside, and the next one comes.

        If this fails: there is no limit of deliveries; or it is larger than what `patience` has
        time for: make the transport with a small one, and a short delay, here.
        """
        sender, receiver = await network.pair()
        inbox = await _subscribe(network, receiver, _failure())
        frames = await _publish(network, sender, _POISON, b"next")
        poison = (await inbox.including(frames[-1]))[:-1]
        assert set(_as_published(poison)) == {frames[0]}, "the next frame did not wait for its turn"
        assert _attempts(poison) == list(range(len(poison))), "deliveries were not counted"

    @for_claim("at_least_once")
    @behaviour
    async def test_what_was_not_executed_is_given_again_uncounted(self, network: Network) -> None:
        """After any other error the frame comes again as it was, before the next one.

        If this fails: the delivery is counted, though no agent has executed the frame; or the
        error is taken for an acknowledgement.
        """
        sender, receiver = await network.pair()
        errors = [MessageRoutingError("it has stopped"), RuntimeError("on purpose")]
        inbox = await _subscribe(network, receiver, errors)
        frames = await _publish(network, sender, _POISON, b"next")
        arrived = await inbox.including(frames[-1])
        expected = [frames[0]] * 3 + [frames[1]]
        assert _as_published(arrived) == expected, "it was not given again, then the next one"
        assert _attempts(arrived) == [0] * 4, "a delivery was counted that came to nothing"

    @for_claim("at_least_once")
    @behaviour
    async def test_what_can_not_be_read_is_not_given_again(self, network: Network) -> None:
        """After FrameError or DeserializationError the next frame comes, and the frame never again.

        If this fails: every error gives the frame back, so what no agent can read comes for ever.
        """
        sender, receiver = await network.pair()
        errors = [FrameError("on purpose"), DeserializationError("on purpose")]
        inbox = await _subscribe(network, receiver, errors)
        frames = await _publish(network, sender, _POISON, b"other " + _POISON, b"next")
        arrived = await inbox.including(frames[-1])
        assert arrived == frames, "a frame came again that can't be read"

    @for_claim("at_least_once")
    @behaviour
    async def test_a_frame_in_hand_is_not_acknowledged(self, network: Network) -> None:
        """A frame whose handler has not returned when its transport stops is given to the next.

        If this fails: the frame is acknowledged when it arrives, or when the handler is called; or
        `stop` keeps it: end the handler and give the frame back.
        """
        first = await network.start()
        frame = await _stand_still(network, first)
        await network.stop(first, "stop() while a handler has a frame in hand")
        [inbox] = await network.listen(await network.start(), "worker")
        arrived = await inbox.first()
        assert _as_published(arrived) == [frame], "another frame came"

    @for_claim("at_least_once")
    @behaviour
    async def test_unsubscribe_gives_back_what_is_in_hand(self, network: Network) -> None:
        """A frame whose handler has not returned at `unsubscribe` is given to the next subscriber.

        If this fails: `unsubscribe` waits for the handler, which may never return, or acknowledges
        what it has. A transport may offer no `unsubscribe`.
        """
        transport = await network.start()
        unsubscribe = getattr(transport, "unsubscribe", None)
        if unsubscribe is None:
            pytest.skip("this transport offers no unsubscribe")
        frame = await _stand_still(network, transport)
        await network.within(unsubscribe("worker"), "unsubscribe() while a handler has a frame")
        [inbox] = await network.listen(transport, "worker")
        arrived = await inbox.first()
        assert _as_published(arrived) == [frame], "another frame came"

    @for_claim("at_least_once")
    @behaviour
    async def test_a_processed_frame_does_not_come_again(self, network: Network) -> None:
        """A frame whose handler has returned is not given to a later transport.

        If this fails: acknowledgements are collected, and those that wait are forgotten at `stop`.
        """
        first = await network.start()
        [before] = await network.listen(first, "worker")
        processed = await _publish(network, first, b"one", b"two", b"three")
        await before.first(len(processed))
        await network.stop(first)
        second = await network.start()
        [inbox] = await network.listen(second, "worker")
        fence = await _publish(network, second, b"fence")
        assert await inbox.including(fence[0]) == fence, "a processed frame came again"

    @for_claim("at_least_once")
    @behaviour
    async def test_a_frame_for_nobody_is_kept(self, network: Network) -> None:
        """Frames for an agent's address without a subscriber come, in order, to the first one.

        If this fails: what is kept for an address begins with its first subscription; or the
        broker's "nobody is there" comes out of `publish`.
        """
        sender, receiver = await network.pair()
        frames = await _publish(network, sender, b"one", b"two", b"three")
        [inbox] = await network.listen(receiver, "worker")
        assert await inbox.first(len(frames)) == frames, "not what was published to nobody"

    @for_claim("at_least_once")
    @behaviour
    async def test_what_waits_is_counted(self, network: Network, counts_backlog: object) -> None:
        """`backlog` counts what is kept for each address, read or not, in hand or not; all stays.

        If this fails: it counts what has a reader, or what a reader has not been given yet; or a
        name stands for others, too; or what is counted is taken.
        """
        sender, receiver = await network.pair()
        expected = dict(zip(_NAMES, itertools.count(1), strict=False))
        frames = {name: await _send(network, sender, name, n) for name, n in expected.items()}
        assert await _backlog(network, sender, *_NAMES, "nobody") == expected, "for no reader"
        await _stand_still(network, receiver)
        expected["worker"] = 1 + len(await _publish(network, sender, b"one", b"two"))
        assert await _backlog(network, sender, *expected) == expected, "with one in hand"
        assert await _backlog(network, sender, "worker") == {"worker": 3}, "for one address"
        [inbox] = await network.listen(receiver, "cook_2")
        assert await inbox.first(expected["cook_2"]) == frames["cook_2"], "counting has taken some"
        del expected["cook_2"]

        async def processed() -> None:
            while await _backlog(network, sender, *_NAMES, "worker") != expected:  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE)  # nobody would set an event

        await network.within(processed(), "the backlog without what was processed")
        await network.stop(sender)
        late = sender.backlog(["worker"])  # type: ignore[attr-defined]
        await network.refused(late, TransportError, "backlog() after stop()")

    @for_claim("at_least_once")
    @behaviour
    async def test_system_frames_are_not_kept(self, network: Network) -> None:
        """A frame for a system address without a subscriber is gone.

        If this fails: system addresses are kept like those of agents, so that a node that starts
        hears what was said before its time.
        """
        sender, receiver = await network.pair()
        early = sender.publish(_SYSTEM, network.frame(b"early"))
        await network.refused_or_silent(early, MessageRoutingError, f"publish to {_SYSTEM!r}")
        await network.ready()  # a proof that passes on the way that the early one went
        [inbox] = await network.listen(receiver, _SYSTEM)
        fence = network.frame(b"fence")
        await sender.publish(_SYSTEM, fence)
        assert await inbox.including(fence) == [fence], "a system frame was kept"


async def _send(network: Network, sender: Transport, address: str, count: int) -> list[bytes]:
    frames = [network.frame(b"%d" % n) for n in range(count)]
    for frame in frames:
        await network.within(sender.publish(address, frame), "publish()")
    return frames


async def _backlog(network: Network, transport: Transport, *addresses: str) -> dict[str, int]:
    """Return what is counted for these addresses, without those that have nothing."""
    count = getattr(transport, "backlog", None)
    assert count is not None, "there is a fixture `counts_backlog`, and no method `backlog`"
    found = await network.within(count(list(addresses)), "backlog()")
    assert found.keys() <= set(addresses), f"counted for addresses not asked for: {found}"
    return {address: number for address, number in found.items() if number}


def _failure() -> ProcessingError:
    return ProcessingError("worker", "ValueError", "on purpose")


def _raising(inbox: Arrivals, errors: Exception | Sequence[Exception]) -> Handler:
    """Return a handler that notes what comes, and raises for poison: each error once, or always."""
    left = list(errors) if isinstance(errors, Sequence) else None

    async def handle(frame: bytes) -> None:
        await inbox.put(frame)
        if not frame.endswith(_POISON):
            return
        if left is None:
            assert isinstance(errors, Exception)
            raise errors
        if left:
            raise left.pop(0)

    return handle


async def _subscribe(
    network: Network, receiver: Transport, errors: Exception | Sequence[Exception]
) -> Arrivals:
    inbox = Arrivals("worker", network)
    await network.within(receiver.subscribe("worker", _raising(inbox, errors)), "subscribe()")
    await network.ready()
    return inbox


async def _publish(network: Network, sender: Transport, *bodies: bytes) -> list[bytes]:
    frames = [network.frame(body) for body in bodies]
    for frame in frames:
        await network.within(sender.publish("worker", frame), "publish()")
    return frames


async def _stand_still(network: Network, transport: Transport) -> bytes:
    """Publish a frame to a handler that never returns, and return it when the handler has it."""
    begun = asyncio.Event()

    async def handle(_: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    await network.within(transport.subscribe("worker", handle), "subscribe()")
    await network.ready()
    [frame] = await _publish(network, transport, b"stand still")
    await network.within(begun.wait(), "the handler to begin")
    return frame


def _attempts(frames: list[bytes]) -> list[int]:
    return [envelope.open(frame).attempt for frame in frames]


def _as_published(frames: list[bytes]) -> list[bytes]:
    return [envelope.with_attempt(frame, 0) for frame in frames]
