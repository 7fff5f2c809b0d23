"""Answers: what is sent to those who asked, and what becomes of messages that have no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sized
from typing import Final

from civitas._bus.batching import DENSE, LONE, OutgoingBatches
from civitas._bus.codec import FrameCodec
from civitas._bus.dead_letters import DeadLetters
from civitas._bus.error_replies import error_reply, request_in
from civitas._bus.local_delivery import LocalDelivery
from civitas._bus.mailbox import Item
from civitas._bus.routes import LocalRoute
from civitas._bus.settlement import DurableFrame, GivenUp, failure_of
from civitas._bus.wait_for_graph import WaitForGraph
from civitas.errors import (
    CivitasError,
    DeserializationError,
    MessageRoutingError,
    MessageTooLargeError,
    RefusedMessageError,
    crash_of,
    printable,
)
from civitas.messages import REPLY_PREFIX, Message
from civitas.registry import LocalRegistry
from civitas.transport import published_at

_ERROR_REPLY_TIMEOUT: Final = 2.0
"""Seconds that a transport may take for one; agents that end answer with it."""

_SHORT_TEXT: Final = 200
"""Bytes of an error's text that are sent where its description is too large for the transport."""


class Answers:
    """Sends the answers of one node's agents.

    `dead_letters` has those that can't be sent; `registry` has the routes as its entries; `waiting`
    has those who wait for an answer.
    """

    def __init__(
        self, dead_letters: DeadLetters, registry: LocalRegistry, waiting: WaitForGraph
    ) -> None:
        self.rejecting = False
        """Set when the node stops and has no time for what a durable transport still has."""
        self._dead_letters = dead_letters
        self._waiting = waiting
        self._lookup = registry.entries.get

    def identify(
        self,
        codec: FrameCodec,
        outgoing: OutgoingBatches,
        delivery: LocalDelivery | None,
        *,
        bare: bool,
    ) -> None:
        """Seal and send answers by these from now on; a `bare` transport has its own addresses."""
        self._codec = codec
        self._delivery = delivery
        self._outgoing = outgoing
        self._bare = bare

    def expects(self, request: Message) -> bool:
        """Return whether somebody asks with a message, at an address that takes replies.

        An agent's name is none: two agents that answer each other would never end.
        """
        reply_to = request.reply_to
        return reply_to is not None and (self._bare or reply_to.startswith(REPLY_PREFIX))

    async def answer(self, reply: Message, behind: Sized = ()) -> None:
        """Publish an answer at the reply address that `reply.recipient` names.

        `behind` has the messages that its agent has besides, and so perhaps more to answer.

        Raises:
            MessageRoutingError: it is no such address.
        """
        waiting = self.begin_answer(reply, behind)
        if waiting is not None:
            await waiting

    def begin_answer(self, reply: Message, behind: Sized = ()) -> Awaitable[None] | None:
        """Do what `answer` does; return the wait, where it has to wait, and None where not.

        To who asked within this process an answer is handed over.
        """
        if self._delivery is not None and self._delivery.answer(reply):
            return None
        self._waiting.answered(reply)
        reply_to = reply.recipient
        address = published_at(reply_to)
        if address is reply_to and not self._bare:
            raise MessageRoutingError(
                f"{printable(reply_to, _SHORT_TEXT)!r} is no reply address: answers go to the "
                f"`reply_to` of the message that they answer"
            )
        frame = self._codec.reply(reply)
        return self._outgoing.begin_publish(address, frame, DENSE if len(behind) else LONE)

    async def report_error(
        self, request: Message, agent: str, error: BaseException, *, executed: bool = True
    ) -> bool:
        """Answer a request with an error; return whether somebody asked and the answer was sent.

        `executed` says whether the agent has begun to execute the request; see `error_replies`.
        """
        if not self.expects(request):
            return False
        reply = error_reply(request, agent, error, executed=executed)
        try:
            async with asyncio.timeout(_ERROR_REPLY_TIMEOUT):
                await self._answer_in_short(reply)
        except BaseException as failure:  # a transport may raise anything
            if isinstance(failure, asyncio.CancelledError):
                raise
            self._dead_letters.record(
                f"error reply not delivered: {_code(crash_of(failure))}", request
            )
            return False
        return True

    async def _answer_in_short(self, reply: Message) -> None:
        """Send an error reply, shortened where it is too large for the transport."""
        try:
            await self.answer(reply)
        except MessageTooLargeError:
            reply.payload["error_text"] = printable(reply.payload["error_text"], _SHORT_TEXT)
            await self.answer(reply)

    async def fail(
        self, message: Message, durable: DurableFrame | None, agent: str, error: BaseException
    ) -> None:
        """Answer with the error of an agent; what nobody asked, a durable transport gets back.

        Who has the answer waits no more: the message is not to be executed again for nobody.
        """
        answered = await self.report_error(message, agent, error)
        if durable is not None and answered:
            durable.processed()
        elif durable is not None:
            durable.failed(failure_of(agent, error))

    async def refuse_message(
        self, message: Message, durable: DurableFrame | None, agent: str, error: RefusedMessageError
    ) -> None:
        """Account for a message that `agent` refuses, and answer who asked with the reason.

        What nobody asked is a dead letter of a durable transport: it would be refused again.
        """
        self._dead_letters.record(error.reason, message, str(error))
        answered = await self.report_error(message, agent, error)
        if durable is not None and answered:
            durable.processed()
        elif durable is not None:
            durable.failed(DeserializationError(str(error)))

    async def give_up(
        self,
        message: Message,
        durable: DurableFrame | None,
        agent: str,
        why: GivenUp,
        reason: str,
    ) -> None:
        """Account for a message that its agent does not execute to its end.

        Where nobody gets the error as an answer, the transport is to give a `durable` frame again;
        all others are dead letters, counted by `reason`.
        """
        answered = await self.report_error(message, agent, why.error, executed=why.executed)
        if durable is None or answered:
            self._dead_letters.record(reason, message)
        if durable is not None and answered:
            durable.processed()
        elif durable is not None:
            durable.failed(why.failure)

    async def refuse(self, item: Item, agent: str, error: CivitasError) -> None:
        """Account for what `agent` could not read, and answer who asked with it."""
        frame = self.record_unreadable(item, error)
        await self.report_error(request_in(frame, agent), agent, error)

    def record_unreadable(self, item: Item, error: CivitasError) -> bytes:
        """Count what can't be read, and return it as the frame that it is, or would have been."""
        frame = self._codec.as_frame(item)
        self._dead_letters.record(f"unreadable {error.code}", frame, str(error))
        return frame

    def answered_by_hand(self, agent: str, reply_to: str) -> bool:
        """Return whether the last reply that an agent has sent by itself went to this address."""
        route = self._lookup(agent)
        return isinstance(route, LocalRoute) and route.answered == reply_to

    async def reject_while_stopping(self, frame: bytes, agent: str) -> bool:
        """Settle a durable frame if the node stops and has no time for it; return whether it did.

        Who asked with it gets the error at once, and that is the end of it.

        Raises:
            MessageRoutingError: nobody asked, or the answer can't be sent: it is to be given again.
        """
        if not self.rejecting:
            return False
        error = MessageRoutingError(
            f"agent {agent!r} takes no more messages: its process is stopping"
        )
        if not await self.report_error(request_in(frame, agent), agent, error, executed=False):
            raise error
        self._dead_letters.record("the recipient has stopped", frame)
        return True


def _code(error: Exception) -> str:
    return error.code if isinstance(error, CivitasError) else type(error).__name__
