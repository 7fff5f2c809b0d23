"""Intake: pulls the messages of one agent, in order, and tells the server what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import nats.errors
from nats.aio.msg import Msg

from civitas.errors import CivitasError, TransportError
from civitas_nats.connection import Subscription
from civitas_nats.jetstream.around import Around
from civitas_nats.jetstream.lease import Holding, Lease
from civitas_nats.jetstream.pulls import HEARTBEAT, Pulls
from civitas_nats.jetstream.window import Arrival, Held, Window, position_of
from civitas_nats.subjects import consumer_name
from civitas_nats.tasks import end

PROCESSED: Final = b"+ACK"
GIVEN_UP: Final = b"+TERM"
_AT_WORK: Final = b"+WPI"

_SILENCE: Final = 2 * HEARTBEAT + 1.0
"""Seconds without a word of the server, after which the consumer is looked for."""

_AFTER_TROUBLE: Final = 0.5
"""Seconds between two tries to get a consumer back."""

_TAKE_OVER: Final = 0.5
"""Seconds from deleting a consumer to making it anew, at most, for a process that takes it over."""

_CONFIRMED_WITHIN: Final = 2.0
"""Seconds for the server to confirm the last acknowledgement."""

_GIVEN_BACK_WITHIN: Final = 3.0
"""Seconds in which a reader that ends gives back what it holds; a stop does not take longer."""

_LAST_DELIVERY: Final = "Nats-Last-Consumer"
_PULL_ENDED: Final = frozenset({"404", "408", "409"})


class Intake:
    """What comes for one agent. It survives lost connections, servers and consumers.

    Args:
        agent: the agent's name.
        lease: the hold on its consumer, which is taken.
        around: what all consumers of the process share.
        taken: called when another process has taken the consumer over.
    """

    def __init__(
        self, agent: str, lease: Lease, around: Around, taken: Callable[[], Awaitable[None]]
    ) -> None:
        self._agent = agent
        self._on_taken = taken
        self._lease = lease
        self._around = around
        self._connection = around.connection
        self._logger = around.context.logger
        self._window = Window(around.options.max_ack_pending)
        self._pulls = Pulls(around.options.max_ack_pending)
        name = f"{around.options.stream_name}.{consumer_name(agent)}"
        self._pull_at = f"$JS.API.CONSUMER.MSG.NEXT.{name}"
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._epoch = 0
        self._last_reply = ""
        self._stream_since: datetime | None = None
        self._told_again: list[str] = []
        self._arrived = asyncio.Event()
        self._news = asyncio.Event()
        self._behind = False
        self._doubtful = False
        self._trouble = ""
        self._taken = False
        self._heard_at = 0.0
        self._keeper: asyncio.Task[None] | None = None

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to pull."""
        self._stream_since = self._around.streams.since
        await self._listen()
        loop = asyncio.get_running_loop()
        self._keeper = loop.create_task(self._keep(), name=f"civitas nats intake {self._agent}")

    async def close(self) -> None:
        """Pull no more, and give back what is held: the next reader gets it at once, in order."""
        await end(self._keeper)
        await self._fall_silent()
        if self._taken or not self._connection.is_up:
            return  # the next reader sees by the consumer itself what this one has left
        try:
            async with asyncio.timeout(_GIVEN_BACK_WITHIN):
                await self._give_back()
        except (CivitasError, TimeoutError) as error:
            self._logger.debug("%r was not given back in order: %s", self._agent, error)

    def doubt(self) -> None:
        """Look soon whether something was lost: the connection was."""
        self._doubtful = True
        self._news.set()

    # --- for who handles the messages -----------------------------------------------------------

    async def next(self) -> Held:
        """Return the next message, once there is one. It is in hand until `finish`."""
        while True:
            held = self._window.take()
            if held is not None:
                return held
            self._arrived.clear()
            await self._arrived.wait()

    async def finish(self, verdict: bytes) -> None:
        """Let go of the message in hand, and tell the server what became of it."""
        held = self._window.finish()
        self._last_reply = held.reply
        try:
            if held.reply:
                await self._connection.publish(held.reply, verdict)
            await self._pull()
        except TransportError as error:  # it will come again, and be told then
            self._logger.debug("a message of %r is not acknowledged: %s", self._agent, error)

    # --- what comes -----------------------------------------------------------------------------

    def _on_message(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if not message.reply:
            self._on_status(message)
            return
        try:
            position = position_of(message.reply)
        except ValueError:
            self._around.context.dropped("not a message of the stream", message.data)
            return
        self._pulls.came()
        arrival = self._window.arrived(position, message.data, message.reply)
        if arrival is Arrival.NEW:
            self._arrived.set()
        elif arrival is Arrival.GAP:
            self._behind = True
            self._news.set()
        elif arrival is Arrival.DONE:
            self._told_again.append(message.reply)
            self._news.set()

    def _on_status(self, message: Msg) -> None:
        """Hear what the server says of a pull (NATS ADR-13)."""
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status == "100":
            last = headers.get(_LAST_DELIVERY, "")
            if last.isdecimal() and int(last) > self._window.deliveries:
                self.doubt()
            return
        if status in _PULL_ENDED:
            self._pulls.ended(message.subject.rpartition(".")[2])
        if status == "503" or "Deleted" in headers.get("Description", ""):
            self._doubtful = True
        self._news.set()

    # --- keeping --------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Keep the server in the picture, and this node in step with it."""
        now = asyncio.get_running_loop().time
        interval = self._around.options.ack_wait / 3
        at_work_due = now() + interval
        while True:
            pause = _AFTER_TROUBLE if self._trouble else min(interval, HEARTBEAT)
            await self._wait_for_news(pause)
            if self._taken:
                return
            if now() - self._heard_at > _SILENCE:
                self._doubtful = True
            if not self._connection.is_up:
                continue  # `doubt` comes with the connection
            try:
                await self._mend()
                await self._say_again()
                await self._pull()
                if now() >= at_work_due:
                    at_work_due = now() + interval
                    await self._say_at_work()
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

    async def _mend(self) -> None:
        """Look where something may be wrong, and put it right."""
        if not (self._doubtful or self._behind):
            return
        holding = await self._look()
        if holding is Holding.MISSING:  # perhaps for a moment only: another process takes over
            self._window.begin_anew()  # what waits here will be given again, here or there
            await asyncio.sleep(_TAKE_OVER)
            holding = await self._look()
        if holding is Holding.TAKEN:
            self._taken = True
            self._logger.warning(
                "another process reads the messages to agent %r now: this one gets no more",
                self._agent,
            )
            await self._fall_silent()
            await self._on_taken()
        elif holding is Holding.IN_STEP and not self._behind:
            self._pulls.forget()
            await self._listen()
        else:
            if holding is Holding.MISSING:
                await self._find_stream()
            await self._begin_anew()
        self._doubtful = self._behind = False

    async def _look(self) -> Holding:
        return await self._lease.look(self._window.deliveries, len(self._window))

    async def _find_stream(self) -> None:
        """See what is left: somebody has deleted the consumer, or the stream with all that it held.

        Raises:
            CivitasError: there is no stream any more, and none may be created.
        """
        await self._around.streams.ensure_again()
        since = self._around.streams.since
        if since == self._stream_since:
            self._logger.error("the consumer of agent %r was deleted underneath", self._agent)
            return
        self._logger.error(
            "the stream was deleted underneath: messages to agent %r are lost", self._agent
        )
        self._stream_since = since
        self._last_reply = ""
        self._told_again.clear()
        self._window.begin_with_another_stream()

    async def _give_back(self) -> None:
        await self._confirm()
        holding = await self._lease.look(self._window.deliveries, 0)
        if holding is Holding.BEHIND:
            await self._lease.renew(self._window.first())

    async def _begin_anew(self) -> None:
        await self._fall_silent()
        await self._confirm()
        await self._lease.renew(self._window.in_hand)
        self._window.begin_anew()
        self._pulls.forget()
        await self._listen()

    async def _listen(self) -> None:
        """Pull with a fresh inbox, in which nothing comes that was meant for an earlier one."""
        await self._fall_silent()
        self._epoch += 1
        token = self._agent.encode().hex()
        self._inbox = f"{self._connection.inbox}.pull.{token}.{self._epoch}"
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._on_message)
        self._heard_at = asyncio.get_running_loop().time()
        await self._pull()

    async def _fall_silent(self) -> None:
        """Hear no more: the server ends the pulls of an inbox in which nobody listens."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await self._connection.unsubscribe(subscription)

    async def _pull(self) -> None:
        if self._subscription is None:
            return
        due = self._pulls.due(len(self._window))
        if due is not None:
            name, body = due
            await self._connection.publish(self._pull_at, body, f"{self._inbox}.{name}")

    async def _say_at_work(self) -> None:
        """Have the server wait: all that is held is looked after."""
        for held in filter(lambda each: each.reply, self._window.held()):
            await self._connection.publish(held.reply, _AT_WORK)

    async def _say_again(self) -> None:
        """Acknowledge what had come once more."""
        while self._told_again:
            await self._connection.publish(self._told_again[-1], PROCESSED)
            self._told_again.pop()

    async def _confirm(self) -> None:
        """Return when the server has taken all acknowledgements: it takes them in order."""
        if not self._last_reply:
            return
        try:
            client = self._connection.client
            await client.request(self._last_reply, PROCESSED, timeout=_CONFIRMED_WITHIN)
        except (TimeoutError, nats.errors.Error) as error:  # then some messages come twice
            self._logger.debug("acknowledgements of %r: %s", self._agent, error)

    def _note(self, trouble: str) -> None:
        if trouble and not self._trouble:
            self._logger.error("messages to agent %r can't be read: %s", self._agent, trouble)
        elif self._trouble and not trouble:
            self._logger.info("messages to agent %r are read again", self._agent)
        self._trouble = trouble
