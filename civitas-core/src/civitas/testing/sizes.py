"""What is promised of large frames: each kind of them arrives whole, up to the claimed limit."""

from __future__ import annotations

import asyncio
import itertools
from typing import Final

from civitas.errors import MessageTooLargeError
from civitas.messages import RESERVED_PREFIX
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.testing.suite import for_claim
from civitas.transport import Transport

_SYSTEM: Final = f"{RESERVED_PREFIX}conformance"
_LARGE: Final = 1 << 20
_STEPS: Final = (1 << 12, (1 << 15) + 1, (1 << 16) + 1, 1 << 17, _LARGE)
"""Sizes about common limits of buffers, in bytes."""

_TOGETHER: Final = 20


class SizeBehaviours(Behaviours):
    """Large frames for agents, at system addresses, and as answers."""

    @behaviour
    async def test_a_large_frame_arrives_intact(self, network: Network) -> None:
        """A frame of 1 MiB, or of `max_message_bytes` where that is less, arrives as it is.

        If this fails: a default limit of the library, the broker or a buffer is lower; raise it,
        or claim the true `max_message_bytes`.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        size = network.size_of(_LARGE)
        frame = network.frame_of(size)
        await network.within(sender.publish("worker", frame), "publish() of a large frame")
        [arrived] = await inbox.first()
        assert len(arrived) == size, f"sent {size} bytes, {len(arrived)} arrived"
        assert arrived == frame, "the bytes of a large frame are not those that were published"

    @behaviour
    async def test_a_large_system_frame_arrives_intact(self, network: Network) -> None:
        """What is said at a system address may be as large as any frame, up to 1 MiB.

        If this fails: system frames go another way than those for agents, with a limit of its own.
        """
        sender, receiver = await network.pair()
        inboxes = [(await network.listen(each, _SYSTEM))[0] for each in (sender, receiver)]
        frames = [network.frame_of(size, b"%d " % size) for size in _sizes(network)]
        for frame in frames:
            await network.within(sender.publish(_SYSTEM, frame), "publish() of a system frame")
        for inbox in inboxes:
            arrived = await inbox.first(len(frames))
            _same_sizes(frames, arrived)
            assert arrived == frames, "the bytes of a system frame are not those published"

    @behaviour
    async def test_a_large_answer_arrives_intact(self, network: Network) -> None:
        """An answer may be as large as any frame, whoever of the two asks.

        If this fails: answers go another way than frames for agents, with a limit of its own; or a
        request's answer is cut at the size of what it reads at once.
        """
        for number, (asker, answerer) in enumerate(await _both_ways(network)):
            [inbox] = await network.listen(answerer, f"oracle-{number}")
            for size in _sizes(network):
                answer = await _asked_once(network, asker, answerer, inbox, size)
                assert len(answer) == size, f"answered {size} bytes, {len(answer)} arrived"

    @behaviour
    async def test_large_answers_in_flight_together_all_arrive(self, network: Network) -> None:
        """Large and small answers to requests that are in flight together arrive all.

        If this fails: large answers go another way, which has room for a few of them; or the wait
        for room there is given up without a word.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "oracle")
        questions = [network.frame(b"%d" % number) for number in range(_TOGETHER)]
        asked = [network.spawn(asker.request("oracle", each, 30.0)) for each in questions]
        answers = [
            _answer_of(network, request, size)
            for request, size in zip(
                await inbox.first(_TOGETHER), itertools.cycle([*_sizes(network), 100]), strict=False
            )
        ]
        replying = asyncio.gather(*(network.reply(answerer, answer) for answer in answers))
        await network.within(replying, "publish() of large answers")
        what = f"{_TOGETHER} large and small answers"
        arrived = await network.within(asyncio.gather(*asked), what)
        _same_sizes(answers, list(arrived))
        assert list(arrived) == answers, "the answers are not those that were published"

    @for_claim("max_message_bytes")
    @behaviour
    async def test_a_frame_over_the_limit_is_refused(self, network: Network) -> None:
        """More than the claimed `max_message_bytes` raises MessageTooLargeError to the sender.

        So it does at a system address, and when the recipient is of the same process.

        If this fails: the size is not checked before sending, so that the broker closes the
        connection or drops the frame; or `request`, or a local delivery, goes another way than
        `publish` to others.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        assert self.capabilities.max_message_bytes is not None
        frame = network.frame_of(self.capabilities.max_message_bytes + 1)
        for work, what in (
            (sender.publish("worker", frame), "publish"),
            (sender.request("worker", frame, 1.0), "request"),
            (sender.publish(_SYSTEM, frame), f"publish to {_SYSTEM!r}"),
            (receiver.publish("worker", frame), "publish in the recipient's own process"),
        ):
            await network.refused(work, MessageTooLargeError, f"{what} of a frame over the limit")
        fence = network.frame(b"fence")
        await sender.publish("worker", fence)
        assert await inbox.first() == [fence], "a frame over the limit arrived, or disturbed others"


def _sizes(network: Network) -> list[int]:
    return sorted({network.size_of(size) for size in _STEPS})


def _same_sizes(published: list[bytes], arrived: list[bytes]) -> None:
    sent, came = list(map(len, published)), list(map(len, arrived))
    assert came == sent, f"sent frames of {sent} bytes, those that arrived have {came}"


async def _both_ways(network: Network) -> list[tuple[Transport, Transport]]:
    """Return who asks and who answers, and the reverse where these are two."""
    one, other = await network.pair()
    return [(one, other)] if one is other else [(one, other), (other, one)]


async def _asked_once(
    network: Network, asker: Transport, answerer: Transport, inbox: Arrivals, size: int
) -> bytes:
    """Ask, and have it answered by a frame of this size; return what arrived."""
    before = len(inbox.frames)
    asked = network.spawn(asker.request(inbox.address, network.frame(b"?"), 30.0))
    request = (await inbox.first(before + 1))[before]
    answer = _answer_of(network, request, size)
    await network.reply(answerer, answer)
    arrived = await network.within(asked, f"an answer of {size} bytes")
    assert arrived[:50] == answer[:50], "another answer arrived"
    return arrived


def _answer_of(network: Network, request: bytes, size: int) -> bytes:
    """Return an answer of exactly this size, whose bytes differ."""
    head = len(network.answer_to(request, b""))
    reply = network.answer_to(request, bytes(network.frame_of(size)[: size - head]))
    assert len(reply) == size
    return reply
