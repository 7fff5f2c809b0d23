"""LocalDelivery: from agent to agent of one process, where only the payload is packed.

Theory. What leaves the process is a frame; what does not is a `LocalMessage`: the message as its
receiver is to have it, and its packed payload, which becomes a payload of the receiver's own. The
receiver can't tell the two apart. So the rule is: whatever is unusual goes as a frame, and is
refused, counted or dropped there as ever.

    what                                                | goes as
    ----------------------------------------------------+---------------------------------------
    a message that the verbs of a sender have composed  | a LocalMessage, to an agent of this
                                                        | process; else a frame
    an answer, whoever made it, to who asked with a     | a copy of it, as a LocalMessage
    LocalMessage                                        |
    ... of which a field is not as a reader wants it,   | a frame
    or is no ASCII; ... which is near the size that the |
    transport carries; ... whose payload is refused     |
    a message that somebody made by hand                | a frame
    anything, where the transport is durable, sees each | a frame
    frame, or is not started; where the serializer is   |
    another one                                         |
"""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop
from collections.abc import Awaitable
from typing import Final

from civitas._bus.routes import LocalRoute
from civitas.envelope import Origin
from civitas.messages import NO_HEADERS, Message, headers_problem, make_blank
from civitas.serializer import MsgpackSerializer, Serializer
from civitas.transport import Transport
from civitas.transport.in_process import InProcessTransport, within_process_of
from civitas.transport.request_in_flight import Answer

_MOST_TEXT: Final = 2_000
"""Characters that the fields which others can choose may have, all together."""

_MOST_FIELDS: Final = 4_096
"""Bytes of a frame beside its payload at most, where they have no more, and no headers."""

_MOST_HEADERS: Final = 16_384
"""Bytes of a frame that its headers take at most: 4 KiB of text, a name and a value a letter."""


class LocalDelivery:
    """Packs what stays within one process, and hands answers over.

    `largest` is the most bytes of a frame that the transport carries.
    """

    __slots__ = (
        "_inbox",
        "_largest",
        "_node",
        "_pack",
        "_sound_parent",
        "_sound_trace",
        "_sound_type",
        "_within_process",
    )

    def __init__(
        self,
        within_process: InProcessTransport,
        serializer: MsgpackSerializer,
        node: bytes,
        largest: int,
    ) -> None:
        self._within_process = within_process
        self._inbox = within_process.inbox
        self._pack = serializer.pack_payload
        self._node = node
        self._largest = largest - _MOST_FIELDS
        self._sound_type = self._sound_trace = self._sound_parent = ""

    def packed(self, message: Message) -> bytes | None:
        """Return the packed payload of a message that was just composed; None to make a frame.

        All its other fields are known to be sound, but for those that the sending agent chose, and
        those from the message in its hand, of which it may have made anything.
        """
        payload, kind = message.payload, message.type
        trace, parent = message.trace_id, message.parent_span_id
        # Of two messages that one handler sends these are most often the same objects, and sound.
        if (
            parent is not self._sound_parent
            or trace is not self._sound_trace
            or kind is not self._sound_type
        ):
            if (
                type(trace) is not str
                or (parent is not None and type(parent) is not str)
                or not (text := f"{kind}{trace}{parent}").isascii()
                or len(text) > _MOST_TEXT
            ):
                return None
            if parent is not None:
                self._sound_parent, self._sound_trace, self._sound_type = parent, trace, kind
        if type(payload) is not dict or message.recipient not in self._within_process.reachable:
            return None
        largest = self._largest
        if message.headers:
            if headers_problem(message.headers) is not None:
                return None
            largest -= _MOST_HEADERS
        packed = self._pack(payload)
        return packed if packed is not None and len(packed) <= largest else None

    def ask(
        self,
        route: LocalRoute,
        message: Message,
        timeout: float | None,
        loop: AbstractEventLoop | None,
    ) -> Awaitable[Answer] | None:
        """Put a composed request into an agent's mailbox; awaiting it gives what answers it.

        None for one to make a frame of. `loop` is the running one, where that is known.
        """
        packed = self.packed(message)
        if packed is None:
            return None
        return self._inbox.request_here(message, packed, timeout, route.put, self._node, loop)

    def is_unanswered(self, reply_to: str) -> bool:
        """Return whether a request of `ask` waits for its answer at an address."""
        return self._inbox.asked_here(reply_to) is not None

    def answer(self, reply: Message) -> bool:
        """Hand an answer over to who asked for it; return False for one to make a frame of."""
        recipient: object = reply.recipient  # a handler may have made anything of it
        request = self._inbox.asked_here(recipient) if type(recipient) is str else None
        if request is None:  # most often: somebody in another process has asked
            return False
        copy = _copy_of(reply)
        if copy is None:
            return False
        packed = self._pack(reply.payload)
        largest = self._largest - _MOST_HEADERS if copy.headers else self._largest
        if packed is None or len(packed) > largest:
            return False
        request.take((copy, packed))
        return True


def _copy_of(reply: Message) -> Message | None:
    """Return a copy of a reply, to read a payload into; None unless each field is as usual."""
    id, kind, sender, recipient = reply.id, reply.type, reply.sender, reply.recipient
    correlation_id, trace_id, span_id = reply.correlation_id, reply.trace_id, reply.span_id
    parent, reply_to, timestamp, ttl = (
        reply.parent_span_id,
        reply.reply_to,
        reply.timestamp,
        reply.ttl,
    )
    attempt, priority = reply.attempt, reply.priority
    headers = reply.headers or NO_HEADERS
    if headers is not NO_HEADERS:
        if headers_problem(headers) is not None:
            return None
        headers = dict(headers)
    if (
        type(id) is type(kind) is type(sender) is type(recipient) is str
        and type(trace_id) is type(span_id) is str
        and (correlation_id is None or type(correlation_id) is str)
        and (parent is None or type(parent) is str)
        and reply_to is None
        and type(reply.payload) is dict
        and type(timestamp) is float
        and (ttl is None or type(ttl) is float)
        and type(attempt) is type(priority) is int
        and attempt == priority == 0
        and (text := f"{id}{kind}{sender}{correlation_id}{trace_id}{span_id}{parent}").isascii()
        and len(text) <= _MOST_TEXT
    ):
        copy = make_blank(Message)
        copy.id, copy.type, copy.sender = id, kind, sender
        # The header of a frame has the reply address, so a reader finds it in both places.
        copy.recipient = copy.reply_to = recipient
        copy.correlation_id = correlation_id
        copy.timestamp, copy.ttl = timestamp, ttl
        copy.trace_id, copy.span_id, copy.parent_span_id = trace_id, span_id, parent
        copy.payload, copy.attempt, copy.priority = {}, 0, 0
        copy.headers = headers
        return copy
    return None


def local_delivery(
    transport: Transport, serializer: Serializer, origin: Origin, *, durable: bool
) -> LocalDelivery | None:
    """Return what delivers within the process; None where everything has to be a frame."""
    within_process = within_process_of(transport)
    if within_process is None or durable or type(serializer) is not MsgpackSerializer:
        return None
    capabilities = getattr(transport, "capabilities", None)
    largest: int | None = getattr(capabilities, "max_message_bytes", None)
    if largest is None:
        largest = sys.maxsize
    return LocalDelivery(within_process, serializer, origin.node, largest)
