"""What is promised of start and stop: clear refusals outside them, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from civitas.errors import CivitasError, NotConnectedError
from civitas.messages import RESERVED_PREFIX
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Network
from civitas.testing.suite import for_claim
from civitas.transport import Transport

_ACCEPTED: Final = 50
_SHORT: Final = 0.05
_LONG: Final = 600.0
"""Seconds of a request's timeout that no test waits for."""


class LifecycleBehaviours(Behaviours):
    """From `start` to `stop`, and what lies outside them."""

    @behaviour
    async def test_before_start_nothing_is_sent(self, network: Network) -> None:
        """`publish` and `request` before `start` raise NotConnectedError.

        If this fails: the first use connects by itself; or a None that `start` would have
        replaced raises AttributeError.
        """
        await _refuses_to_send(network, network.make(), "before start")

    @behaviour
    async def test_after_stop_nothing_is_sent(self, network: Network) -> None:
        """`publish` and `request` after `stop` raise NotConnectedError.

        If this fails: `stop` leaves the closed socket in place, whose own error comes out; or the
        local shortcut goes on delivering.
        """
        transport = await network.start()
        await network.listen(transport, "worker")
        await network.within(transport.stop(), "stop()")
        await _refuses_to_send(network, transport, "after stop")

    @behaviour
    async def test_wait_ready_returns(self, network: Network) -> None:
        """`wait_ready` returns, before and after the first subscription, and each time again.

        If this fails: it waits for an event that comes only once, or only with a subscription.
        """
        transport = await network.start()
        await network.within(transport.wait_ready(), "wait_ready() without a subscription")
        await network.listen(transport, "worker")
        await network.within(transport.wait_ready(), "wait_ready() for the second time")

    @behaviour
    async def test_stop_is_idempotent(self, network: Network) -> None:
        """`stop` may be called again, also while another call of it is under way.

        If this fails: the second call closes what the first has set to None. Take each resource
        out of its attribute before closing it.
        """
        transport = await network.start()
        await network.listen(transport, "worker")
        both = asyncio.gather(transport.stop(), transport.stop())
        await _no_error(network, both, "two calls of stop at once")
        await _no_error(network, transport.stop(), "another stop")

    @behaviour
    async def test_stop_works_without_start(self, network: Network) -> None:
        """`stop` of a transport that was never started does nothing.

        If this fails: it expects what `start` makes.
        """
        await _no_error(network, network.make().stop(), "stop without start")

    @behaviour
    async def test_stop_works_half_started(self, network: Network) -> None:
        """`stop` after a `start` that was cancelled on its way gives back what it had taken.

        If this fails: `start` assigns its resources only at its end; keep each from the moment
        it exists.
        """
        for turns in range(3):
            transport = network.make()
            starting = network.spawn(transport.start())
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            await network.within(asyncio.wait([starting]), "a cancelled start to end")
            await _no_error(network, transport.stop(), "stop of a half-started transport")

    @behaviour
    async def test_stop_fails_requests_in_flight(self, network: Network) -> None:
        """`stop` ends every request in flight at once, with a CivitasError.

        If this fails: nothing ends them (`ReplyInbox.close`), so each waits for its timeout; or
        they are cancelled, which looks to the caller as if somebody had cancelled the caller.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "silent")
        asked = [
            network.spawn(asker.request("silent", network.frame(b"?"), _LONG)) for _ in range(3)
        ]
        await inbox.first(len(asked))
        await network.within(asker.stop(), "stop() with requests in flight")
        await network.within(asyncio.wait(asked), "requests in flight to end after stop")
        for request in asked:
            assert not request.cancelled(), "stop cancelled a request in flight"
            error = request.exception()
            assert isinstance(error, CivitasError), f"stop ended a request with {error!r}"

    @for_claim("cross_process")
    @behaviour
    async def test_stop_delivers_what_was_accepted(self, network: Network) -> None:
        """What `publish` has returned for arrives, though `stop` follows at once.

        If this fails: `stop` throws away what waits to be sent. Send it first, within a second.
        """
        sender, receiver = await network.pair()
        [inbox] = await network.listen(receiver, "worker")
        frames = [network.frame(b"%d" % number) for number in range(_ACCEPTED)]
        for frame in frames:
            await sender.publish("worker", frame)
        await network.stop(sender)
        arrived = await inbox.first(_ACCEPTED)
        assert arrived == frames, "what was accepted before the stop did not arrive"

    @behaviour
    async def test_start_after_stop_works_or_is_refused(self, network: Network) -> None:
        """A stopped transport starts again and delivers, or `start` raises a CivitasError.

        Subscriptions of the first life are not expected to be there, nor to be in the way.

        If this fails: `stop` keeps the old subscriptions; or `start` goes on with closed parts.
        """
        transport = await network.start()
        await network.listen(transport, "worker")
        await network.within(transport.stop(), "stop()")
        again = network.refused_or_silent(transport.start(), CivitasError, "start after stop")
        if await again is not None:
            return
        [inbox] = await network.listen(transport, "worker")
        await transport.publish("worker", network.frame(b"second life"))
        await inbox.first()

    @behaviour
    async def test_a_used_transport_leaves_nothing(self, network: Network) -> None:
        """After delivery, requests, a timeout and `stop`, no task, thread or descriptor is left.

        If this fails: a task was cancelled and not awaited, a thread not joined, a socket or a
        context not closed. The same is checked after every other test.
        """
        sender, receiver = await network.pair()
        inboxes = await network.listen(receiver, "worker", f"{RESERVED_PREFIX}conformance")
        await network.serve(receiver, "oracle")
        for inbox in inboxes:
            await sender.publish(inbox.address, network.frame(b"hello"))
            await inbox.first()
        await network.within(sender.request("oracle", network.frame(b"?"), 10.0), "an answer")
        unanswered = sender.request("worker", network.frame(b"?"), _SHORT)
        await network.refused(unanswered, TimeoutError, "a request that nobody answers")


async def _refuses_to_send(network: Network, transport: Transport, when: str) -> None:
    frame = network.frame(b"hello")
    for address in ("worker", f"{RESERVED_PREFIX}conformance"):
        publish = transport.publish(address, frame)
        await network.refused(publish, NotConnectedError, f"publish to {address!r} {when}")
    request = transport.request("worker", frame, _SHORT)
    await network.refused(request, NotConnectedError, f"request {when}")


async def _no_error(network: Network, work: Awaitable[Any], what: str) -> None:
    try:
        await network.within(work, what)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{what} raised {error!r}") from error
