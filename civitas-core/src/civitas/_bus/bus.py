"""MessageBus: from a name to a frame on the transport, and from an address to a mailbox."""

from __future__ import annotations

import asyncio
from asyncio import current_task
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from functools import partial
from threading import get_ident
from typing import Final, cast

from civitas import _platform as platform
from civitas._bus.accounting import ReceiveAccounting
from civitas._bus.affinity import LoopAffinity
from civitas._bus.answers import Answers
from civitas._bus.arguments import reserved_type
from civitas._bus.bare_transport import BareTransport
from civitas._bus.batching import LONE, OutgoingBatches
from civitas._bus.codec import FrameCodec, new_origin
from civitas._bus.dead_letters import DeadLetters
from civitas._bus.error_replies import error_of
from civitas._bus.instrument_guards import Instruments
from civitas._bus.local_delivery import local_delivery
from civitas._bus.mailbox import Item, Mailbox
from civitas._bus.receivers import DurableReceiver, LocalReceiver, NumberedReceiver
from civitas._bus.routes import LocalRoute, Receiver, RemoteRoute, was_sent
from civitas._bus.routing_table import RoutingTable
from civitas._bus.wait_for_graph import WaitForGraph
from civitas.envelope import Origin
from civitas.errors import MessageValidationError
from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX, TYPE_ERROR, Message
from civitas.plugins.specs import log_failure
from civitas.registry import LocalRegistry, RoutingEntry
from civitas.serializer import Serializer
from civitas.transport import PublishesAtOnce, Transport
from civitas.transport.in_process import within_process_of
from civitas.transport.request_in_flight import Answer
from civitas.transport.tasks import Failed, contained

DEFAULT_SEND_TIMEOUT: Final = 30.0
"""Seconds that a send waits for room in a full mailbox."""

_AFTER_RESERVED: Final = "_b"
"""Greater than all reserved types: a comparison costs less than a look at how a type begins."""


class MessageBus:
    """Sends messages by name, and puts the frames for this node's agents into their mailboxes.

    Args:
        transport: carries the frames.
        registry: has the routes as its entries.
        serializer: writes the bodies of outgoing frames, and reads those of the same name.
        accept: serializers whose frames are read besides.
        origin: the node's identity in outgoing frames.
        dead_letters: where undeliverable messages are accounted for.
        send_timeout: seconds that a send waits for room in a full mailbox.
        durable: whether the transport is at-least-once: it keeps messages for agents that are away
            and gives each again until it is processed.
        failed: called when something of the bus that runs on its own has ended unexpectedly.
        instruments: see its dead letters, and, in a `WatchedBus`, what is sent.
    """

    def __init__(
        self,
        transport: Transport,
        registry: LocalRegistry,
        serializer: Serializer,
        *,
        accept: Iterable[Serializer] = (),
        origin: Origin | None = None,
        dead_letters: DeadLetters | None = None,
        send_timeout: float = DEFAULT_SEND_TIMEOUT,
        durable: bool = False,
        failed: Failed = log_failure,
        instruments: Instruments | None = None,
    ) -> None:
        self.affinity = LoopAffinity()
        """Where it may be used: in the event loop of the node that was started with it."""
        self.registry = registry
        self.routes = RoutingTable(registry, durable=durable)
        self.dead_letters = dead_letters if dead_letters is not None else DeadLetters(failed)
        self.failed = failed
        self.instruments = Instruments() if instruments is None else instruments
        if self.instruments.have("dead_letter"):
            self.dead_letters.subscribe(self.instruments.dead_letter)
        self.waiting = WaitForGraph(registry.lookup)
        self._asks = self.waiting.asks
        self.answers = Answers(self.dead_letters, registry, self.waiting)
        self.send_timeout = send_timeout
        self.closing = False
        """Set while the node stops: only what a handler sends is still taken."""
        self.durable = durable
        self.accounting: ReceiveAccounting | None = None
        """Counts what comes from other nodes; None while there are none."""
        self.on_detach: Callable[[str], Awaitable[None]] | None = None
        """Awaited before the transport lets go of an agent's address; None: nobody need know."""
        self.sent = 0
        self._delivered = 0  # to agents that are detached
        self._pending_subscriptions: list[LocalRoute] = []
        self._lookup = registry.entries.get
        self._is_bare = getattr(transport, "capabilities", None) is None
        dropped = None if self._is_bare else self.dead_letters.record
        self._serializer = serializer
        self._make_codec = partial(FrameCodec, serializer, tuple(accept), dropped=dropped)
        self.identify(origin or new_origin(), transport)

    def identify(self, origin: Origin, transport: Transport | None = None) -> None:
        """Seal frames as another node from now on, and use this transport, made for that node.

        Without a transport the present one goes on. What was configured is kept.
        """
        self.origin = origin
        self.codec = self._make_codec(origin)
        # Of the hot path:
        self._head = self.codec.head
        # A bare transport may read what it carries, also where the reply address is to be.
        self._request_head = self._head if self._is_bare else self.codec.own_request_head
        self._serialize = self.codec.serialize
        self.read = self.codec.read
        if transport is not None and self._is_bare:
            transport = BareTransport(transport, lambda: self.codec.head, lambda: self.send_timeout)
        if transport is not None:
            self.transport: Transport = transport
        self.outgoing = OutgoingBatches(
            self.transport,
            self.send_timeout,
            self.dead_letters.record,
            self.failed,
            together=not (self.durable or self._is_bare),
        )
        """What goes to other nodes goes by this."""
        self._publish_nowait = self.outgoing.publish_nowait
        self._request_far: Callable[..., Awaitable[bytes]] = self.transport.request
        self._request_alone: Callable[..., Awaitable[bytes]] = self._request_far
        if self.outgoing.together:
            request = cast("PublishesAtOnce", self.transport).request
            self._request_far = partial(request, publish=self.outgoing.begin_publish)
            lone = partial(self.outgoing.begin_publish, within=LONE)
            self._request_alone = partial(request, publish=lone)
        self._delivery = local_delivery(
            self.transport, self._serializer, origin, durable=self.durable
        )
        seals = within_process_of(self.transport) is not None  # with the reply address, at once
        self._request = self.codec.unsealed_request if seals else self.codec.request
        self.packed = _as_frame if self._delivery is None else self._delivery.packed
        self.waiting.identify(self._delivery, self.transport)
        self.answers.identify(self.codec, self.outgoing, self._delivery, bare=self._is_bare)

    @property
    def delivered(self) -> int:
        """Frames that came into mailboxes of this node."""
        return self._delivered + sum(
            each.receiver.delivered
            for each in list(self.registry.entries.values())
            if isinstance(each, LocalRoute)
        )

    # --- sending ----------------------------------------------------------------------------

    async def send(self, message: Message, *, own: bool = False) -> None:
        """Send a message to the agent, or the reply address, that it names.

        `own` says that it was composed for this call: nobody else has it.

        Raises:
            MessageRoutingError: there is no agent of that name.
            MailboxFullError: there was no room within `send_timeout`.
            MessageValidationError: the message's type is reserved.
            SerializationError: a value of the payload can't be sent.
            TransportError: the transport could not take it.
            ConfigurationError: this is not the event loop of the node.
        """
        if get_ident() != self.affinity.thread:
            self.affinity.check()
        if message.type < _AFTER_RESERVED and message.type.startswith(RESERVED_PREFIX):
            raise reserved_type(message)
        route = self._lookup(message.recipient)
        if own and type(route) is LocalRoute:
            packed = self.packed(message)
            if packed is not None:
                item = (message, packed)
                if route.mailbox.put_nowait(item):  # what `route.put` does, without a call of it
                    route.receiver.delivered += 1
                    self.sent += 1
                else:
                    await self._counted(route.wait(item))
                return
        if route is None or not route.is_local:
            await self._send_far(message, route)
            return
        frame = self._head + self._serialize(message)
        await self._counted(self.transport.publish(route.address, frame))

    async def _counted(self, sending: Awaitable[None]) -> None:
        """Await it, and count it as sent, also where it was cancelled and may have been."""
        try:
            await sending
        except BaseException as error:
            self.sent += was_sent(error)
            raise
        self.sent += 1

    async def _send_far(self, message: Message, route: RoutingEntry | None) -> None:
        """Send to what is no agent of this node: one of another node, a reply address, nobody."""
        name, left = message.recipient, self.send_timeout
        if not isinstance(route, RemoteRoute):
            if not isinstance(name, str):
                raise MessageValidationError(f"a recipient is a name, not a {type(name).__name__}")
            if name.startswith(REPLY_PREFIX) or self.transport.has_reply_address(name):
                await self.answers.answer(message)
                by = self._lookup(message.sender)
                if isinstance(by, LocalRoute):
                    by.answered = name
                return
            if self.routes.keeps(name):
                frame = self._head + self._serialize(message)
                await self._counted(self.transport.publish(name, frame))
                return
            now = asyncio.get_running_loop().time
            deadline = now() + left
            route = await self.routes.find(name, left)
            left = max(deadline - now(), 0.0)
        body = self._serialize(message)
        number = route.next_number() or await route.number(left)
        try:
            frame = self.codec.numbered(number, body)
            if not self._publish_nowait(name, frame):
                await self.outgoing.wait_and_publish(name, frame)
        except BaseException as error:
            if was_sent(error):
                self.sent += 1
            else:
                route.give_back(number)
            raise
        self.sent += 1

    # --- asking -----------------------------------------------------------------------------

    async def ask(
        self, message: Message, timeout: float | None, *, own: bool = False, by_agent: bool = True
    ) -> Message:
        """Send a message and return its answer; `own` says what it says for `send`.

        `by_agent`: whether it is an agent that asks, which may be held up by it.

        Raises:
            AgentError: the asked agent raised.
            TimeoutError: no answer within `timeout` seconds.
            MailboxFullError: there was no room for the question within `timeout` seconds.
            CivitasError: as for `send`.
        """
        if get_ident() != self.affinity.thread:
            self.affinity.check()
        if message.type < _AFTER_RESERVED and message.type.startswith(RESERVED_PREFIX):
            raise reserved_type(message)
        recipient = message.recipient
        route = self._lookup(recipient)
        answer: Answer
        try:
            if route is None or not route.is_local:
                answer = await self._ask_far(message, timeout, route)
            elif type(route) is LocalRoute and not by_agent:
                answer = await self._ask_here(route, message, timeout, own=own)
            elif type(route) is LocalRoute:
                asker, asks = current_task(self.affinity.loop), self._asks
                if asks or recipient == message.sender:  # else nobody waits, and there is no ring
                    self.waiting.check(asker, route)
                asks[asker] = route, message
                try:
                    answer = await self._ask_here(route, message, timeout, own=own)
                finally:
                    asks.pop(asker, None)
            else:  # a name that somebody has registered by hand
                request = self._request_head + self._serialize(message)
                answer = await self.transport.request(recipient, request, timeout)  # type: ignore[arg-type]
        except BaseException as error:
            self.sent += was_sent(error)
            if not isinstance(error, TimeoutError):
                raise
            why = await self.waiting.blocked(message, timeout)
            raise type(error)(f"ask {recipient!r}: {error}".removesuffix(": ") + why) from None
        self.sent += 1
        reply = self.read(answer, answer=True)
        if reply.type == TYPE_ERROR:
            raise error_of(reply)
        return reply

    def _ask_here(
        self, route: LocalRoute, message: Message, timeout: float | None, *, own: bool
    ) -> Awaitable[Answer]:
        """Send a request to an agent of this node; awaiting it gives what answers it."""
        loop = self.affinity.loop  # it is the running one, as `ask` has checked
        if own and self._delivery is not None:
            asking = self._delivery.ask(route, message, timeout, loop)
            if asking is not None:
                return asking
        request = self._request_head + self._serialize(message)
        return self._ask_by_frame(route, message.id, request, timeout)

    async def _ask_by_frame(
        self, route: LocalRoute, id: str, request: bytes, timeout: float | None
    ) -> bytes:
        self.waiting.open.add(id)
        try:
            # It may wait in a durable transport, where nobody answers once the agent has ended.
            with route.requesting() if self.durable else nullcontext():
                return await self.transport.request(route.address, request, timeout)  # type: ignore[arg-type]
        finally:
            self.waiting.open.discard(id)

    async def _ask_far(
        self, message: Message, timeout: float | None, route: RoutingEntry | None
    ) -> bytes:
        """Send a request to an agent of another node and return the frame that answers it."""
        name, number = message.recipient, 0
        deadline = None if timeout is None else platform.monotonic() + timeout
        asker, asks_far = current_task(self.affinity.loop), self.waiting.asks_far
        asks_far[asker] = message
        try:
            if not isinstance(route, RemoteRoute):
                route = await self.routes.find(name, timeout)
            body = self._serialize(message)
            if not self._is_bare:  # else it takes requests apart, and loses the number
                number = route.next_number() or await route.number(_until(deadline))
            request = self._request_far if route.has_requests else self._request_alone
            with route.requesting(asker):
                frame = self._request(number, "" if self._is_bare else route.node, body)
                return await request(name, frame, _until(deadline))
        except BaseException as error:
            if number and isinstance(route, RemoteRoute) and not was_sent(error):
                route.give_back(number)
            raise
        finally:
            asks_far.pop(asker, None)

    # --- receiving --------------------------------------------------------------------------

    async def attach(self, mailbox: Mailbox[Item]) -> None:
        """Register an agent and put what comes for it into its mailbox.

        What a durable transport keeps waits for `take_over`: another node may have the name, and
        be at work on it.

        Raises:
            ConfigurationError: the name can't be one, or is taken.
        """
        route = LocalRoute(mailbox, self._receiver(mailbox), self.send_timeout)
        self.registry.add(route)
        if self.durable:
            self._pending_subscriptions.append(route)
        else:
            await self.transport.subscribe(route.address, route.receiver.handler)

    async def take_over(self) -> None:
        """Begin with what a durable transport keeps for the attached agents: the names are ours.

        Raises:
            TransportError: the transport can't.
        """
        pending, self._pending_subscriptions = self._pending_subscriptions, []
        subscribe = self.transport.subscribe
        subscribing = [subscribe(each.address, each.receiver.handler) for each in pending]
        await asyncio.gather(*map(contained, subscribing))

    async def detach(self, name: str) -> None:
        """Take an agent, whose mailbox is closed, off the registry and off the transport."""
        route = self._lookup(name)
        self.registry.deregister(name)
        if isinstance(route, LocalRoute):
            self._delivered += route.receiver.delivered
            if route in self._pending_subscriptions:
                self._pending_subscriptions.remove(route)
            stopped = f"agent {name!r} has stopped and takes no more messages"
            self.routes.close_later(route, stopped)
            if self.on_detach is not None:
                await self.on_detach(name)
        if (unsubscribe := getattr(self.transport, "unsubscribe", None)) is not None:
            await unsubscribe(name)

    def _receiver(self, mailbox: Mailbox[Item]) -> Receiver:
        dropped = self.dead_letters.record
        if self.durable:
            return DurableReceiver(mailbox, self.answers.reject_while_stopping, dropped)
        if self.accounting is not None:
            return NumberedReceiver(mailbox, self.accounting, self.send_timeout, dropped)
        return LocalReceiver(mailbox, self.send_timeout)


def _as_frame(_message: Message) -> None:
    """Take the place of `LocalDelivery.packed` where everything is a frame."""


def _until(deadline: float | None) -> float | None:
    """Return the seconds until a time of the platform's clock; None for no limit."""
    return None if deadline is None else max(deadline - platform.monotonic(), 0.0)
