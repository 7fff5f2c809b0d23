"""What is promised at the ends of a durable frame's way: given again, given up, or handed on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import CivitasError, MessageRoutingError, ProcessingError
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.testing.suite import for_claim
from civitas.transport import Handler, Transport

ReadDeadLetters: TypeAlias = Callable[[], Awaitable[list[bytes]]]
"""What the fixture `dead_letters` gives: returns the frames that the broker keeps as dead letters,
in the order in which they were given up. It is awaited in the event loop of the test."""

_POISON: Final = b"poison"
_PAUSE: Final = 0.02
"""Seconds that lie between two deliveries of a frame at least."""

_STOPS: Final = 4
"""Orderly stops with a frame in hand, one after the other."""


class GivingUpBehaviours(Behaviours):
    """What becomes of a frame that fails, that nobody could finish, or whose sender is fenced."""

    @for_claim("at_least_once")
    @behaviour
    async def test_a_frame_that_is_given_up_is_told_once(self, network: Network) -> None:
        """`TransportContext.dropped` is called once for each frame that is given up.

        If this fails: it is put aside, or deleted, without a word; or its last delivery and its
        end are both told.
        """
        sender, receiver = await network.pair()
        notes = network.needed_notes(receiver)
        inbox = await _subscribe(network, receiver, _failing(network))
        poisons = [b"one " + _POISON, b"other " + _POISON]
        await _publish(network, sender, *poisons)
        for fence in (b"next", b"last"):
            [frame] = await _publish(network, sender, fence)
            await inbox.including(frame)

        def told() -> list[bytes]:
            return [body for body in poisons for _, frame in notes.dropped if body in frame]

        await network.until(lambda: len(told()) >= 2, "what was given up to be told")
        assert told() == poisons, f"2 frames were given up, {len(told())} told"

    @for_claim("at_least_once")
    @behaviour
    async def test_a_frame_that_is_given_up_is_kept(
        self, network: Network, dead_letters: ReadDeadLetters
    ) -> None:
        """A frame that is given up is kept as it was published, where somebody can look at it.

        If this fails: it is acknowledged or deleted, and nothing else; or it is put aside before
        its last delivery, and then again.
        """
        sender, receiver = await network.pair()
        inbox = await _subscribe(network, receiver, _failing(network))
        [poison, fence] = await _publish(network, sender, _POISON, b"next")
        await inbox.including(fence)
        found: list[bytes] = []

        async def look() -> None:
            while not found:
                found[:] = [envelope.with_attempt(each, 0) for each in await dead_letters()]
                await asyncio.sleep(_PAUSE)

        await network.within(look(), "the frame that was given up, among the dead letters")
        assert found == [poison], f"one frame was given up, {len(found)} are kept, or another one"

    @for_claim("at_least_once")
    @behaviour
    async def test_a_frame_waits_before_it_is_given_again(self, network: Network) -> None:
        """Between two deliveries of a frame lie 20 ms at least, whatever the error was.

        Without a pause a fault of a moment uses up all deliveries of a frame, and a frame that
        nobody takes all of a processor.

        If this fails: the frame is given back without a delay (a broker's "nak" may ignore its
        backoff); or the delay of this class's transport is shorter than that.
        """
        sender, receiver = await network.pair()
        errors: dict[bytes, CivitasError] = {
            b"failed": ProcessingError("worker", "ValueError", "on purpose"),
            b"not taken": MessageRoutingError("on purpose"),
        }
        times: dict[bytes, list[float]] = {body: [] for body in errors}
        clock = asyncio.get_running_loop().time

        async def handle(frame: bytes) -> None:
            body = bytes(envelope.open(frame).body)
            times[body].append(clock())
            if len(times[body]) == 1:
                raise errors[body]

        await network.within(receiver.subscribe("worker", handle), "subscribe()")
        await network.ready()
        for body, deliveries in times.items():
            await _publish(network, sender, body)
            await network.within(_until_twice(deliveries), "a second delivery")
            pause = deliveries[1] - deliveries[0]
            text = f"a frame that was {body.decode()} came again after {1000 * pause:.1f} ms"
            assert pause >= _PAUSE * 0.9, text

    @for_claim("at_least_once")
    @behaviour
    async def test_an_orderly_stop_is_no_delivery(self, network: Network) -> None:
        """A frame in hand at `stop`, or at `unsubscribe`, comes again uncounted, however often.

        Otherwise a few restarts of an agent that takes its time make a dead letter.

        If this fails: the frame is given back as one that failed; or the broker counts deliveries,
        and nothing takes back what a stop has cut short.
        """
        bodies = (b"in hand", b"behind it")
        for number in range(_STOPS):
            transport = await network.start()
            handler = _NeverReturning()
            await network.within(transport.subscribe("worker", handler.handle), "subscribe()")
            await network.ready()
            if number == 0:
                await _publish(network, transport, *bodies)
            await network.within(handler.begun.wait(), "the handler to begin")
            unsubscribe = getattr(transport, "unsubscribe", None)
            if number % 2 and unsubscribe is not None:
                await network.within(unsubscribe("worker"), "unsubscribe() with a frame in hand")
            await network.stop(transport, "stop() with a frame in hand")
        [inbox] = await network.listen(await network.start(), "worker")
        arrived = [envelope.open(frame) for frame in await inbox.first(len(bodies))]
        assert [each.body for each in arrived] == list(bodies), "they did not come again, in order"
        attempts = [each.attempt for each in arrived]
        assert attempts == [0, 0], f"orderly stops were counted as deliveries: {attempts}"

    @for_claim("at_least_once")
    @behaviour
    async def test_what_was_kept_is_given_though_its_sender_is_fenced(
        self, network: Network
    ) -> None:
        """Fencing refuses what a node sends late, not what was kept for it before.

        If this fails: frames that are read from the store pass through the same look at
        `TransportContext.fenced` as those that just came.
        """
        sender, receiver = await network.pair()
        ghost = Origin(os.urandom(8), 1)
        kept = network.frame(b"kept", origin=ghost)
        await network.within(sender.publish("worker", kept), "publish()")
        network.fenced.add(kept[envelope.ORIGIN_AT])
        [inbox] = await network.listen(receiver, "worker")
        [fence] = await _publish(network, sender, b"fence")
        assert kept in await inbox.including(fence), "what was kept of a fenced node was refused"


async def _until_twice(deliveries: list[float]) -> None:
    while len(deliveries) < 2:  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(_PAUSE / 10)


def _failing(network: Network) -> tuple[Arrivals, Handler]:
    """Return a handler that always fails for poison, and what it notes."""
    inbox = Arrivals("worker", network)

    async def handle(frame: bytes) -> None:
        await inbox.put(frame)
        if frame.endswith(_POISON):
            raise ProcessingError("worker", "ValueError", "on purpose")

    return inbox, handle


async def _subscribe(
    network: Network, receiver: Transport, failing: tuple[Arrivals, Handler]
) -> Arrivals:
    inbox, handle = failing
    await network.within(receiver.subscribe("worker", handle), "subscribe()")
    await network.ready()
    return inbox


async def _publish(network: Network, sender: Transport, *bodies: bytes) -> list[bytes]:
    frames = [network.frame(body) for body in bodies]
    for frame in frames:
        await network.within(sender.publish("worker", frame), "publish()")
    return frames


class _NeverReturning:
    """A handler that never returns."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def handle(self, _: bytes) -> None:
        self.begun.set()
        await asyncio.Event().wait()
