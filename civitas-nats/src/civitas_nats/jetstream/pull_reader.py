"""PullReader: pulls the messages of one agent from its consumer, in order, and loses none.

A pull request names an inbox, and the server delivers into it. Deliveries have consecutive numbers,
so one that did not arrive is noticed by the next one, or by a heartbeat of the server that names a
later one. `fetch` of nats-py is not used: with a deleted consumer or stream it only times out
(nats-py 2.16). Here the server is asked what the consumer is, by `Lease.check`.

The reader is in one of four states. An event puts it into a worse one at once; then a task, the
keeper, checks the lease (`lease: ...` below) and gets it back in step.

| state             | event                              | what is done             | next state |
|-------------------|------------------------------------|--------------------------|------------|
| in step           | connection lost; server silent     |                          | doubtful   |
| in step           | a heartbeat names a later delivery |                          | doubtful   |
| in step           | server: the consumer is gone       |                          | doubtful   |
| in step, doubtful | a delivery is missing              |                          | behind     |
| doubtful          | lease: in step                     | pull with a new inbox    | in step    |
| behind            | lease: in step                     | recreate the consumer    | in step    |
| doubtful, behind  | lease: behind                      | recreate the consumer    | in step    |
| doubtful, behind  | lease: missing, and so 0.5 s later | the same, and the stream | in step    |
| doubtful, behind  | lease: taken over                  | stop, notify             | taken over |

*Taken over* is final. When JetStream does not answer, the state stays, and the keeper tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import IntEnum
from typing import Final

from nats.aio.msg import Msg

from civitas.errors import CivitasError, TransportError
from civitas.transport import start_task
from civitas_nats.client import cancel_and_wait
from civitas_nats.jetstream.acknowledgements import Acknowledger, sent_together
from civitas_nats.jetstream.consumer_context import ConsumerContext
from civitas_nats.jetstream.lease import Lease, LeaseState
from civitas_nats.jetstream.window import (
    HEARTBEAT,
    Arrival,
    Held,
    PullRequests,
    Window,
    position_of,
)
from civitas_nats.subjects import consumer_name
from civitas_nats.subscription import Subscription

_MAX_SILENCE: Final = 2 * HEARTBEAT + 1.0
"""Seconds without a word of the server after which the reader is doubtful."""

_RETRY_PAUSE: Final = 0.5
"""Seconds between two attempts to get a consumer back."""

_TAKEOVER_WITHIN: Final = 0.5
"""Seconds that another process needs at most to recreate a consumer that it takes over."""

_GIVE_BACK_WITHIN: Final = 3.0
"""Seconds in which a reader that closes gives back what it holds; a stop does not take longer."""

_LAST_DELIVERY: Final = "Nats-Last-Consumer"
_REQUEST_ENDED: Final = frozenset({"404", "408", "409"})


class ReaderState(IntEnum):
    """See the module. The greater one is worse."""

    IN_STEP = 0
    DOUBTFUL = 1
    BEHIND = 2
    TAKEN_OVER = 3


class PullReader:
    """Reads for one agent; it survives lost connections, servers and consumers.

    Args:
        agent: the agent's name.
        lease: the hold on its consumer, which has been taken over.
        shared: what all consumers of the process share.
        taken_over: called when another process has taken the consumer over.
    """

    def __init__(
        self,
        agent: str,
        lease: Lease,
        shared: ConsumerContext,
        taken_over: Callable[[], Awaitable[None]],
    ) -> None:
        self._agent = agent
        self._on_taken_over = taken_over
        self._lease = lease
        self._ack_wait = shared.options.ack_wait
        self._streams = shared.streams
        self._connection = shared.connection
        self._logger = shared.context.logger
        self._dropped = shared.context.dropped
        self._news = asyncio.Event()
        self._acknowledger = Acknowledger(
            agent,
            shared.connection,
            shared.context.logger,
            sent_together(shared.options),
            self._news.set,
        )
        self._window = Window()
        self._requests = PullRequests(shared.options.max_ack_pending)
        name = f"{shared.options.stream_name}.{consumer_name(agent)}"
        self._request_subject = f"$JS.API.CONSUMER.MSG.NEXT.{name}"
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._epoch = 0
        """Number of the inbox; each has its own, in which nothing arrives that is older."""
        self._stream_created: datetime | None = None
        self._state = ReaderState.IN_STEP
        self._arrived = asyncio.Event()
        self._trouble = ""
        self._now = asyncio.get_running_loop().time
        self._heard_at = self._now()
        self._keeper: asyncio.Task[None] | None = None

    # --- opening and closing ------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to pull."""
        self._stream_created = self._streams.created
        await self._open_inbox()
        name = f"civitas nats reader {self._agent}"
        self._keeper = start_task(self._keep(), name=name, failed=self._connection.failed)

    async def close(self) -> None:
        """Stop pulling, and give back what is held: the next reader gets it at once, in order."""
        await cancel_and_wait(self._keeper)
        self._acknowledger.close()
        await self._close_inbox()
        if self._state is ReaderState.TAKEN_OVER or not self._connection.is_up:
            return  # the next reader sees by the consumer itself what this one has left
        try:
            async with asyncio.timeout(_GIVE_BACK_WITHIN):
                await self._acknowledger.confirm()
                if await self._lease.check(self._window.deliveries, 0) is LeaseState.BEHIND:
                    await self._lease.recreate(self._window.held())
        except (CivitasError, TimeoutError) as error:
            self._logger.debug("%r was not given back in order: %s", self._agent, error)

    def doubt(self) -> None:
        """Check the lease soon: the connection was lost, and perhaps deliveries with it."""
        self._worsen(ReaderState.DOUBTFUL)

    # --- for the consumer ---------------------------------------------------------------------

    async def next(self) -> Held:
        """Return the next message, once there is one. It is in hand until `finish`.

        One task may wait at a time.
        """
        while True:
            held = self._window.take()
            if held is not None:
                return held
            self._arrived.clear()
            await self._arrived.wait()

    def in_hand(self) -> list[Held]:
        """Return the messages in hand, in their order."""
        return list(self._window.in_hand)

    async def finish(self, held: Held, outcome: bytes, may_wait: bool) -> None:
        """Acknowledge a message in hand, with `ACK` or `TERM`, and pull more if there is room.

        Args:
            held: the message.
            outcome: what became of it.
            may_wait: whether its `ACK` may wait a little for those of the next messages.
        """
        self._window.finish(held)
        try:
            await self._acknowledger.settle(held, outcome, may_wait and self._window.has_more)
            await self._pull()
        except TransportError as error:  # it comes again, and is acknowledged then
            self._logger.debug("a message of %r is not acknowledged: %s", self._agent, error)

    # --- what arrives in the inbox ------------------------------------------------------------

    def _on_message(self, message: Msg) -> None:
        self._heard_at = self._now()
        if not message.reply:
            self._on_status(message)
            return
        try:
            position = position_of(message.reply)
        except ValueError:
            self._dropped("not a message of the stream", message.data)
            return
        self._requests.arrived()
        arrival = self._window.arrived(position, message.data, message.reply)
        if arrival is Arrival.NEW:
            self._arrived.set()
        elif arrival is Arrival.GAP:
            self._worsen(ReaderState.BEHIND)
        elif arrival is Arrival.DONE:
            self._acknowledger.repeat_later(message.reply)
            self._news.set()

    def _on_status(self, message: Msg) -> None:
        """Read what the server reports about a pull request (NATS ADR-13)."""
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status == "100":  # a heartbeat
            last = headers.get(_LAST_DELIVERY, "")
            if last.isdecimal() and int(last) > self._window.deliveries:
                self.doubt()
            return
        if status in _REQUEST_ENDED:
            self._requests.ended(message.subject.rpartition(".")[2])
        if status == "503" or "Deleted" in headers.get("Description", ""):
            self.doubt()
        self._news.set()

    # --- keeping ------------------------------------------------------------------------------

    def _worsen(self, state: ReaderState) -> None:
        self._state = max(self._state, state)
        self._news.set()

    async def _keep(self) -> None:
        """Get back in step, repeat acknowledgements, pull, and extend what is held."""
        now = self._now
        interval = self._ack_wait / 3
        extension_due = now() + interval
        while True:
            pause = _RETRY_PAUSE if self._trouble else min(interval, HEARTBEAT)
            await self._wait_for_news(pause)
            if self._state is ReaderState.TAKEN_OVER:
                return
            if now() - self._heard_at > _MAX_SILENCE:
                self._state = max(self._state, ReaderState.DOUBTFUL)
            if not self._connection.is_up:
                continue  # `doubt` is called when it is back
            try:
                await self._acknowledger.send()  # first: what is not sent puts the server behind
                await self._get_in_step()
                await self._acknowledger.repeat()
                await self._pull()
                if now() >= extension_due:
                    extension_due = now() + interval
                    await self._acknowledger.extend(self._window.held())
            except CivitasError as error:
                self._note(str(error))
            else:
                self._note("")

    async def _wait_for_news(self, limit: float) -> None:
        try:
            async with asyncio.timeout(limit):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def _get_in_step(self) -> None:
        """Check the lease, if the state is doubtful or behind, and act on it; see the module."""
        if self._state is ReaderState.IN_STEP:
            return
        lease = await self._check_lease()
        if lease is LeaseState.MISSING:  # perhaps for a moment only: another process takes over
            self._window.begin_anew()  # what waits here is delivered again, here or there
            await asyncio.sleep(_TAKEOVER_WITHIN)
            lease = await self._check_lease()
        if lease is LeaseState.TAKEN_OVER:
            self._state = ReaderState.TAKEN_OVER
            self._logger.warning(
                "another process reads the messages to agent %r now: this one gets no more",
                self._agent,
            )
            await self._close_inbox()
            await self._on_taken_over()
            return
        if lease is LeaseState.IN_STEP and self._state is not ReaderState.BEHIND:
            await self._open_inbox()
        else:
            if lease is LeaseState.MISSING:
                await self._find_stream()
            await self._recreate_consumer()
        self._state = ReaderState.IN_STEP

    async def _check_lease(self) -> LeaseState:
        return await self._lease.check(self._window.deliveries, len(self._window))

    async def _find_stream(self) -> None:
        """Find out what was deleted: the consumer, or the stream with all that it held.

        Raises:
            CivitasError: there is no stream any more, and none may be created.
        """
        await self._streams.ensure_again()
        if self._streams.created == self._stream_created:
            self._logger.error("the consumer of agent %r was deleted underneath", self._agent)
            return
        self._logger.error(
            "the stream was deleted underneath: messages to agent %r are lost", self._agent
        )
        self._stream_created = self._streams.created
        self._acknowledger.forget()
        self._lease.doubtful = 0
        self._window.begin_with_another_stream()

    async def _recreate_consumer(self) -> None:
        await self._close_inbox()
        await self._acknowledger.confirm()
        await self._lease.recreate(self._window.in_hand)
        self._window.begin_anew()
        await self._open_inbox()

    async def _open_inbox(self) -> None:
        """Pull with a new inbox, in which nothing arrives that was meant for an earlier one."""
        self._requests.forget()
        await self._close_inbox()
        self._epoch += 1
        token = self._agent.encode().hex()
        self._inbox = f"{self._connection.inbox}.pull.{token}.{self._epoch}"
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._on_message)
        self._heard_at = self._now()
        await self._pull()

    async def _close_inbox(self) -> None:
        """Stop listening: the server ends pull requests whose inbox has no subscriber."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await self._connection.unsubscribe(subscription)

    async def _pull(self) -> None:
        if self._subscription is None:
            return
        due = self._requests.due(len(self._window))
        if due is not None:
            name, body = due
            await self._connection.publish(self._request_subject, body, f"{self._inbox}.{name}")

    def _note(self, trouble: str) -> None:
        """Log that messages can't be read, and that they can again, once each."""
        if trouble and not self._trouble:
            self._logger.error("messages to agent %r can't be read: %s", self._agent, trouble)
        elif self._trouble and not trouble:
            self._logger.info("messages to agent %r are read again", self._agent)
        self._trouble = trouble
