"""The Transport protocol: what carries frames from an address to its handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, TypeAlias

Handler: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Awaited with each frame of an address, in the order received.

A handler may have a method `take(frame) -> bool` besides, which takes a frame without waiting, or
returns False so that the handler is awaited with it.

For an agent's address of a transport that claims `at_least_once` the handler ends when the agent
has finished with the frame, and its outcome decides what the transport does with it. The transport
awaits it with one frame of the address after the other; or, where the handler has an attribute
`concurrency`, with as many at once at most, each settled by its own outcome, and begun in their
order. When it gives a frame again, the count of earlier deliveries is set by
`envelope.with_attempt`:

- It returns: acknowledge the frame. It was processed, or it had expired, or the error was sent to
  the agent that asked.
- `ProcessingError`: the agent executed it and failed. Give it again after a delay, before any later
  frame of the address that was not given yet, and count one delivery; at the limit, make it a dead
  letter and call `TransportContext.dropped`. Of several at once it keeps its place among them, and
  the others go on.
- `FrameError`, `DeserializationError`: it can never be read. Make it a dead letter at once; the
  node has counted it already.
- Any other error, or cancelled by the transport itself: it was not executed, or not to its end.
  Give it again after a delay, without counting.

Before the node calls `unsubscribe` for an agent, or `stop`, it ends the handlers of its agents.
`unsubscribe` acknowledges what was processed until then, cancels a handler that is still awaited
all the same, and keeps the rest of the address for whoever subscribes to it next.
"""


def concurrency_of(handler: Handler) -> int:
    """Return how many frames of an agent's address its handler may be awaited with at once, now.

    It may change when the agent restarts: ask again for each frame.
    """
    concurrency: int = getattr(handler, "concurrency", 1)
    return concurrency


Publish: TypeAlias = Callable[[str, bytes], Awaitable[None] | None]
"""Sends a frame to an address, as `Transport.publish` does; None where there is nothing to await.

`ReplyInbox.request` takes either.
"""


class Transport(Protocol):
    """Carries frames between addresses. There is no base class: any class of this shape will do.

    `data` is a frame (`civitas.envelope`); a transport never decodes its body. An optional method
    `unsubscribe(address)` ends a subscription, `backlog(addresses)` is that of `CountsBacklog`,
    `publish_nowait(address, data)` that of `PublishesAtOnce`, and an optional attribute
    `capabilities` has what the transport claims.
    """

    async def start(self) -> None:
        """Connect and bind.

        Raises:
            TransportError: it can't; the message says what to do.
        """
        ...

    async def stop(self) -> None:
        """Drain what was accepted and leave nothing behind. Idempotent, also half-started."""
        ...

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame that arrives at `address` to `handler`.

        An agent's address and a reply address have one owner; a system address (`_agency.`) may
        have many subscribers and reaches each of them. A handler that raises stops nothing; what
        it means to a transport that is at-least-once is described at `Handler`.

        Raises:
            TransportError: the address has an owner already.
        """
        ...

    async def publish(self, address: str, data: bytes) -> None:
        """Send a frame to an address.

        An at-least-once transport returns when the frame is kept safe, also when nobody is
        subscribed; system addresses and replies (`_agency.`, `_reply.`) are never kept.

        Cancelled while it waits, it sends nothing. Where it may have sent the frame by then, the
        cause of its CancelledError is an OutcomeUnknownError.

        Raises:
            MessageRoutingError: it is known that nobody is there.
            MailboxFullError: there was no room in time.
            MessageTooLargeError: the frame is larger than this transport carries.
            NotConnectedError: the transport is not started, or stopped.
            OutcomeUnknownError: it may or may not have been sent.
        """
        ...

    async def request(self, address: str, data: bytes, timeout: float) -> bytes:
        """Send a frame and return the frame that answers it.

        Raises:
            TimeoutError: no answer within `timeout` seconds.
        """
        ...

    async def wait_ready(self) -> None:
        """Return when a frame published anywhere to an address subscribed here would arrive."""
        ...

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` is the reply address of a request in flight here."""
        ...


class PublishesAtOnce(Protocol):
    """What a transport may offer besides: then the frames of one turn of the loop go together.

    What core sends to one address in one turn is then one message, a batch (`civitas.envelope`).
    Such a transport gives what comes to a `Dispatcher`, which takes batches apart.
    """

    def publish_nowait(self, address: str, data: bytes) -> bool:
        """Send a frame and return True; return False where `publish` has to wait, or to raise.

        It overtakes no frame: it returns False while a `publish` waits for room. It never raises.
        """
        ...

    async def request(
        self, address: str, data: bytes, timeout: float | None, publish: Publish | None = None
    ) -> bytes:
        """Do what `Transport.request` does, and send the frame by `publish` if that is given.

        What `publish` returns is awaited, unless it is None: then the frame is sent.
        """
        ...


class CountsBacklog(Protocol):
    """What a transport that is at-least-once may offer besides: to count what waits in it."""

    async def backlog(self, addresses: Collection[str]) -> Mapping[str, int]:
        """Return how many frames are kept for each of these addresses of agents.

        Those count that are not processed: also the one that an agent has in hand, and also where
        nobody is subscribed. Dead letters don't. An address for which nothing is kept has 0, or is
        left out. Nothing is given or acknowledged. There may be thousands of addresses: ask the
        broker for them together.

        Raises:
            TransportError: the transport is not started, or the broker does not answer, or refuses.
        """
        ...
