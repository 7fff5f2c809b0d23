"""What is promised of a frame on its way: the right handler, the same bytes, in order, once."""

from __future__ import annotations

import asyncio
import itertools
from typing import Final

import pytest

from civitas.errors import CivitasError, MessageRoutingError
from civitas.messages import RESERVED_PREFIX
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.testing.suite import for_claim
from civitas.transport import Transport

_MANY: Final = 200
_FRESH: Final = 10
_PAUSE: Final = 0.02
_SENDERS: Final = 25
_FRAMES_OF_EACH: Final = 4
_MEDIUM: Final = 1 << 16
"""With as many senders at once, more than a socket takes in one piece."""

_BODIES: Final = (
    b"",
    b"\0",
    b"text",
    b"ends in nothing\0\0",
    b"\r\n.\r\n",
    bytes(range(256)),
    "Grüße".encode("utf-16"),
)

_ALIKE: Final = (
    *("worker", "Worker", "work", "workers", "café", "cafe\u0301", "CAFÉ"),
    # A dot, its siblings, and what common escapes make of it.
    *("worker.1", "worker_1", "worker-1", "worker:1", "worker1", "worker.1.1"),
    *("worker=2E1", "worker%2E1", "worker%2e1", "worker=3D2E1", "worker%252E1"),
)

_LONG_NAMES: Final = (
    *("x" * 199 + "a", "x" * 199 + "b", "a" + "x" * 199, "x" * 100 + "a" + "x" * 99, "x" * 199),
    *("é" * 99 + "aa", "é" * 99 + "ab", "é" * 100),  # one sign, two bytes
    *(RESERVED_PREFIX + "x" * 191 + end for end in ("a", "b")),
)

_LEGAL: Final = (
    "a",
    "0",
    "a:b",
    "a.b",
    "1.5",
    "a._b.1",
    "reply.a.1",
    "agency.a",
    f"{'a.' * 99}bc",
    "a$b",
    "a#b+c",
    "%41",
    "a|b?c",
    '"a"',
    "{a}",
    "日本語",
    "🦜",
    "x" * 200,
)


class DeliveryBehaviours(Behaviours):
    """From `publish` to the handler."""

    @behaviour
    async def test_a_published_frame_reaches_its_handler(self, network: Network) -> None:
        """A frame published to an address is given to the handler subscribed there.

        If this fails: `subscribe` is not complete when `wait_ready` returns; or `publish` returns
        without having sent; or the handler is called and not awaited.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        await sender.publish("worker", network.frame(b"hello"))
        await inbox.first()

    @behaviour
    async def test_a_frame_arrives_once(self, network: Network) -> None:
        """Each frame is given to its handler once.

        If this fails: the address is subscribed twice, once by the transport itself; or a local
        delivery comes back over the wire; or frames are sent again before their time.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        frames = [network.frame(b"first"), network.frame(b"second"), network.frame(b"last")]
        for frame in frames:
            await sender.publish("worker", frame)
        arrived = await inbox.including(frames[-1])
        assert len(arrived) == len(frames), f"sent 3 frames, {len(arrived)} arrived"

    @behaviour
    async def test_bytes_arrive_unchanged(self, network: Network) -> None:
        """What arrives is, byte for byte, what was published; an empty body is a body too.

        If this fails: the frame passes through text, or through a format that ends at a zero byte
        or at a line's end; or empty bodies are taken for no message.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        frames = [network.frame(body) for body in _BODIES]
        for frame in frames:
            await sender.publish("worker", frame)
        arrived = await inbox.first(len(frames))
        assert arrived == frames, "what arrived is not what was published"

    @behaviour
    async def test_frames_of_one_address_arrive_in_order(self, network: Network) -> None:
        """Frames that one sender publishes to one address arrive all, and in that order.

        If this fails: each frame is handed over in a task of its own; or several connections or
        workers carry one address; or a full buffer drops without saying so.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        frames = [network.frame(b"%d" % number) for number in range(_MANY)]
        for frame in frames:
            await sender.publish("worker", frame)
        arrived = await inbox.first(_MANY)
        assert arrived == frames, "the order of the frames is not the order of publishing"

    @behaviour
    async def test_frames_of_many_tasks_arrive_in_order(self, network: Network) -> None:
        """What many tasks of one process publish to one address arrives in the order of the calls.

        The runtime numbers frames when it publishes them, and counts gaps as losses. So much at
        once may be too much for a buffer: what does not arrive is not looked at here.

        If this fails: a pool of connections carries one address; or `publish` waits for something
        before the frame has its place in the queue, so that a later call overtakes.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        size = network.size_of(_MEDIUM)
        numbers, published = itertools.count(), []

        async def send() -> None:
            for _ in range(_FRAMES_OF_EACH):
                frame = network.frame_of(size, b"%d " % next(numbers))
                published.append(frame)
                await sender.publish("worker", frame)

        senders = (send() for _ in range(_SENDERS))
        await network.within(asyncio.gather(*senders), "publish() of many tasks")
        await network.within(_until_heard(sender, inbox, network.frame(b"fence")), "a fence")
        arrived = [published.index(each) for each in inbox.frames if each in published]
        assert arrived, f"none of {len(published)} frames arrived"
        assert arrived == sorted(arrived), "a later publish has overtaken an earlier one"

    @behaviour
    async def test_ready_means_reachable(self, network: Network) -> None:
        """When `wait_ready` returns, the very next frame for what was subscribed arrives.

        If this fails: `subscribe` returns when it has asked the broker, not when the broker has
        subscribed.
        Send yourself something by the last subscription, and return when it came.
        """
        sender, receiver = await network.pair()
        for number in range(_FRESH):
            [inbox] = await network.listen(receiver, f"fresh-{number}")
            frame = network.frame(b"the very next")
            await sender.publish(inbox.address, frame)
            assert await inbox.first() == [frame], "another frame came"

    @behaviour
    async def test_two_addresses_do_not_mix(self, network: Network) -> None:
        """Each address gets its own frames and no other's, in its own order.

        If this fails: the handler is looked up once for a batch of frames; or a closure in a loop
        captured the last address.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, "left", "right")
        left, right = (
            [network.frame(b"%s%d" % (side, n)) for n in range(20)] for side in (b"l", b"r")
        )
        for one, other in zip(left, right, strict=True):
            await sender.publish("left", one)
            await sender.publish("right", other)
        arrived = [await inbox.first(20) for inbox in inboxes]
        assert arrived == [left, right], "frames of one address arrived at another"

    @behaviour
    async def test_addresses_are_exact(self, network: Network) -> None:
        """An address is met by itself only: no prefix, no folding of case, no normalised Unicode.

        If this fails: the broker matches by prefix (the separator is missing after the name); or
        names are lowered or normalised; or a subject is built without escaping, or the escape
        character itself is not escaped.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, *_ALIKE)
        await _each_gets_its_own(network, sender, inboxes)

    @behaviour
    async def test_every_legal_name_is_an_address(self, network: Network) -> None:
        """Whatever may be an agent's name works as an address: 200 bytes, any script, most signs.

        If this fails: a name is put into a subject, key or URL without escaping it; or the wire's
        limit for a topic is below 200 bytes with your prefix, or below what escapes make of them.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, *_LEGAL)
        await _each_gets_its_own(network, sender, inboxes)

    @behaviour
    async def test_long_names_are_told_apart_by_each_byte(self, network: Network) -> None:
        """Names of 200 bytes that differ in one byte, the first or the last one, are different.

        If this fails: a name that is too long for a topic, a key or a queue's name is cut, or a
        few bytes of a hash stand for it.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, *_LONG_NAMES)
        await _each_gets_its_own(network, sender, inboxes)

    @behaviour
    async def test_a_system_address_reaches_every_subscriber(self, network: Network) -> None:
        """A frame published to `_agency.<x>` reaches each of its subscribers, once.

        If this fails: the later subscription replaced the earlier one; or system addresses use a
        queue group, which shares frames out; or the sender's own subscription is passed over.
        """
        sender, receiver = await network.pair()
        third = await network.start() if self.capabilities.cross_process else receiver
        subscribers = (receiver, receiver, sender, third)
        inboxes = [(await network.listen(each, _SYSTEM))[0] for each in subscribers]
        frames = [network.frame(b"one"), network.frame(b"two")]
        for frame in frames:
            await sender.publish(_SYSTEM, frame)
        for inbox in inboxes:
            arrived = await inbox.first(2)
            assert arrived == frames, "a subscriber did not get each frame once"

    @behaviour
    async def test_an_agents_address_has_one_owner(self, network: Network) -> None:
        """A second subscription to an agent's address is refused, and the first one stays.

        If this fails: `subscribe` overwrites or appends; raise TransportError where the address
        is taken.
        """
        sender, receiver = await network.pair()
        [owner] = await network.listen(receiver, "worker")
        intruder = Arrivals("worker", network)
        again = receiver.subscribe("worker", intruder.put)
        await network.refused(again, CivitasError, "a second subscribe to one agent's address")
        await sender.publish("worker", network.frame(b"hello"))
        await owner.first()
        assert not intruder.frames, "the refused handler got a frame"

    @behaviour
    async def test_unsubscribe_ends_delivery(self, network: Network) -> None:
        """After `unsubscribe` the handler gets nothing more, and the address is free again.

        If this fails: only the broker forgets the subscription, not the table of handlers (or the
        reverse); or the address keeps its owner. A transport may offer no `unsubscribe`.
        """
        sender, receiver = await network.pair()
        unsubscribe = getattr(receiver, "unsubscribe", None)
        if unsubscribe is None:
            pytest.skip("this transport offers no unsubscribe")
        [before] = await network.listen(receiver, "worker")
        await unsubscribe("worker")
        publish = sender.publish("worker", network.frame(b"too late"))
        await network.refused_or_silent(publish, MessageRoutingError, "publish to nobody")
        [after] = await network.listen(receiver, "worker")
        fence = network.frame(b"fence")
        await sender.publish("worker", fence)
        await after.including(fence)
        assert not before.frames, "a frame came after unsubscribe"

    @behaviour
    async def test_an_address_can_be_left_and_taken_again(self, network: Network) -> None:
        """Whoever subscribes after `unsubscribe`, there or elsewhere, gets each frame once.

        If this fails: the broker still has the earlier subscription, so that frames come twice, or
        to nobody; or the address is free only in the process that had it. A transport may offer no
        `unsubscribe`.
        """
        sender, receiver = await network.pair()
        if getattr(receiver, "unsubscribe", None) is None:
            pytest.skip("this transport offers no unsubscribe")
        earlier: list[Arrivals] = []
        for number, owner in enumerate([receiver, receiver, sender, receiver]):
            [inbox] = await network.listen(owner, "worker")
            frames = [network.frame(b"%d, %d" % (number, n)) for n in range(3)]
            for frame in frames:
                await network.within(sender.publish("worker", frame), "publish()")
            assert await inbox.including(frames[-1]) == frames, "not each frame once"
            await network.within(owner.unsubscribe("worker"), "unsubscribe()")  # type: ignore[attr-defined]
            earlier.append(inbox)
        assert all(len(each.frames) == 3 for each in earlier), "a frame came after unsubscribe"

    @for_claim("cross_process")
    @behaviour
    async def test_unsubscribe_reaches_the_broker(self, network: Network) -> None:
        """After `unsubscribe` the frames for an address do not even come to the process.

        What comes and has no handler is reported by `TransportContext.dropped`.

        If this fails: only the table of handlers forgets the address. The broker goes on sending
        what the process throws away. A transport may offer no `unsubscribe`.
        """
        sender, receiver = await network.pair()
        notes = network.needed_notes(receiver)
        if getattr(receiver, "unsubscribe", None) is None:
            pytest.skip("this transport offers no unsubscribe")
        [fences] = await network.listen(receiver, "fences")
        await network.listen(receiver, "left", _SYSTEM)
        for address in ("left", _SYSTEM):
            await network.within(receiver.unsubscribe(address), "unsubscribe()")  # type: ignore[attr-defined]

        async def nothing_comes() -> bool:
            notes.dropped.clear()
            for address in ("left", _SYSTEM):
                publish = sender.publish(address, network.frame(b"to nobody"))
                await network.refused_or_silent(publish, MessageRoutingError, "publish to nobody")
            fence = network.frame(b"fence %d" % len(fences.frames))
            await sender.publish("fences", fence)
            await fences.including(fence)
            return not notes.dropped

        async def until_nothing_comes() -> None:
            while True:
                if await nothing_comes():
                    return
                await asyncio.sleep(_PAUSE)  # a broker may hear of it a little later

        await network.within(until_nothing_comes(), "the broker to send nothing more")


_SYSTEM: Final = f"{RESERVED_PREFIX}conformance"


async def _each_gets_its_own(network: Network, sender: Transport, inboxes: list[Arrivals]) -> None:
    """Publish twice to every address; the second round proves that nothing else came before."""
    for turn in (b"first", b"second"):
        for inbox in inboxes:
            await sender.publish(inbox.address, network.frame(turn + inbox.address.encode()))
    for inbox in inboxes:
        name = inbox.address.encode()
        arrived = await inbox.first(2)
        own = [network.frame(b"first" + name), network.frame(b"second" + name)]
        assert arrived == own, f"{inbox.address!r} got frames of other addresses"


async def _until_heard(sender: Transport, inbox: Arrivals, frame: bytes) -> None:
    """Publish a frame again and again until it arrives."""
    while frame not in inbox.frames:
        await sender.publish(inbox.address, frame)
        await asyncio.sleep(_PAUSE)
