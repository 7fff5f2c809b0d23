"""Connection: one connection to the NATS servers, made again whenever it is lost.

nats-py reconnects by itself. This module adds what it leaves out (nats-py 2.16):

- A server that stands still is noticed within two `ping_interval`; by default it takes six minutes.
- A reconnect that hangs while it closes the old socket is freed: the socket is aborted.
- Most `-ERR` lines of a server close a client for good, also with endless reconnects. Then a new
  client replaces it.
- Connected is not enough: the connection counts as up when a probe came back. A flush would prove
  nothing (see `civitas_nats.probes`).

After `open` only one task, the keeper, changes the state. It looks at the client ten times a
second, and at once when the client reports that it has reconnected.

| state        | event                           | what is done               | next state   |
|--------------|---------------------------------|----------------------------|--------------|
| closed       | `open`                          | connect, subscribe, probe  | up           |
| up           | the client has no connection    | report down                | reconnecting |
| up           | the client has reconnected      | report down                | proving      |
| up           | the client has closed itself    | report down                | replacing    |
| reconnecting | 1 s has passed                  | abort the old socket, once | reconnecting |
| reconnecting | the client has a connection     |                            | proving      |
| reconnecting | the client has closed itself    |                            | replacing    |
| replacing    | a new client is connected       | subscribe all with it      | proving      |
| proving      | the server does not fit         | note why, look again       | proving      |
| proving      | no probe came back within 0.5 s | look again                 | proving      |
| proving      | a probe came back               | report up                  | up           |
| any          | `close`                         | send what waits (`linger`) | closed       |

From *proving*, a client without a connection leads to *reconnecting*, a closed one to *replacing*.
The state is not stored: it follows from `is_up` and from what the client says of itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable
from typing import Final

import nats.errors

from civitas.errors import (
    ConfigurationError,
    MessageTooLargeError,
    NotConnectedError,
    OutcomeUnknownError,
    TransportError,
)
from civitas.transport import start_task
from civitas_nats.client import HardenedClient as Client
from civitas_nats.client import RefusedError, abort_socket, cancel_and_wait, socket_of
from civitas_nats.connector import (
    MAX_PENDING_BYTES,
    RETRY_PAUSE,
    Connector,
    close_client,
    error_text,
    server_of,
)
from civitas_nats.handing_over import YIELD_ABOVE, hand_over
from civitas_nats.options import NATSOptions
from civitas_nats.probes import Probes
from civitas_nats.refusals import Refusals
from civitas_nats.subscription import OnMessage, Subscription
from civitas_nats.urls import mask_logins

_LOOK: Final = 0.1
"""Seconds between two looks at the client."""

_ABORT_AFTER: Final = 1.0
"""Seconds after which the socket of a lost connection is aborted (see `civitas_nats.client`)."""

_SILENT: Final = "the server is silent"
"""What is wrong with a lost connection, unless the client has reported an error."""

_PROBE_INTERVAL: Final = 0.5
"""Seconds until a probe that may be lost is sent again."""


class Connection:
    """A connection to whichever of the servers answers; see the module for its states.

    Args:
        options: what the topology says.
        name: what the servers call this connection.
        logger: where losses and reconnects are noted.
        down: called with the reason when the connection is lost.
        up: called when it is back, together with all subscriptions.
        failed: called when something that keeps the connection has ended unexpectedly.
        refused: called with subject and reason of each message that permissions forbid.
    """

    def __init__(
        self,
        options: NATSOptions,
        name: str,
        logger: logging.Logger,
        *,
        down: Callable[[str], None],
        up: Callable[[], None],
        failed: Callable[[BaseException], None],
        refused: Callable[[str, str], None] = lambda _subject, _reason: None,
    ) -> None:
        self.is_up = False
        self.failed: Final = failed
        self.inbox: Final = f"{options.inbox_prefix}.{os.urandom(11).hex()}"
        """What the subjects of this connection alone begin with."""
        self.servers: Final = options.servers
        self._options = options
        self._name = name
        self._logger = logger
        self._on_down = down
        self._on_up = up
        self._on_refused = refused
        self._changed = asyncio.Event()
        self._connector = Connector(
            options,
            name,
            self.inbox,
            problem=self._note,
            refused=self._take_refusal,
            reconnected=self._changed.set,
            failed=failed,
        )
        self._client: Client | None = None
        self._socket: asyncio.WriteTransport | None = None
        """The socket of the connection that was last up."""
        self._reconnects = 0
        self._lost_at: float | None = None
        self._problem = f"there is no connection to {mask_logins(options.servers)}"
        self._subscriptions: set[Subscription] = set()
        self._probes = Probes(self.inbox)
        self._refusals = Refusals(logger)
        self._room_lock = asyncio.Lock()
        self._waiting_for_room = 0
        """Senders that wait for the socket to take what was sent before."""
        self._keeper: asyncio.Task[None] | None = None

    # --- opening and closing ------------------------------------------------------------------

    async def open(self) -> None:
        """Connect to one of the servers.

        Raises:
            AccessDeniedError: the server does not let this process in, or forbids it its inbox.
            ConfigurationError: the options and the server don't fit each other.
            NotConnectedError: none answered within `connect_timeout`.
        """
        await self._use(await self._connector.connect())
        await self.subscribe(self._probes.subject, self._probes.on_message)
        await self.wait_ready()
        self._set_up()
        name = f"civitas nats {self._name}"
        self._keeper = start_task(self._keep(), name=name, failed=self.failed)

    async def close(self) -> None:
        """Send what was accepted, within `linger`, and close. Idempotent, also half-open."""
        await cancel_and_wait(self._keeper)
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if self.is_up and not await self._probes.come_back(client, self._options.linger):
                self._logger.warning("stopped before a server had taken all: the last may be lost")
                self._abort_socket()
        finally:  # also when it is cancelled
            self.is_up = False
            await close_client(client)

    # --- use ----------------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """The client of the present connection.

        Raises:
            NotConnectedError: the connection is not open.
        """
        if self._client is None:
            raise NotConnectedError("the nats transport is not started")
        return self._client

    @property
    def max_payload(self) -> int:
        """Bytes that the server takes in one message, headers included."""
        return int(self.client.max_payload)

    @property
    def has_room(self) -> bool:
        """Whether a publish would not have to wait for the socket."""
        return self._client is not None and self._client.pending_data_size <= MAX_PENDING_BYTES

    async def subscribe(self, subject: str, on_message: OnMessage) -> Subscription:
        """Call `on_message` with each message of a subject, until `unsubscribe`."""
        subscription = Subscription(subject, on_message, self.failed)
        self._subscriptions.add(subscription)
        client = self._client
        if client is not None and client.is_connected:  # otherwise the keeper subscribes it
            await self._subscribe_with(client, subscription)
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription."""
        self._subscriptions.discard(subscription)
        native, subscription.native = subscription.native, None
        client = self._client
        if native is None or client is None or client.is_closed:
            return
        try:
            await native.unsubscribe()
        except nats.errors.Error as error:  # the connection was lost, and the subscription with it
            self._logger.debug("not unsubscribed from %s: %s", subscription.subject, error)

    def publish_nowait(self, subject: str, data: bytes) -> bool:
        """Hand a message to the client; return False where `publish` has to wait, or to raise."""
        client = self._client if self.is_up and not self._waiting_for_room else None
        return client is not None and hand_over(client, subject, data)

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Hand a message to the client, in the order of the calls.

        Raises:
            NotConnectedError: the connection is not up.
            MessageTooLargeError: the server takes no messages of this size.
            TransportError: it took nothing for `send_timeout` seconds.
        """
        client = self._client
        if client is None or not (self.is_up and client.is_connected):
            raise NotConnectedError(self._problem)
        pending = client.pending_data_size
        if pending > MAX_PENDING_BYTES or self._waiting_for_room:  # no publish overtakes another
            await self._wait_for_room(client)
        try:
            await client.publish(subject, data, reply, headers)
            if pending > YIELD_ABOVE and not reply:  # who awaits an answer pauses anyway
                await asyncio.sleep(0)  # after the publish: a numbered frame must not be overtaken
        except asyncio.CancelledError as error:
            raise error from OutcomeUnknownError("the client may have it")
        except nats.errors.MaxPayloadError:
            raise MessageTooLargeError(
                f"{len(data)} bytes are more than the server's max_payload ({client.max_payload})"
            ) from None
        except nats.errors.Error as error:
            raise NotConnectedError(f"not sent: {error_text(error)}") from error

    async def wait_ready(self) -> None:
        """Return when the server has taken all subscriptions that were made before.

        Raises:
            AccessDeniedError: its permissions forbid one of them.
            NotConnectedError: no probe came back within `connect_timeout`.
        """
        _ = self.client  # a connection that is not open is reported at once
        limit = self._options.connect_timeout
        try:
            async with asyncio.timeout(limit):
                while not await self._probes.come_back(self._client, _PROBE_INTERVAL):
                    self._refusals.check([self._probes.subject], self._lifetime())
        except TimeoutError:
            raise NotConnectedError(
                f"no answer from {mask_logins(self.servers)} within {limit:g} s: {self._problem}"
            ) from None
        # What is refused was refused before the probe behind it came back.
        self._refusals.check([each.subject for each in self._subscriptions], self._lifetime())

    async def _wait_for_room(self, client: Client) -> None:
        """Wait until the socket has taken what was sent before: a probe comes back behind it."""
        limit = self._options.send_timeout
        self._waiting_for_room += 1
        try:
            async with asyncio.timeout(limit), self._room_lock:
                while client.pending_data_size > MAX_PENDING_BYTES:
                    if await self._probes.come_back(client, limit):
                        break
                    if not (self.is_up and client.is_connected):
                        raise NotConnectedError(self._problem)
        except TimeoutError:
            raise TransportError(
                f"the connection to {server_of(client)} took nothing for {limit:g} s"
            ) from None
        finally:
            self._waiting_for_room -= 1

    # --- keeping ------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Look at the client again and again, and act on what has changed."""
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout(_LOOK):
                    await self._changed.wait()
            except TimeoutError:
                pass
            client = self.client
            if client.is_closed:
                self._set_down()
                await self._replace_client()
            elif not client.is_connected:
                self._set_down()
                self._abort_when_stuck()
            elif client.stats["reconnects"] != self._reconnects or not self.is_up:
                self._set_down()
                await self._prove(client)

    def _set_up(self) -> None:
        self.is_up = True
        self._lost_at = None
        self._problem = _SILENT

    def _set_down(self) -> None:
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
            self._abort_socket()

    def _abort_socket(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            abort_socket(socket)

    async def _prove(self, client: Client) -> None:
        """Report up when a connected client fits, has all subscriptions, and a probe came back."""
        self._reconnects = client.stats["reconnects"]
        self._socket = socket_of(client)
        try:
            self._connector.check(client)
        except ConfigurationError as error:
            self._note(str(error))
            return
        for subscription in tuple(self._subscriptions):
            if subscription.native is None:  # the client itself repeats the others
                await self._subscribe_with(client, subscription)
        if not await self._probes.come_back(client, _PROBE_INTERVAL):
            return
        self._set_up()
        self._logger.info("connected again, to %s", server_of(client))
        self._on_up()

    async def _replace_client(self) -> None:
        """Make a new client: an error of a server has closed the old one for good."""
        while True:
            try:
                client = await self._connector.connect()
            except (TransportError, ConfigurationError) as error:
                self._note(str(error))
                await asyncio.sleep(RETRY_PAUSE + random.random() * RETRY_PAUSE)
            else:
                await self._use(client)
                return

    async def _use(self, client: Client) -> None:
        self._client = client
        self._reconnects = client.stats["reconnects"]
        self._socket = socket_of(client)
        self._problem = _SILENT
        for subscription in tuple(self._subscriptions):
            await self._subscribe_with(client, subscription)

    async def _subscribe_with(self, client: Client, subscription: Subscription) -> None:
        self._refusals.forget(subscription.subject)
        try:
            await subscription.subscribe(client)
        except nats.errors.Error as error:  # the client was closed: the next one subscribes it
            subscription.native = None
            self._note(error_text(error))

    def _take_refusal(self, error: RefusedError) -> None:
        denied = error.subject if error.what == "subscription" else None
        if self._probes.is_own(error.subject):
            denied = self._probes.subject  # also when it may not publish them
        elif denied is None:
            self._on_refused(error.subject, str(error))
        self._refusals.take(error, denied, self._lifetime())

    def _lifetime(self) -> tuple[int, int]:
        """Return what differs for each connection: the next may be allowed more."""
        client = self._client
        return (id(client), 0 if client is None else client.stats["reconnects"])

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._logger.debug("%s", problem)
