"""MessageBus: from a name to a frame on the transport, and back."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Callable, Iterable
from typing import Final

from civitas import envelope
from civitas._bus.accounting import ReceiveAccounting, Receiver
from civitas._bus.dead_letters import DeadLetters
from civitas._bus.mailbox import Mailbox
from civitas._bus.routes import LATE_REPLY_GRACE, Route, Routes
from civitas._bus.settlement import DurableReceiver
from civitas.envelope import KIND_REPLY, Origin
from civitas.errors import (
    AgentError,
    CivitasError,
    DeserializationError,
    FrameError,
    MailboxFullError,
    MessageRoutingError,
    MessageTooLargeError,
    MessageValidationError,
    TransportError,
)
from civitas.messages import (
    REPLY_PREFIX,
    RESERVED_PREFIX,
    TYPE_ERROR,
    Message,
    compose_reply,
)
from civitas.registry import LocalRegistry
from civitas.serializer import Serializer, name_of
from civitas.serializer.guards import checked, guarded
from civitas.transport import Handler, Transport, published_at

DEFAULT_SEND_TIMEOUT: Final = 30.0
"""Seconds that a send waits for room in a full mailbox."""

_ERROR_REPLY_TIMEOUT: Final = 2.0
"""Seconds that a transport may take for one; agents that end answer with it."""

_NOT_SENT: Final = (MailboxFullError, MessageRoutingError, MessageTooLargeError, TransportError)
"""Errors of a request that has not arrived, as far as is known: its number may be used again."""

_NUMBER: Final = struct.Struct(">Q")
_CLOCKS_AGREE: Final = 0.05
"""Seconds; clocks of one machine differ by less than can be measured."""


def new_origin() -> Origin:
    """Return the identity of a node that starts now: a random id and a later generation."""
    return Origin(os.urandom(8), int(time.time()) & 0xFFFF_FFFF)


class MessageBus:
    """Sends messages by name and opens the frames that come for this node's agents.

    Args:
        transport: carries the frames.
        registry: knows the addresses.
        serializer: writes the bodies of outgoing frames, and reads those of the same name.
        accept: serializers whose frames are read besides.
        origin: the node's identity in outgoing frames.
        dead_letters: where undeliverable messages are accounted for.
        send_timeout: seconds that a send waits for room in a full mailbox.
        durable: whether the transport is at-least-once: it keeps messages for agents that are away
            and gives each again until it is processed.
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
    ) -> None:
        self.transport = transport
        self.registry = registry
        self.serializer = serializer
        self.origin = origin or new_origin()
        self.dead_letters = dead_letters if dead_letters is not None else DeadLetters()
        self.send_timeout = send_timeout
        self.closing = False
        """Set while the node stops: only what a handler sends is still taken."""
        self.durable = durable
        self.rejecting = False
        """Set when the node stops and has no time for what a durable transport still has."""
        self.routes = Routes(durable=durable)
        """The ways to agents of other nodes."""
        self.accounting: ReceiveAccounting | None = None
        """Counts what comes from other nodes; None while there are none."""
        self.clock_offsets: dict[bytes, float] = {}
        """Seconds by which other nodes' clocks are ahead of this one's, where they differ."""
        self.sent = 0
        self._lookup = registry.lookup
        self._format = name_of(serializer)
        self._readers = {name_of(each): checked(each) for each in (*accept, serializer)}
        self._head = envelope.header(self._format, self.origin)
        self._serialize = guarded(serializer)
        self._deserialize = self._readers[self._format]
        self._head_size = len(self._head)
        self._reply_head = envelope.header(self._format, self.origin, kind=KIND_REPLY)[:-2]
        self._head_front, self._head_back = self._head[:16], self._head[24:]
        self._stamps_itself = getattr(transport, "capabilities", None) is None
        self._mailboxes: dict[str, Mailbox[bytes]] = {}
        self._receivers: dict[str, Receiver | DurableReceiver] = {}
        self._asked: dict[str, Route] = {}  # of this node's agents; only over a durable transport
        self._pending_subscriptions: dict[str, Handler] = {}
        self._delivered = 0

    @property
    def delivered(self) -> int:
        """Frames that came into mailboxes of this node."""
        return self._delivered + sum(each.delivered for each in list(self._receivers.values()))

    # --- sending ----------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Send a message to the agent, or the reply address, that it names.

        Raises:
            MessageRoutingError: there is no agent of that name.
            MailboxFullError: there was no room within `send_timeout`.
            MessageValidationError: the message's type is reserved.
            SerializationError: a value of the payload can't be sent.
            TransportError: the transport could not take it.
        """
        if message.type[:1] == "_" and message.type.startswith(RESERVED_PREFIX):
            raise _reserved(message)
        entry = self._lookup(message.recipient)
        if entry is None or not entry.is_local:
            await self._send_far(message)
            return
        await self.transport.publish(entry.address, self._head + self._serialize(message))
        self.sent += 1

    async def ask(self, message: Message, timeout: float | None) -> Message:
        """Send a message and return its answer.

        Raises:
            AgentError: the asked agent raised.
            TimeoutError: no answer within `timeout` seconds.
            MailboxFullError: there was no room for the question within `timeout` seconds.
            CivitasError: as for `send`.
        """
        if message.type.startswith(RESERVED_PREFIX):
            raise _reserved(message)
        name = message.recipient
        entry = self._lookup(name)
        if entry is None or not entry.is_local:
            return self._answer_in(await self._ask_far(message, timeout))
        mailbox = self._mailboxes.get(name)
        if mailbox is not None and mailbox.consumer is asyncio.current_task():
            raise MessageValidationError(
                f"agent {name!r} asked itself while handling a message: it could never answer; "
                f"call the method directly, or send"
            )
        frame = self._head + self._serialize(message)
        try:
            if name in self._asked:
                answer = await self._ask_here(name, frame, timeout)
            else:
                answer = await self.transport.request(entry.address, frame, timeout)  # type: ignore[arg-type]
        except TimeoutError as error:
            self.sent += not isinstance(error, MailboxFullError)
            raise _about_ask(name, error) from None
        self.sent += 1
        return self._answer_in(answer)

    def _answer_in(self, frame: bytes) -> Message:
        """Return the message in an answer, or raise the error that it tells of."""
        reply = self.read(frame)
        if reply.type == TYPE_ERROR:
            raise _error_of(reply)
        return reply

    async def answer(self, reply: Message) -> None:
        """Publish an answer at the reply address that `reply.recipient` names."""
        reply_to = reply.recipient
        body = self._serialize(reply)
        frame = self._reply_head + envelope.reply_part(reply_to) + body
        await self.transport.publish(published_at(reply_to), frame)

    async def refuse(self, frame: bytes, agent: str, error: CivitasError) -> None:
        """Account for a frame that `agent` could not read, and tell who asked with it."""
        self.dead_letters.record(f"unreadable {error.code}", frame, str(error))
        await self.answer_error(_question_in(frame, agent), agent, error)

    async def reject_while_stopping(self, frame: bytes, agent: str) -> None:
        """Have no time for a frame that a durable transport gives while the node stops.

        Who asked with it is told at once, and that is the end of it.

        Raises:
            MessageRoutingError: nobody asked, or can be told: it is to be given again.
        """
        error = MessageRoutingError(
            f"agent {agent!r} takes no more messages: its process is stopping"
        )
        if not await self.answer_error(_question_in(frame, agent), agent, error):
            raise error
        self.dead_letters.record("the recipient has stopped", frame)

    async def answer_error(self, request: Message, agent: str, error: BaseException) -> bool:
        """Tell who asked that there is no answer; return whether somebody asked and was told."""
        if request.reply_to is None:
            return False
        routing = isinstance(error, MessageRoutingError)
        payload = {
            "kind": "routing" if routing else "agent",
            "agent": agent,
            "error_type": type(error).__name__,
            "error_text": str(error),
        }
        try:
            async with asyncio.timeout(_ERROR_REPLY_TIMEOUT):
                await self.answer(compose_reply(agent, request, payload, TYPE_ERROR))
        except Exception as failure:  # noqa: BLE001 - a transport may raise anything
            kind = failure.code if isinstance(failure, CivitasError) else type(failure).__name__
            self.dead_letters.record(f"error reply not delivered: {kind}", request)
            return False
        return True

    # --- receiving --------------------------------------------------------------------------

    async def attach(self, name: str, mailbox: Mailbox[bytes]) -> None:
        """Register an agent and put what comes for it into its mailbox.

        What a durable transport keeps waits for `take_over`: another node may have the name, and
        be at work on it.

        Raises:
            ConfigurationError: the name can't be one, or is taken.
        """
        self.registry.register(name)
        self._mailboxes[name] = mailbox
        receiver = self._receiver(name, mailbox)
        if self.durable:
            self._asked[name] = Route(name, self.origin.node.hex(), "", windowed=False)
            self._pending_subscriptions[name] = receiver
        else:
            await self.transport.subscribe(name, receiver)

    async def take_over(self) -> None:
        """Begin with what a durable transport keeps for the attached agents: the names are ours.

        Raises:
            TransportError: the transport can't.
        """
        pending, self._pending_subscriptions = self._pending_subscriptions, {}
        subscribe = self.transport.subscribe
        await asyncio.gather(*(subscribe(name, receiver) for name, receiver in pending.items()))

    def clock_seen(self, node: str, offset: float) -> None:
        """Take note that a node's clock is ahead by `offset` seconds."""
        if abs(offset) > _CLOCKS_AGREE:
            self.clock_offsets[bytes.fromhex(node)] = offset
        else:
            self.clock_offsets.pop(bytes.fromhex(node), None)

    async def detach(self, name: str) -> None:
        """Take an agent off the registry and off the transport."""
        self.registry.deregister(name)
        self._mailboxes.pop(name, None)
        self._pending_subscriptions.pop(name, None)
        asked = self._asked.pop(name, None)
        if asked is not None and asked.asked:
            reason = f"agent {name!r} has stopped and takes no more messages"
            asyncio.get_running_loop().call_later(LATE_REPLY_GRACE, asked.close, reason)
        unsubscribe = getattr(self.transport, "unsubscribe", None)
        if unsubscribe is not None:
            await unsubscribe(name)

    def read(self, frame: bytes) -> Message:
        """Decode a frame.

        Raises:
            FrameError: the bytes are no frame.
            DeserializationError: its body is no message, or its serializer is not accepted here.
        """
        try:
            if frame.startswith(self._head):  # of this node's own: no need to take it apart
                return self._deserialize(frame[self._head_size :])
            return self._read_foreign(frame)
        except CivitasError:
            raise
        except Exception as error:
            raise DeserializationError(
                f"a serializer failed to read: {type(error).__name__}: {error}"
            ) from error

    def _read_foreign(self, frame: bytes) -> Message:
        if self._stamps_itself and not envelope.is_frame(frame):
            # A transport that declares nothing (wired by hand, no plugin) may decode a message,
            # set its reply_to and encode it again: what comes then is a body without a frame.
            return self._deserialize(frame)
        if frame.startswith(self._head_back, 24) and envelope.is_sound(frame):
            # As this node writes it, and nobody waits for an answer: most messages are like that.
            reader, reply_to, attempt = self._deserialize, "", frame[3]
            body = frame[self._head_size :]
        else:
            serializer, reply_to, attempt, body = envelope.contents(frame)
            reader = self._reader(serializer)
        message = reader(body)
        if reply_to:
            message.reply_to = reply_to
        message.attempt += attempt
        if self.clock_offsets:
            # Its age is judged by this node's clock.
            message.timestamp -= self.clock_offsets.get(frame[4:12], 0.0)
        return message

    def _reader(self, serializer: str) -> Callable[[bytes], Message]:
        reader = self._readers.get(serializer)
        if reader is None:
            raise DeserializationError(
                f"the frame is in {serializer!r}; this node reads "
                f"{', '.join(sorted(self._readers))} (see accept_serializers)"
            )
        return reader

    def _receiver(self, name: str, mailbox: Mailbox[bytes]) -> Handler:
        """Make the handler of one agent's address. This is the receiving half of the hot path."""
        if self.durable:
            durable = self._receivers[name] = DurableReceiver(mailbox, self)
            return durable
        if self.accounting is not None:
            receiver = Receiver(name, mailbox, self.accounting, self.send_timeout)
            self._receivers[name] = receiver
            return receiver
        put_nowait = mailbox.put_nowait

        async def receive(frame: bytes) -> None:
            if not put_nowait(frame):
                await mailbox.put(frame, self.send_timeout)
            self._delivered += 1

        return receive

    # --- parts ------------------------------------------------------------------------------

    async def _send_far(self, message: Message) -> None:
        """Send to what is no agent of this node: one of another node, a reply address, nobody."""
        name = message.recipient
        route, left = self.routes.get(name), self.send_timeout
        if route is None:
            if not isinstance(name, str):
                raise MessageValidationError(f"a recipient is a name, not a {type(name).__name__}")
            if name.startswith(REPLY_PREFIX) or self.transport.has_reply_address(name):
                await self.answer(message)
                return
            if self.routes.keeps(name):
                await self.transport.publish(name, self._head + self._serialize(message))
                self.sent += 1
                return
            deadline = _Deadline(left)
            route = await self.routes.find(name, left, lambda: self._unknown(name))
            left = deadline.left or 0.0
        body = self._serialize(message)
        number = await route.number(left)
        try:
            if self._stamps_itself:
                await self._publish_bounded(name, self._numbered(number, body), left)
            else:
                await self.transport.publish(name, self._numbered(number, body))
        except BaseException:
            route.give_back(number)
            raise
        self.sent += 1

    async def _publish_bounded(self, name: str, frame: bytes, limit: float) -> None:
        """Publish over a transport that declares nothing: it may await the handler, for ever."""
        try:
            async with asyncio.timeout(limit):
                await self.transport.publish(name, frame)
        except TimeoutError:
            raise MailboxFullError(
                f"agent {name!r} took no more for {limit:g} s; it handles messages slower than "
                f"they come"
            ) from None

    async def _ask_here(self, name: str, frame: bytes, timeout: float | None) -> bytes:
        """Ask an agent of this node over a durable transport, and fail when the agent ends.

        The question may wait in the transport, where the agent's end meets nobody who could answer.
        """
        with self._asked[name].asking():
            return await self.transport.request(name, frame, timeout)  # type: ignore[arg-type]

    async def _ask_far(self, message: Message, timeout: float | None) -> bytes:
        """Send a request to an agent of another node and return the frame that answers it."""
        name = message.recipient
        deadline = _Deadline(timeout)
        route = self.routes.get(name)
        if route is None:
            route = await self.routes.find(name, timeout, lambda: self._unknown(name))
        body = self._serialize(message)
        # A transport that takes messages apart for its own reply scheme would lose the number.
        number = 0 if self._stamps_itself else await route.number(deadline.left)
        try:
            with route.asking():
                frame, left = self._numbered(number, body), deadline.left
                # One that declares nothing may bound the wait for the answer alone.
                async with asyncio.timeout(left if self._stamps_itself else None):
                    answer = await self.transport.request(name, frame, left)  # type: ignore[arg-type]
        except (CivitasError, TimeoutError) as error:
            if isinstance(error, _NOT_SENT):
                route.give_back(number)
            self.sent += type(error) is TimeoutError
            raise _about_ask(name, error) from None
        self.sent += 1
        return answer

    def _numbered(self, number: int, body: bytes) -> bytes:
        return self._head_front + _NUMBER.pack(number) + self._head_back + body

    def _unknown(self, name: str) -> MessageRoutingError:
        similar = self.registry.similar(name)
        hint = f"; did you mean {similar!r}?" if similar else ""
        return MessageRoutingError(f"there is no agent called {name!r} (any more){hint}")


class _Deadline:
    """What is left of a timeout that covers several waits."""

    __slots__ = ("_at", "_now")

    def __init__(self, timeout: float | None) -> None:
        self._now = asyncio.get_running_loop().time
        self._at = None if timeout is None else self._now() + timeout

    @property
    def left(self) -> float | None:
        """Seconds that are left; None for no limit."""
        return None if self._at is None else max(self._at - self._now(), 0.0)


def _about_ask(name: str, error: CivitasError | TimeoutError) -> Exception:
    """Say of a time that ran out which agent was asked."""
    if isinstance(error, TimeoutError):
        return type(error)(f"ask {name!r}: {error}".removesuffix(": "))
    return error


def _question_in(frame: bytes, agent: str) -> Message:
    """Return as much of a message as it takes to answer it, if the frame asks for an answer."""
    try:
        reply_to = envelope.reply_to_of(frame)
    except FrameError:
        reply_to = ""  # then nobody can be told
    return Message(recipient=agent, reply_to=reply_to or None)


def _reserved(message: Message) -> MessageValidationError:
    return MessageValidationError(
        f"message type {message.type!r} to {message.recipient!r}: types that begin with "
        f"{RESERVED_PREFIX!r} are reserved for the runtime; use another one"
    )


def _error_of(reply: Message) -> CivitasError:
    """Return the error that an error reply tells of."""
    told = reply.payload
    agent = str(told.get("agent", reply.sender))
    text = str(told.get("error_text", ""))
    if told.get("kind") == "routing":
        return MessageRoutingError(text)
    return AgentError(agent, str(told.get("error_type", "Exception")), text)
