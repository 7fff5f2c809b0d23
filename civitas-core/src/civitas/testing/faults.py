"""What is promised when something goes wrong: the rest goes on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, Final

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import CivitasError, MailboxFullError, MessageRoutingError
from civitas.messages import RESERVED_PREFIX
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network, unknown_reply_address
from civitas.testing.suite import for_claim
from civitas.transport import Handler, Transport, published_at

_SYSTEM: Final = f"{RESERVED_PREFIX}conformance"
_POISON: Final = b"poison"
_FAILURES: Final = 2
"""How often a handler raises; what an at-least-once transport gives again is then taken."""


class FaultBehaviours(Behaviours):
    """Handlers that raise or stand still, bytes that are no frame, addresses without anybody."""

    @behaviour
    async def test_a_handler_that_raises_stops_nothing(self, network: Network) -> None:
        """After a handler raised, its own address and all others get the next frame.

        An at-least-once transport gives the frame again before the next one.

        If this fails: the handler's error ends the task that reads; or it comes out of `publish`,
        whose caller can do nothing about it. Log it and go on.
        """
        sender, receiver = await network.pair()
        inboxes = await _one_fails(network, receiver, RuntimeError("on purpose"))
        for _ in range(_FAILURES):
            publish = sender.publish("failing", network.frame(_POISON))
            await _silent(network, publish, "publish to a handler that raises")
        await _all_are_reached(network, sender, inboxes)

    @behaviour
    async def test_a_handler_that_refuses_stops_nothing(self, network: Network) -> None:
        """A handler may refuse with a CivitasError; only its sender feels it.

        `publish` to a full mailbox raises that error, or nothing; the next frame arrives.

        If this fails: the refusal is turned into another error; or it ends the task that reads.
        """
        sender, receiver = await network.pair()
        inboxes = await _one_fails(network, receiver, MailboxFullError("on purpose"))
        publish = sender.publish("failing", network.frame(_POISON))
        await network.refused_or_silent(publish, MailboxFullError, "publish to a full mailbox")
        await _all_are_reached(network, sender, inboxes)

    @behaviour
    async def test_a_system_handler_that_raises_hides_nothing(self, network: Network) -> None:
        """When one subscriber of a system address raises, the others get the frame all the same.

        If this fails: the loop over the subscribers has no `try` of its own for each of them.
        """
        sender, receiver = await network.pair()
        [first] = await network.listen(receiver, _SYSTEM)
        await receiver.subscribe(_SYSTEM, _fails(RuntimeError("on purpose"), first))
        [last] = await network.listen(receiver, _SYSTEM)
        publish = sender.publish(_SYSTEM, network.frame(_POISON))
        await _silent(network, publish, "publish to a system address")
        await first.first()
        await last.first()

    @behaviour
    async def test_a_slow_handler_holds_up_no_other_address(self, network: Network) -> None:
        """While one handler stands still, other agents and system addresses get their frames.

        If this fails: one loop awaits all handlers, one after the other, or under one lock. Use
        the Dispatcher of civitas.transport.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, "quick", _SYSTEM)
        async with _StandingStill(network, sender, receiver):
            for inbox in inboxes:
                publish = sender.publish(inbox.address, network.frame(b"hello"))
                await network.within(publish, f"publish to {inbox.address!r} beside a slow handler")
                await inbox.first()

    @behaviour
    async def test_a_slow_handler_holds_up_no_reply(self, network: Network) -> None:
        """While one handler stands still, requests to other agents get their answers.

        If this fails: replies go through the same queue or lock as frames for agents.
        """
        sender, receiver = await network.pair()
        await network.serve(receiver, "oracle")
        async with _StandingStill(network, sender, receiver):
            request = sender.request("oracle", network.frame(b"?"), 10.0)
            await network.within(request, "an answer beside a slow handler")

    @behaviour
    async def test_malformed_bytes_are_survived(self, network: Network) -> None:
        """After bytes that are no frame, the next frame arrives.

        The bytes themselves are delivered, dropped, or refused with a CivitasError.

        If this fails: the header is read without a check, and its IndexError, struct.error or
        UnicodeDecodeError ends the task that reads. `civitas.envelope` raises FrameError only.
        """
        sender, receiver = await network.pair()
        for inbox in await network.listen(receiver, "worker", _SYSTEM):
            for junk in _malformed(network.frame(b"a body")):
                publish = sender.publish(inbox.address, junk)
                await network.refused_or_silent(publish, CivitasError, f"publish of {junk[:9]!r}")
            fence = network.frame(b"fence")
            await sender.publish(inbox.address, fence)
            await inbox.including(fence)

    @behaviour
    async def test_malformed_replies_are_survived(self, network: Network) -> None:
        """Bytes that are no frame, published where replies go, end no request in flight.

        If this fails: the reply handler reads the header without a check; or it takes whatever
        comes for the answer.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "oracle")
        asked = network.spawn(asker.request("oracle", network.frame(b"?"), 10.0))
        [request] = await inbox.first()
        answer = network.answer_to(request, b"the answer")
        address = published_at(envelope.reply_to_of(request))
        for junk in _malformed(answer):
            publish = answerer.publish(address, junk)
            await network.refused_or_silent(publish, CivitasError, f"publish of {junk[:9]!r}")
        await network.reply(answerer, answer)
        arrived = await network.within(asked, "the answer")
        assert arrived == answer, "malformed bytes were taken for the answer"

    @behaviour
    async def test_a_reply_that_nobody_awaits_is_dropped(self, network: Network) -> None:
        """A reply to a request that was never made, here or at an unknown node, does no harm.

        A transport that was given a context reports it (`TransportContext.dropped`).

        If this fails: the reply handler raises for an unknown address; or drops it silently.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "oracle")
        asked = network.spawn(asker.request("oracle", network.frame(b"?"), 10.0))
        [request] = await inbox.first()
        here = published_at(envelope.reply_to_of(request))
        for node in (here, unknown_reply_address()):
            stray = envelope.with_reply_to(network.answer_to(request), f"{node}.999999")
            publish = answerer.publish(node, stray)
            await network.refused_or_silent(publish, MessageRoutingError, "a stray reply")
        answer = network.answer_to(request, b"the answer")
        await network.reply(answerer, answer)
        arrived = await network.within(asked, "the answer")
        assert arrived == answer, "a stray reply was taken for the answer"
        notes = network.notes(asker)
        if notes is not None:
            await network.until(lambda: notes.dropped, "the stray reply to be reported as dropped")

    @for_claim("cross_process")
    @behaviour
    async def test_frames_of_a_fenced_node_are_refused(self, network: Network) -> None:
        """Frames of a node in `TransportContext.fenced` are not delivered; those of others are.

        Such a node was declared dead while it stood still: what it sends when it goes on is late.

        If this fails: handlers get what is read without a look at the set, which grows meanwhile.
        The Dispatcher of civitas.transport looks at it.
        """
        sender, receiver = await network.pair()
        network.needed_notes(receiver)
        [inbox] = await network.listen(receiver, _SYSTEM)
        ghost = Origin(os.urandom(8), 1)
        for frame in (network.frame(b"before", origin=ghost), network.frame(b"others")):
            await sender.publish(_SYSTEM, frame)
        await inbox.first(2)
        late = network.frame(b"late", origin=ghost)
        network.fenced.add(late[envelope.ORIGIN_AT])
        fence = network.frame(b"fence")
        for frame in (late, fence):
            await sender.publish(_SYSTEM, frame)
        assert late not in await inbox.including(fence), "a frame of a fenced node was delivered"

    @behaviour
    async def test_publishing_to_nobody_harms_nobody(self, network: Network) -> None:
        """Publishing where nobody listens is silent or raises MessageRoutingError, and returns.

        If this fails: `publish` waits for a subscriber; or the broker's complaint comes out
        untranslated, or closes the connection.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        for address in ("nobody", f"{RESERVED_PREFIX}nobody", unknown_reply_address()):
            publish = sender.publish(address, network.frame(b"hello?"))
            await network.refused_or_silent(publish, MessageRoutingError, f"publish to {address!r}")
        fence = network.frame(b"fence")
        await sender.publish("worker", fence)
        assert await inbox.first() == [fence], "a frame for nobody came to somebody"


def _malformed(frame: bytes) -> list[bytes]:
    """Return bytes that are no frame, or no longer one."""
    return [
        b"",
        b"\xc1",
        b"hello",
        b"\x00" * 64,
        b"\xff" * 64,
        frame[:20],
        frame[:1] + b"\xff" + frame[2:],  # of another version
        frame[:24] + b"\xff" * 40,  # its lengths reach beyond its end
    ]


def _fails(error: Exception, inbox: Arrivals) -> Handler:
    """Return a handler that raises for poison at first, and notes what else comes."""
    left = [error] * _FAILURES

    async def handle(frame: bytes) -> None:
        if left and frame.endswith(_POISON):
            raise left.pop()
        await inbox.put(frame)

    return handle


async def _one_fails(network: Network, receiver: Transport, error: Exception) -> list[Arrivals]:
    """Subscribe a handler that raises for poison at first, and one that never does."""
    failing = Arrivals("failing", network)
    await receiver.subscribe("failing", _fails(error, failing))
    [steady] = await network.listen(receiver, "steady")
    return [failing, steady]


async def _all_are_reached(network: Network, sender: Transport, inboxes: list[Arrivals]) -> None:
    hello = network.frame(b"hello")
    for inbox in inboxes:
        await sender.publish(inbox.address, hello)
        await inbox.including(hello)


async def _silent(network: Network, publish: Coroutine[Any, Any, None], what: str) -> None:
    """Fail when `publish` raises the handler's error."""
    raised = await network.refused_or_silent(publish, RuntimeError, what)
    assert raised is None, f"{what} raised the handler's error: {raised!r}"


class _StandingStill:
    """A handler that does not return while this context is open; it has begun when it opens."""

    def __init__(self, network: Network, sender: Transport, receiver: Transport) -> None:
        self._network = network
        self._sender = sender
        self._receiver = receiver
        self._begun = asyncio.Event()
        self._released = asyncio.Event()

    async def __aenter__(self) -> None:
        await self._receiver.subscribe("slow", self._handle)
        await self._network.ready()
        publish = self._sender.publish("slow", self._network.frame(b"stand still"))
        self._publishing = self._network.spawn(publish)
        await self._network.within(self._begun.wait(), "the slow handler to begin")

    async def __aexit__(self, *_: object) -> None:
        self._released.set()
        await self._network.within(self._publishing, "publish to a slow handler")

    async def _handle(self, _: bytes) -> None:
        self._begun.set()
        await self._released.wait()
