"""What is promised of connecting again: as often as needed, without haste, with all there was."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from civitas.errors import CivitasError, OutcomeUnknownError
from civitas.messages import RESERVED_PREFIX
from civitas.testing import leaks
from civitas.testing.attempts import Busyness, ConnectAttempts
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.testing.notes import Notes
from civitas.testing.outages import Broker, Freezer
from civitas.testing.recovery import (
    greet,
    outage,
    reached_in_order,
    until_answered,
    until_subscribed,
)
from civitas.testing.suite import for_claim
from civitas.transport import Transport

_SYSTEM: Final = f"{RESERVED_PREFIX}conformance"
_AFTER: Final = 120
_QUESTIONS: Final = 100
_AT_ONCE: Final = 300
_OUTAGES: Final = 3
_ADDRESSES: Final = 1000
_WATCHED: Final = 1.0
"""Seconds of an outage in which attempts to connect are counted."""

_ATTEMPTS: Final = 30
"""Attempts to connect of one transport within that time."""

_BUSY: Final = 0.4
"""How much of a processor two transports that wait may use."""

_PAUSE: Final = 0.01


class ReconnectBehaviours(Behaviours):
    """What a transport does in an outage, and how it is after one, two and more of them."""

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_after_a_broker_restart_nothing_is_lost(
        self, network: Network, broker: Broker
    ) -> None:
        """Once the broker is back and reached, a hundred frames and answers arrive all.

        If this fails: something of the old connection is still in use, so that now and then a
        frame, a confirmation or an answer goes there.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, "worker", _SYSTEM)
        await network.serve(receiver, "oracle")
        await greet(network, sender, inboxes)
        with outage(network, broker.kill, broker.start):
            pass  # it may be over before anybody notices
        await reached_in_order(network, sender, inboxes, _AFTER)
        await network.within(until_answered(network, sender), "an answer after the restart")
        questions = [network.frame(b"%d" % number) for number in range(_QUESTIONS)]
        asking = asyncio.gather(*(sender.request("oracle", each, 30.0) for each in questions))
        await network.within(asking, f"{_QUESTIONS} answers after the restart")

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_a_second_outage_is_survived_like_the_first(
        self, network: Network, broker: Broker
    ) -> None:
        """Each outage in the life of a transport is told and survived, not only the first.

        If this fails: what connects again ends when it has succeeded, or counts its attempts over
        the whole life; or an event that says "connected" is never cleared again.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        inboxes = await network.listen(receiver, "worker", _SYSTEM)
        await network.serve(receiver, "oracle")
        await greet(network, sender, inboxes)
        for number in range(2):
            await _told_outage(network, broker, notes)
            await reached_in_order(network, sender, inboxes)
            what = f"an answer after outage {number + 1}"
            await network.within(until_answered(network, sender), what)
        reports = [each.link for each in notes]
        assert reports == [["down", "up"] * 2] * 2, f"two outages were reported as {reports}"

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_a_subscription_made_in_an_outage_holds(
        self, network: Network, broker: Broker
    ) -> None:
        """What is subscribed while the broker is away is reached when it is back.

        `subscribe` may also raise a CivitasError; then it works when the broker is back.

        If this fails: the new connection gets the list of subscriptions as it was when the old one
        was lost; or a `subscribe` that was refused leaves the address with an owner.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        [early] = await network.listen(receiver, "early")
        await greet(network, sender, [early])
        late = [Arrivals("late", network), Arrivals(_SYSTEM, network)]
        refused: list[Arrivals] = []
        with outage(network, broker.kill, broker.start):
            await network.until(lambda: all(each.is_down for each in notes), "link_down()")
            for inbox in late:
                subscribe = receiver.subscribe(inbox.address, inbox.put)
                what = f"subscribe({inbox.address!r}) in an outage"
                if await network.refused_or_silent(subscribe, CivitasError, what):
                    refused.append(inbox)
        await network.until(lambda: all(each.is_up for each in notes), "link_up()")
        for inbox in refused:
            again = until_subscribed(receiver, inbox)
            await network.within(again, f"subscribe({inbox.address!r}) after the outage")
        await reached_in_order(network, sender, [early, *late])

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_what_is_left_in_an_outage_stays_left(
        self, network: Network, broker: Broker
    ) -> None:
        """After an `unsubscribe` in an outage no frame of that address comes any more.

        If this fails: all that the old connection had is subscribed again. A transport may offer
        no `unsubscribe`.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        unsubscribe = getattr(receiver, "unsubscribe", None)
        if unsubscribe is None:
            pytest.skip("this transport offers no unsubscribe")
        steady, left = await network.listen(receiver, "steady", _SYSTEM)
        await greet(network, sender, [steady, left])
        with outage(network, broker.kill, broker.start):
            await network.until(lambda: all(each.is_down for each in notes), "link_down()")
            leave = unsubscribe(_SYSTEM)
            await network.refused_or_silent(leave, CivitasError, "unsubscribe() in an outage")
        await network.until(lambda: all(each.is_up for each in notes), "link_up()")
        await reached_in_order(network, sender, [steady])
        notes[1].dropped.clear()
        publish = sender.publish(_SYSTEM, network.frame(b"to nobody"))
        await network.refused_or_silent(publish, CivitasError, f"publish to {_SYSTEM!r}")
        await reached_in_order(network, sender, [steady])
        assert len(left.frames) == 1, "a frame came to a handler that had left"
        assert not notes[1].dropped, "the broker still sends what is for the address that was left"

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_connecting_again_leaves_nothing_behind(
        self, network: Network, broker: Broker
    ) -> None:
        """After several outages a transport has as many descriptors, tasks and threads as before.

        If this fails: the lost connection is forgotten, not closed; or a task of it waits on.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        inboxes = await network.listen(receiver, "worker")
        await greet(network, sender, inboxes)
        await _told_outage(network, broker, notes)
        await reached_in_order(network, sender, inboxes)
        before = _held(network)
        for _ in range(_OUTAGES):
            await _told_outage(network, broker, notes)
            await reached_in_order(network, sender, inboxes)

        def grown() -> dict[str, int]:
            return {
                what: n - before[what] for what, n in _held(network).items() if n > before[what]
            }

        try:
            await network.until(lambda: not grown(), "what was held to be given back")
        except AssertionError as error:
            raise AssertionError(f"{_OUTAGES} outages left behind: {grown()}") from error

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_it_waits_between_attempts_to_connect(
        self, network: Network, broker: Broker
    ) -> None:
        """While the broker is away there are pauses between attempts, and the processor has rest.

        If this fails: the loop that connects again has no pause, or none after a connection that
        was refused at once. Let pauses grow, with some chance in them.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        inboxes = await network.listen(receiver, "worker")
        await greet(network, sender, inboxes)
        with outage(network, broker.kill, broker.start):
            await network.until(lambda: all(each.is_down for each in notes), "link_down()")
            with ConnectAttempts() as attempts:
                busy = Busyness()
                await asyncio.sleep(_WATCHED)
                share = busy.share
        assert attempts.count <= 2 * _ATTEMPTS, (
            f"two transports tried to connect {attempts.count} times in {_WATCHED:g} s"
        )
        assert share < _BUSY, f"two that wait used {share:.0%} of a processor"
        await reached_in_order(network, sender, inboxes)

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_a_thousand_addresses_survive_an_outage(
        self, network: Network, broker: Broker
    ) -> None:
        """A thousand subscriptions of one process are all reached at `link_up`, once each.

        If this fails: they are asked for one after the other, each with a round trip; or together,
        in more than the broker or a buffer takes at once; or within a time for all of them.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        prefix = RESERVED_PREFIX if self.capabilities.at_least_once else ""
        inboxes = [Arrivals(f"{prefix}a{number}", network) for number in range(_ADDRESSES)]
        subscribing = (receiver.subscribe(each.address, each.put) for each in inboxes)
        await network.within(asyncio.gather(*subscribing), f"{_ADDRESSES} subscriptions")
        await network.ready()
        await _told_outage(network, broker, notes)
        await _all_reached(network, sender, inboxes)

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_what_is_called_not_sent_does_not_arrive(
        self, network: Network, broker: Broker
    ) -> None:
        """NotConnectedError means that the frame was not sent, also while the broker dies.

        What the broker may have got is an OutcomeUnknownError.

        If this fails: every error of a lost connection is called NotConnectedError, though the
        frame was on its way.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, "worker")
        await greet(network, sender, inboxes)
        frames = [network.frame_of(2000, b"%d " % number) for number in range(_AT_ONCE)]
        sending = [network.spawn(sender.publish("worker", frame)) for frame in frames]
        await inboxes[0].first(2)
        with outage(network, broker.kill, broker.start):
            await network.within(asyncio.wait(sending), "publish() while the broker dies")
        await reached_in_order(network, sender, inboxes)
        _none_came(frames, sending, inboxes[0])

    @behaviour
    async def test_what_a_silent_broker_may_have_is_not_called_unsent(
        self, network: Network, freezer: Freezer
    ) -> None:
        """Of what is published while the broker stands still, nothing that was refused arrives.

        Unless the error was an OutcomeUnknownError: nobody knows what it will do when it goes on.

        If this fails: a confirmation that does not come in time is called NotConnectedError, or
        another error that says that the frame was not sent.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        inboxes = await network.listen(receiver, "worker")
        await greet(network, sender, inboxes)
        frames: list[bytes] = []
        sending: list[asyncio.Task[None]] = []
        with outage(network, freezer.pause, freezer.resume):
            while not notes[0].is_down and len(frames) < _AT_ONCE:
                frames.append(network.frame(b"in between %d" % len(frames)))
                sending.append(network.spawn(sender.publish("worker", frames[-1])))
                await asyncio.sleep(_PAUSE)
            await network.until(lambda: all(each.is_down for each in notes), "link_down()")
            all_sent = asyncio.gather(*sending, return_exceptions=True)
            await network.within(all_sent, "publish() to a broker that stands still")
        await network.until(lambda: all(each.is_up for each in notes), "link_up()")
        await reached_in_order(network, sender, inboxes)
        _none_came(frames, sending, inboxes[0])


async def _told_outage(network: Network, broker: Broker, notes: list[Notes]) -> None:
    """Have an outage that every transport has noticed, and has reported to be over."""
    with outage(network, broker.kill, broker.start):
        await network.until(lambda: all(each.is_down for each in notes), "link_down()")
    await network.until(lambda: all(each.is_up for each in notes), "link_up()")


async def _all_reached(network: Network, sender: Transport, inboxes: list[Arrivals]) -> None:
    """Fail when one of them does not get the very next frame, once."""
    frame = network.frame(b"the very next")

    def missing() -> list[str]:
        return [inbox.address for inbox in inboxes if frame not in inbox.frames]

    publishing = asyncio.gather(*(sender.publish(inbox.address, frame) for inbox in inboxes))
    await network.within(publishing, f"publish() to {len(inboxes)} addresses")
    try:
        await network.until(lambda: not missing(), "all addresses to be reached")
    except AssertionError as error:
        lost = missing()
        text = f"{len(lost)} of {len(inboxes)} addresses were not reached, such as {lost[:3]}"
        raise AssertionError(text) from error
    twice = [inbox.address for inbox in inboxes if len(inbox.frames) > 1]
    assert not twice, f"{len(twice)} addresses got a frame twice, such as {twice[:3]}"


def _held(network: Network) -> dict[str, int]:
    """Return how much this process holds, without what the adopter's fixtures have opened."""
    mine = leaks.descriptors().keys() - network.foreign_descriptors.keys()
    return {
        "descriptors": len(mine),
        "tasks": len(asyncio.all_tasks()),
        "threads": len(leaks.threads()),
    }


def _none_came(frames: list[bytes], sending: list[asyncio.Task[None]], inbox: Arrivals) -> None:
    """Fail when a frame has arrived of which its sender was told that it was not sent."""
    arrived = set(inbox.frames)
    for frame, publish in zip(frames, sending, strict=True):
        error = publish.exception()
        assert error is None or isinstance(error, CivitasError), f"publish() raised {error!r}"
        unsent = error is not None and not isinstance(error, OutcomeUnknownError)
        assert not (unsent and frame in arrived), (
            f"publish() raised {type(error).__name__}, which says that it was not sent, "
            f"and the frame arrived"
        )
