"""What is promised of many frames at once: they keep the order of the calls, none is dropped."""

from __future__ import annotations

import asyncio
from typing import Final

from civitas import envelope
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.transport import Transport

_IN_FLIGHT: Final = 50
_LARGER: Final = 70_000
_WINDOW: Final = 256
"""Frames that a node may have on their way to one agent, by default."""

_SENDERS: Final = 3
_CANCELLED: Final = 10
_TURNS: Final = 6
"""Turns of the event loop after which a publish is cancelled: 0, 1, 2, and so on."""


class OrderBehaviours(Behaviours):
    """Publishes and requests that are in flight together, and what waits behind a handler."""

    @behaviour
    async def test_publishes_in_flight_together_keep_their_order(self, network: Network) -> None:
        """Fifty calls of `publish` that are in flight together arrive all, in the order of calls.

        Small and large frames take turns.

        If this fails: a pool of connections or of tasks carries one address; or large frames, or
        those beyond a number in flight, go another way or wait elsewhere than the others.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        large = network.size_of(_LARGER)
        frames = [
            network.frame_of(large, b"%d " % n) if n % 5 == 0 else network.frame(b"%d" % n)
            for n in range(_IN_FLIGHT)
        ]
        publishing = asyncio.gather(*(sender.publish("worker", frame) for frame in frames))
        await network.within(publishing, "50 calls of publish() in flight together")
        arrived = await inbox.first(len(frames))
        order = [frames.index(each) for each in arrived]
        assert order == sorted(order), f"a later publish has overtaken an earlier one: {order}"
        assert arrived == frames, "what arrived is not what was published"

    @behaviour
    async def test_requests_and_publishes_keep_their_order(self, network: Network) -> None:
        """Requests and publishes to one address that are in flight together keep their order.

        The runtime numbers both, one after the other.

        If this fails: a request is sent on another connection, or at once, where a publish waits
        in a queue.
        """
        sender, receiver = await network.pair()
        inbox = Arrivals("worker", network)

        async def answer(frame: bytes) -> None:
            await inbox.put(frame)
            if envelope.reply_to_of(frame):
                await network.reply(receiver, network.answer_to(frame))

        await network.within(receiver.subscribe("worker", answer), "subscribe()")
        await network.ready()
        bodies = [b"%d" % number for number in range(_IN_FLIGHT)]
        sending = [
            sender.request("worker", network.frame(body), 10.0)
            if number % 5 == 4
            else sender.publish("worker", network.frame(body))
            for number, body in enumerate(bodies)
        ]
        await network.within(asyncio.gather(*sending), "publishes and requests in flight together")
        arrived = [envelope.open(frame).body for frame in await inbox.first(len(bodies))]
        order = [bodies.index(each) for each in arrived]
        assert order == sorted(order), f"a later call has overtaken an earlier one: {order}"

    @behaviour
    async def test_a_backlog_behind_a_slow_handler_is_kept(self, network: Network) -> None:
        """What three nodes may have on their way to one agent waits for it, and nothing is dropped.

        Each node's window is 256 frames. Other addresses are reached meanwhile.

        If this fails: the queue before a handler is smaller than what nodes may send, and drops
        what is too much; or it holds up the reader.
        """
        first, receiver = await network.pair()
        senders = [first, *[await _another(network, first) for _ in range(_SENDERS - 1)]]
        released, inbox = asyncio.Event(), Arrivals("slow", network)

        async def handle(frame: bytes) -> None:
            await released.wait()
            await inbox.put(frame)

        await network.within(receiver.subscribe("slow", handle), "subscribe()")
        [quick] = await network.listen(receiver, "quick")
        windows = [
            [network.frame(b"%d" % number, origin=node) for number in range(_WINDOW)]
            for node in network.origins(_SENDERS)
        ]
        sending = network.spawn(_send_all(senders, windows))
        if self.capabilities.cross_process:
            await network.within(asyncio.wait([sending]), "publish() while a handler stands still")
        await network.within(first.publish("quick", network.frame(b"hello")), "publish() beside it")
        await quick.first()
        released.set()
        await network.within(sending, "publish() to a slow handler")
        arrived = await inbox.first(_SENDERS * _WINDOW)
        for window in windows:
            mine = set(window)
            came = [frame for frame in arrived if frame in mine]
            assert came == window, "what one node sent did not come once, in order"

    @behaviour
    async def test_a_cancelled_publish_disturbs_no_other(self, network: Network) -> None:
        """A publish or request that is cancelled at any moment is sent whole or not at all.

        Those after it, and beside it, are sent as ever.

        If this fails: a lock or a place in a queue is not given back when the call is cancelled;
        or half of the frame is on the connection, and what follows is taken for the other half.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        size = network.size_of(_LARGER) // 2  # a request needs room for its reply address
        published, kept = list[bytes](), list[bytes]()
        for turns in range(_TURNS):
            frames = [network.frame_of(size, b"%d %d" % (turns, n)) for n in range(_CANCELLED)]
            await _cancel_every_other(network, sender, frames, turns)
            fence = network.frame(b"fence %d" % turns)
            published += [*frames, fence]
            kept += frames[1::2]
            publish = sender.publish("worker", fence)
            await network.within(publish, f"publish() after one was cancelled after {turns} turns")
            await inbox.including(fence)
        arrived = [_as_published(frame) for frame in inbox.frames]
        strange = [frame for frame in arrived if frame not in published]
        assert not strange, f"{len(strange)} frames arrived that nobody published as they are"
        lost = [frame for frame in kept if frame not in arrived]
        assert not lost, f"{len(lost)} publishes beside cancelled ones were lost"


async def _another(network: Network, first: Transport) -> Transport:
    return await network.start() if network.capabilities.cross_process else first


async def _send_all(senders: list[Transport], windows: list[list[bytes]]) -> None:
    pairs = zip(senders, windows, strict=True)
    await asyncio.gather(
        *(each.publish("slow", frame) for each, frames in pairs for frame in frames)
    )


async def _cancel_every_other(
    network: Network, sender: Transport, frames: list[bytes], turns: int
) -> None:
    """Publish frames together, and cancel each other one after some turns of the event loop."""
    sending = [
        network.spawn(
            sender.request("worker", frame, 0.05)
            if number % 4 == 2
            else sender.publish("worker", frame)
        )
        for number, frame in enumerate(frames)
    ]
    for _ in range(turns):
        await asyncio.sleep(0)
    for each in sending[::2]:
        each.cancel()
    await network.within(asyncio.wait(sending), "calls of which some were cancelled to end")
    for each in sending[1::2]:
        await each


def _as_published(frame: bytes) -> bytes:
    return envelope.with_reply_to(frame, "") if envelope.reply_to_of(frame) else frame
