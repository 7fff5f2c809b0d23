"""MessageBus: from a name to a frame on the transport, and back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from civitas import envelope
from civitas.dead_letters import DeadLetters
from civitas.envelope import KIND_REPLY, Origin
from civitas.errors import (
    AgentError,
    CivitasError,
    DeserializationError,
    FrameError,
    MailboxFullError,
    MessageRoutingError,
    MessageValidationError,
    SerializationError,
)
from civitas.mailbox import Mailbox
from civitas.messages import (
    REPLY_PREFIX,
    RESERVED_PREFIX,
    TYPE_ERROR,
    Message,
    compose_reply,
)
from civitas.registry import LocalRegistry
from civitas.serializer import JsonSerializer, MsgpackSerializer, Serializer, name_of
from civitas.transport import Handler, Transport, published_at

DEFAULT_SEND_TIMEOUT: Final = 30.0
"""Seconds that a send waits for room in a full mailbox."""

_ERROR_REPLY_TIMEOUT: Final = 2.0
"""Seconds that a transport may take for one; agents that end answer with it."""


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
    ) -> None:
        self.transport = transport
        self.registry = registry
        self.serializer = serializer
        self.origin = origin or new_origin()
        self.dead_letters = dead_letters if dead_letters is not None else DeadLetters()
        self.send_timeout = send_timeout
        self.closing = False
        """Set while the node stops: only what a handler sends is still taken."""
        self.sent = 0
        self.delivered = 0
        self._lookup = registry.lookup
        self._format = name_of(serializer)
        self._readers = {name_of(each): _checked(each) for each in (*accept, serializer)}
        self._head = envelope.header(self._format, self.origin)
        self._serialize = _guarded(serializer)
        self._deserialize = self._readers[self._format]
        self._head_size = len(self._head)
        self._reply_head = envelope.header(self._format, self.origin, kind=KIND_REPLY)
        self._stamps_itself = getattr(transport, "capabilities", None) is None
        self._mailboxes: dict[str, Mailbox[bytes]] = {}

    # --- sending ----------------------------------------------------------------------------

    async def route(self, message: Message) -> None:
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
        if entry is None:
            await self._route_reply(message)
            return
        await self.transport.publish(entry.address, self._head + self._serialize(message))
        self.sent += 1

    async def request(self, message: Message, timeout: float | None) -> Message:
        """Send a message and return its answer.

        Raises:
            AgentError: the asked agent raised.
            TimeoutError: no answer within `timeout` seconds.
            MailboxFullError: there was no room for the question within `timeout` seconds.
            CivitasError: as for `route`.
        """
        if message.type.startswith(RESERVED_PREFIX):
            raise _reserved(message)
        name = message.recipient
        entry = self.registry.lookup(name)
        if entry is None:
            raise self._unknown(name)
        mailbox = self._mailboxes.get(name)
        if mailbox is not None and mailbox.consumer is asyncio.current_task():
            raise MessageValidationError(
                f"agent {name!r} asked itself while handling a message: it could never answer; "
                f"call the method directly, or send"
            )
        frame = self._head + self._serialize(message)
        try:
            answer = await self.transport.request(entry.address, frame, timeout)  # type: ignore[arg-type]
        except TimeoutError as error:
            self.sent += not isinstance(error, MailboxFullError)
            raise type(error)(f"ask {name!r}: {error}".removesuffix(": ")) from None
        self.sent += 1
        reply = self.read(answer)
        if reply.type == TYPE_ERROR:
            raise _error_of(reply)
        return reply

    async def answer(self, reply: Message) -> None:
        """Publish an answer at the reply address that `reply.recipient` names."""
        reply_to = reply.recipient
        frame = envelope.with_reply_to(self._reply_head + self._serialize(reply), reply_to)
        await self.transport.publish(published_at(reply_to), frame)

    async def refuse(self, frame: bytes, agent: str, error: CivitasError) -> None:
        """Account for a frame that `agent` could not read, and tell who asked with it."""
        self.dead_letters.record(f"unreadable {error.code}", frame, str(error))
        try:
            reply_to = envelope.reply_to_of(frame)
        except FrameError:
            return  # then nobody can be told
        if reply_to:
            await self.answer_error(Message(recipient=agent, reply_to=reply_to), agent, error)

    async def answer_error(self, request: Message, agent: str, error: BaseException) -> None:
        """Tell who asked that there is no answer; do nothing when nobody asked."""
        if request.reply_to is None:
            return
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

    # --- receiving --------------------------------------------------------------------------

    async def attach(self, name: str, mailbox: Mailbox[bytes]) -> None:
        """Register an agent and put what comes for it into its mailbox.

        Raises:
            ConfigurationError: the name can't be one, or is taken.
        """
        self.registry.register(name)
        self._mailboxes[name] = mailbox
        await self.transport.subscribe(name, self._receiver(mailbox))

    async def detach(self, name: str) -> None:
        """Take an agent off the registry and off the transport."""
        self.registry.deregister(name)
        self._mailboxes.pop(name, None)
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
        serializer, reply_to, attempt, body = envelope.contents(frame)
        reader = self._readers.get(serializer)
        if reader is None:
            raise DeserializationError(
                f"the frame is in {serializer!r}; this node reads "
                f"{', '.join(sorted(self._readers))} (see accept_serializers)"
            )
        message = reader(body)
        if reply_to:
            message.reply_to = reply_to
        message.attempt += attempt
        return message

    def _receiver(self, mailbox: Mailbox[bytes]) -> Handler:
        """Make the handler of one agent's address. This is the receiving half of the hot path."""
        put_nowait = mailbox.put_nowait

        async def receive(frame: bytes) -> None:
            if not put_nowait(frame):
                await mailbox.put(frame, self.send_timeout)
            self.delivered += 1

        return receive

    # --- parts ------------------------------------------------------------------------------

    async def _route_reply(self, message: Message) -> None:
        """Send to what is no agent's name: a reply address, or nobody."""
        name = message.recipient
        if not isinstance(name, str):
            raise MessageValidationError(f"a recipient is a name, not a {type(name).__name__}")
        if not name.startswith(REPLY_PREFIX) and not self.transport.has_reply_address(name):
            raise self._unknown(name)
        await self.answer(message)

    def _unknown(self, name: str) -> MessageRoutingError:
        similar = self.registry.similar(name)
        hint = f"; did you mean {similar!r}?" if similar else ""
        return MessageRoutingError(f"there is no agent called {name!r} (any more){hint}")


def _guarded(serializer: Serializer) -> Callable[[Message], bytes]:
    """Return `serialize`; a foreign one may raise anything, and that becomes SerializationError."""
    if isinstance(serializer, MsgpackSerializer | JsonSerializer):
        return serializer.serialize

    def serialize(message: Message) -> bytes:
        try:
            body: object = serializer.serialize(message)
        except CivitasError:
            raise
        except Exception as error:
            raise SerializationError(
                f"serializer {name_of(serializer)!r} failed: {type(error).__name__}: {error}",
                "payload",
            ) from error
        if isinstance(body, bytes):
            return body
        raise SerializationError(
            f"serializer {name_of(serializer)!r} made a {type(body).__name__}, not bytes", "payload"
        )

    return serialize


def _checked(serializer: Serializer) -> Callable[[bytes], Message]:
    """Return `deserialize`; of a foreign one, with the result checked."""
    if isinstance(serializer, MsgpackSerializer | JsonSerializer):
        return serializer.deserialize

    def deserialize(body: bytes) -> Message:
        message: object = serializer.deserialize(body)
        if isinstance(message, Message):
            return message
        raise DeserializationError(
            f"serializer {name_of(serializer)!r} made a {type(message).__name__}, not a Message"
        )

    return deserialize


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
