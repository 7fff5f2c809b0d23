"""What is promised when the broker, or the way to it, goes away and comes back."""

from __future__ import annotations

from typing import Final, Protocol

from civitas.errors import CivitasError, OutcomeUnknownError
from civitas.messages import RESERVED_PREFIX
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.testing.recovery import (
    ends_in_time,
    greet,
    outage,
    reached_in_order,
    ready_again,
    until_answered,
    until_subscribed,
)
from civitas.testing.suite import for_claim

_SYSTEM: Final = f"{RESERVED_PREFIX}conformance"
_SHORT: Final = 0.2
"""Seconds that a request may take while nobody can answer it."""


class Broker(Protocol):
    """What the fixture `broker` gives. Both methods block, and the event loop stands still."""

    def kill(self) -> None:
        """End the broker as a crash would; return when it is gone."""
        ...

    def start(self) -> None:
        """Start it again at the same address, with its store; return when it lets clients in."""
        ...


class Link(Protocol):
    """What the fixture `link` gives: the way from all transports of a test to their broker."""

    def cut(self) -> None:
        """End every connection, and let none in."""
        ...

    def mend(self) -> None:
        """Let connections in again."""
        ...


class Freezer(Protocol):
    """What the fixture `freezer` gives: a broker, or a way to it, that can stand still."""

    def pause(self) -> None:
        """Let it stand still: it keeps its connections, and takes and gives nothing."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...


class OutageBehaviours(Behaviours):
    """A broker that is killed, or stands still, and a link that is cut."""

    @for_claim("survives_broker_restart", probe=True)
    @behaviour
    async def test_after_a_broker_restart_frames_arrive(
        self, network: Network, broker: Broker
    ) -> None:
        """When the broker is back, subscriptions made before its end get frames again, in order.

        Frames that are published in between may be lost, or refused with a CivitasError.

        If this fails: nothing connects again; or what was subscribed is not subscribed again on
        the new connection; or it is subscribed twice.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, "worker", _SYSTEM)
        await greet(network, sender, inboxes)
        with outage(network, broker.kill, broker.start):
            pass  # it may be over before anybody notices
        await reached_in_order(network, sender, inboxes)

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_after_a_broker_restart_ready_means_reachable(
        self, network: Network, broker: Broker
    ) -> None:
        """When `wait_ready` returns after a restart, the very next frame arrives.

        If this fails: `wait_ready` trusts a proof from before the restart. Forget what was proved
        when the connection is lost, and prove each subscription anew.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        await greet(network, sender, [inbox])
        with outage(network, broker.kill, broker.start):
            request = sender.request("nobody", network.frame(b"?"), _SHORT)
            await network.refused(request, (CivitasError, TimeoutError), "a request in an outage")
        await ready_again(network)
        frame = network.frame(b"the very next")
        await network.within(sender.publish("worker", frame), "publish() after wait_ready()")
        await inbox.including(frame)

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_after_a_broker_restart_requests_are_answered(
        self, network: Network, broker: Broker
    ) -> None:
        """When the broker is back, requests get their answers again.

        If this fails: `_reply.<node>` is not among what is subscribed again.
        """
        asker, answerer = await network.pair()
        await network.serve(answerer, "oracle")
        with outage(network, broker.kill, broker.start):
            pass  # it may be over before anybody notices
        await network.within(until_answered(network, asker), "an answer after the restart")

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_while_the_broker_is_away_nothing_hangs(
        self, network: Network, broker: Broker
    ) -> None:
        """Without a broker `publish` and `request` end in time, and so does `stop`.

        `publish` may return, or raise a CivitasError; `request` raises one, or TimeoutError.

        If this fails: a call waits for the connection without a deadline; or `stop` waits for
        the broker to take what was accepted.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, "worker", _SYSTEM)
        with outage(network, broker.kill, broker.start):
            await ends_in_time(network, sender, inboxes)
            for transport in (sender, receiver):
                await network.within(transport.stop(), "stop() without a broker")

    @for_claim("survives_broker_restart")
    @behaviour
    async def test_an_outage_is_told(self, network: Network, broker: Broker) -> None:
        """`link_down` is called when the connection is lost, `link_up` when all works again.

        Each is called once. Between the two `publish` raises a CivitasError, and the silence of
        others counts against nobody. What was refused does not arrive later, unless the error was
        OutcomeUnknownError. At `link_up` everything is subscribed again: routes are proved at once.

        If this fails: the context's functions are not called; or `link_up` comes before the
        subscriptions; or `publish` keeps frames, or loses them silently, while nobody takes them.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        [inbox] = await network.listen(receiver, "worker")
        await greet(network, sender, [inbox])
        with outage(network, broker.kill, broker.start):
            await network.until(lambda: all(each.is_down for each in notes), "link_down()")
            refused = network.frame(b"in between")
            publish = sender.publish("worker", refused)
            error = await network.refused(publish, CivitasError, "publish() after link_down()")
        await network.until(lambda: all(each.is_up for each in notes), "link_up()")
        frame = network.frame(b"the very next")
        await network.within(sender.publish("worker", frame), "publish() after link_up()")
        arrived = await inbox.including(frame)
        late = refused in arrived and not isinstance(error, OutcomeUnknownError)
        assert not late, "what publish() refused in the outage arrived after it"
        reports = [each.link for each in notes]
        assert reports == [["down", "up"]] * 2, f"one outage was reported as {reports}"

    @for_claim("at_least_once", "survives_broker_restart")
    @behaviour
    async def test_what_was_published_survives_the_broker(
        self, network: Network, broker: Broker
    ) -> None:
        """A frame that `publish` has returned for is there when the broker is back.

        If this fails: `publish` returns before the broker has said that it keeps the frame; or
        the broker keeps it in memory only.
        """
        sender, receiver = await network.pair()
        await network.ready()
        frames = [network.frame(b"%d" % number) for number in range(3)]
        for frame in frames:
            await network.within(sender.publish("worker", frame), "publish()")
        with outage(network, broker.kill, broker.start):
            pass  # it may be over before anybody notices
        inbox = Arrivals("worker", network)
        await network.within(until_subscribed(receiver, inbox), "subscribe() after the restart")
        arrived = await inbox.first(len(frames))
        assert arrived[: len(frames)] == frames, "what was published is not what arrived"

    @behaviour
    async def test_after_a_cut_link_frames_arrive(self, network: Network, link: Link) -> None:
        """When a link that was cut is mended, frames arrive again in order, and requests too.

        If this fails: as after the restart of a broker; a broker that lives may also still hold
        the old subscription, so that frames come twice.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, "worker", _SYSTEM)
        await network.serve(receiver, "oracle")
        await greet(network, sender, inboxes)
        with outage(network, link.cut, link.mend):
            await ends_in_time(network, sender, inboxes)
        await reached_in_order(network, sender, inboxes)
        await network.within(until_answered(network, sender), "an answer over the mended link")

    @behaviour
    async def test_a_broker_that_stands_still_is_noticed(
        self, network: Network, freezer: Freezer
    ) -> None:
        """A broker that keeps its connections and says nothing is an outage like any other.

        `publish` ends in time, `link_down` is called, and when it goes on, so does everything.

        If this fails: nothing is asked of the broker that it would have to answer, so that its
        silence is taken for peace; or a write that nobody takes waits for ever. Make the
        transport with a short deadline here.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        inboxes = await network.listen(receiver, "worker", _SYSTEM)
        await greet(network, sender, inboxes)
        with outage(network, freezer.pause, freezer.resume):
            await ends_in_time(network, sender, inboxes)
            await network.until(lambda: all(each.is_down for each in notes), "link_down()")
        await network.until(lambda: all(each.is_up for each in notes), "link_up()")
        await reached_in_order(network, sender, inboxes)
