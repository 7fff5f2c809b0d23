"""Connection: one connection to the servers, which is kept and is proved by what comes back."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
from collections.abc import Callable
from typing import Final, TypeAlias

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NativeSubscription

from civitas.errors import (
    ConfigurationError,
    MessageTooLargeError,
    NotConnectedError,
    TransportError,
)
from civitas_nats.dialing import BETWEEN_TRIES, MOST_PENDING, Dialer, hang_up, place_of, text_of
from civitas_nats.options import NATSOptions
from civitas_nats.servers import shown
from civitas_nats.tasks import end
from civitas_nats.wire import abort, wire_of

_LOOK: Final = 0.1
"""Seconds between two looks at the client."""

_ABORT_AFTER: Final = 1.0
"""Seconds after which the socket of a lost connection is aborted (see `civitas_nats.wire`)."""

_TURN: Final = 32 * 1024
"""Bytes after which a sender that never pauses lets the client send them, which it does in a task
of its own (nats-py 2.16): the receiver is at work on them while the rest of a window is made."""

_SILENT: Final = "the server is silent"
"""What is wrong with a connection, unless there is news of another kind."""

_PROBE_INTERVAL: Final = 0.5
"""Seconds until a probe that may have been lost is sent again."""

OnMessage: TypeAlias = Callable[[Msg], None]
"""Called with each message of a subscription; it must not block, and not raise."""


class Subscription:
    """A subject that a connection is subscribed to, also after it was made anew."""

    __slots__ = ("_limit", "native", "on_message", "subject")

    def __init__(self, subject: str, on_message: OnMessage, limit: int) -> None:
        self.subject = subject
        self.on_message = on_message
        self.native: NativeSubscription | None = None
        self._limit = limit

    async def make(self, client: Client) -> None:
        """Subscribe with a client."""
        on_message = self.on_message

        async def take(message: Msg) -> None:
            on_message(message)

        self.native = await client.subscribe(
            self.subject, cb=take, pending_msgs_limit=self._limit, pending_bytes_limit=0
        )


class Connection:
    """A connection that is made again for as long as it takes, to whichever server answers.

    nats-py connects again by itself. This adds what it leaves out: it notices soon that a server
    stands still, gets out of a connection that can't be closed, makes a new client when a server's
    error has ended the old one, and counts as up only when a probe has come back.

    Args:
        options: what the topology says.
        name: how the servers call this connection.
        logger: where its ups and downs are noted.
        down: called with the reason when it is lost.
        up: called when it is back, and all subscriptions with it.
        dropped: called with a reason for each message that this process was too slow to take.
    """

    def __init__(
        self,
        options: NATSOptions,
        name: str,
        logger: logging.Logger,
        *,
        down: Callable[[str], None],
        up: Callable[[], None],
        dropped: Callable[[str], None],
    ) -> None:
        self.is_up = False
        self.inbox: Final = f"_INBOX.{os.urandom(11).hex()}"
        """What the subjects begin with that are this connection's own."""
        self.servers: Final = options.servers
        self._options = options
        self._name = name
        self._logger = logger
        self._on_down = down
        self._on_up = up
        self._dialer = Dialer(
            options, name, problem=self._note, dropped=dropped, reconnected=self._look_again
        )
        self._client: Client | None = None
        self._wire: asyncio.WriteTransport | None = None
        self._reconnects = 0
        self._lost_at: float | None = None
        self._problem = f"there is no connection to {shown(options.servers)}"
        self._subscriptions: set[Subscription] = set()
        self._numbers = itertools.count(1)
        self._probes: dict[str, asyncio.Future[None]] = {}
        self._changed = asyncio.Event()
        self._room = asyncio.Lock()
        self._in_line = 0
        """Senders that wait for the socket to take what was sent before."""
        self._keeper: asyncio.Task[None] | None = None

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect to one of the servers.

        Raises:
            AuthenticationError: the server does not let this process in.
            ConfigurationError: the options and the server don't fit each other.
            NotConnectedError: none answered within `connect_timeout`.
        """
        await self._use(await self._dialer.dial())
        await self.subscribe(f"{self.inbox}.probe.*", self._on_probe)
        await self._prove(self._options.connect_timeout)
        self._came_up()
        loop = asyncio.get_running_loop()
        self._keeper = loop.create_task(self._keep(), name=f"civitas nats {self._name}")

    async def close(self) -> None:
        """Send what was accepted, within `linger`, and close. Idempotent, also half-open."""
        await end(self._keeper)
        client, self._client = self._client, None
        if client is None:
            return
        if self.is_up and not await self._came_back(client, self._options.linger):
            self._logger.warning("stopped before a server had taken all: the last may be lost")
            self._abort()
        self.is_up = False
        await hang_up(client)

    # --- use ----------------------------------------------------------------------------------

    @property
    def max_payload(self) -> int:
        """Bytes that the server takes in one message, headers included."""
        return int(self._connected().max_payload)

    @property
    def client(self) -> Client:
        """The client of the present connection, for what is asked of JetStream.

        Raises:
            NotConnectedError: the connection is not open.
        """
        return self._connected()

    @property
    def has_room(self) -> bool:
        """Whether a publish would not have to wait for the socket."""
        return self._client is not None and self._client.pending_data_size <= MOST_PENDING

    async def subscribe(self, subject: str, on_message: OnMessage) -> Subscription:
        """Have `on_message` called with each message of a subject."""
        subscription = Subscription(subject, on_message, self._options.max_pending_messages)
        self._subscriptions.add(subscription)
        client = self._client
        if client is not None and client.is_connected:  # otherwise as soon as it is
            await self._make(subscription, client)
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Have no more messages of a subject."""
        self._subscriptions.discard(subscription)
        native, subscription.native = subscription.native, None
        client = self._client
        if native is None or client is None or client.is_closed:
            return
        try:
            await native.unsubscribe()
        except nats.errors.Error as error:  # the connection went meanwhile, and this with it
            self._logger.debug("not unsubscribed from %s: %s", subscription.subject, error)

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Hand a message to the connection.

        Raises:
            NotConnectedError: the connection is not open.
            MessageTooLargeError: the server takes no messages of this size.
            TransportError: it took nothing for `send_timeout` seconds.
        """
        client = self._client
        if client is None or not (self.is_up and client.is_connected):
            raise NotConnectedError(self._problem)
        pending = client.pending_data_size
        if pending > MOST_PENDING or self._in_line:  # nobody overtakes who waits
            await self._wait_for_room(client)
        try:
            await client.publish(subject, data, reply, headers)
        except nats.errors.MaxPayloadError:
            raise MessageTooLargeError(
                f"{len(data)} bytes are more than the server's max_payload ({client.max_payload})"
            ) from None
        except nats.errors.Error as error:
            raise NotConnectedError(f"not sent: {text_of(error)}") from error
        if pending > _TURN and not reply:  # who awaits an answer pauses anyway
            await asyncio.sleep(0)  # not before: what has a number must not be overtaken

    async def wait_ready(self) -> None:
        """Return when all that was subscribed before is in place at the server.

        A server takes what one connection sends in order, so a probe that comes back proves it. A
        flush does not: its PING overtakes what waits to be sent (nats-py 2.16).

        Raises:
            NotConnectedError: no probe came back within `connect_timeout`.
        """
        self._connected()
        await self._prove(self._options.connect_timeout)

    # --- proving ------------------------------------------------------------------------------

    async def _prove(self, limit: float) -> None:
        try:
            async with asyncio.timeout(limit):
                while not await self._came_back(self._client, _PROBE_INTERVAL):
                    pass
        except TimeoutError:
            raise NotConnectedError(
                f"no answer from {shown(self._options.servers)} within {limit:g} s: {self._problem}"
            ) from None

    async def _came_back(self, client: Client | None, limit: float) -> bool:
        """Send a probe, and return whether it came back in time."""
        if client is None or not client.is_connected:
            await asyncio.sleep(min(limit, _LOOK))
            return False
        subject = f"{self.inbox}.probe.{next(self._numbers)}"
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._probes[subject] = answer
        try:
            async with asyncio.timeout(limit):
                await client.publish(subject)
                await answer
        except (TimeoutError, nats.errors.Error):
            return False
        finally:
            del self._probes[subject]
        return True

    def _on_probe(self, message: Msg) -> None:
        answer = self._probes.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(None)

    async def _wait_for_room(self, client: Client) -> None:
        """Wait until the socket has taken what was sent before: a probe comes behind it."""
        limit = self._options.send_timeout
        self._in_line += 1
        try:
            async with asyncio.timeout(limit), self._room:
                if client.pending_data_size > MOST_PENDING and not await self._came_back(
                    client, limit
                ):
                    raise TimeoutError
        except TimeoutError:
            raise TransportError(
                f"the connection to {place_of(client)} took nothing for {limit:g} s"
            ) from None
        finally:
            self._in_line -= 1

    # --- keeping ------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Look after the client: what it has lost and found again, and whether it lives."""
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout(_LOOK):
                    await self._changed.wait()
            except TimeoutError:
                pass
            client = self._client
            assert client is not None
            if client.is_closed:
                self._lost()
                await self._replace()
            elif not client.is_connected:
                self._lost()
                self._abort_when_stuck()
            elif client.stats["reconnects"] != self._reconnects or not self.is_up:
                self._lost()
                await self._restored(client)

    def _came_up(self) -> None:
        self.is_up = True
        self._lost_at = None
        self._problem = _SILENT

    def _lost(self) -> None:
        if not self.is_up:
            return
        self.is_up = False
        self._lost_at = asyncio.get_running_loop().time()
        reason = f"the connection to the servers is lost: {self._problem}"
        self._logger.warning("%s", reason)
        self._on_down(reason)

    def _abort_when_stuck(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._lost_at is not None and now - self._lost_at > _ABORT_AFTER:
            self._abort()

    def _abort(self) -> None:
        """Give up the socket of the connection that was last up."""
        wire, self._wire = self._wire, None
        if wire is not None:
            abort(wire)

    async def _restored(self, client: Client) -> None:
        self._reconnects = client.stats["reconnects"]
        self._wire = wire_of(client)
        try:
            self._dialer.check(client)
        except ConfigurationError as error:
            self._note(str(error))
            return
        for subscription in tuple(self._subscriptions):
            if subscription.native is None:
                await self._make(subscription, client)
        if not await self._came_back(client, _PROBE_INTERVAL):
            return
        self._came_up()
        self._logger.info("connected again, to %s", place_of(client))
        self._on_up()

    async def _replace(self) -> None:
        """Make a new client: a server's error has ended the old one."""
        while True:
            try:
                client = await self._dialer.dial()
            except (TransportError, ConfigurationError) as error:
                self._note(str(error))
                await asyncio.sleep(BETWEEN_TRIES + random.random() * BETWEEN_TRIES)
            else:
                await self._use(client)
                return

    async def _use(self, client: Client) -> None:
        self._client = client
        self._reconnects = client.stats["reconnects"]
        self._wire = wire_of(client)
        self._problem = _SILENT
        for subscription in tuple(self._subscriptions):
            await self._make(subscription, client)

    async def _make(self, subscription: Subscription, client: Client) -> None:
        try:
            await subscription.make(client)
        except nats.errors.Error as error:  # it has been closed: then with the next one
            subscription.native = None
            self._note(text_of(error))

    # --- parts --------------------------------------------------------------------------------

    def _connected(self) -> Client:
        if self._client is None:
            raise NotConnectedError("the nats transport is not started")
        return self._client

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._logger.debug("%s", problem)

    def _look_again(self) -> None:
        self._changed.set()
