"""NetworkTransport: all of a transport but its network.

What is the same for every transport between processes is here, once: delivery within the process,
replies, the dispatch of what comes from elsewhere, the largest frame, an orderly stop. A subclass
adds the network: six methods, none of which is called by anybody else. One whose client library
connects again by itself is a direct subclass; `BrokerTransport` is for all others.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from civitas.envelope import UnsealedRequest
from civitas.errors import MessageTooLargeError, NotConnectedError
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.transport.dispatcher import LANE_LIMIT, Dispatcher
from civitas.transport.in_process import InProcessTransport
from civitas.transport.protocol import Handler, Publish


def _wait(_address: str, _frame: bytes) -> bool:
    return False


class NetworkTransport(ABC):
    """Carries frames between processes by what its subclass knows of a network.

    Frames for an agent of this process go to its handler at once, so that a full mailbox is felt
    by their sender. All others go through the network, and so do those for system addresses, which
    may have subscribers here and elsewhere.

    Args:
        name: the transport's name, for error messages.
        capabilities: what it claims with its options.
        context: what the node gives; a transport on its own needs none.
        linger: seconds within which a stop lets handlers finish.
        lane_limit: frames from the network that wait for one handler; more are dropped.

    Attributes:
        capabilities: as given.
        context: as given, or one that counts nothing.
        dispatcher: knows the addresses that have a handler; its `deliver` takes what comes from
            the network.
        offer: called with (address, frame) before `send`: it hands a frame to the network without
            waiting and returns True, or returns False. A subclass that can do so replaces it; it
            returns False while a `send` waits, so that it overtakes none, and never raises.
    """

    def __init__(
        self,
        name: str,
        capabilities: Capabilities,
        context: TransportContext | None = None,
        *,
        linger: float = 1.0,
        lane_limit: int = LANE_LIMIT,
    ) -> None:
        self.capabilities = capabilities
        self.context = context or TransportContext()
        self.dispatcher = Dispatcher(self.context, lane_limit=lane_limit)
        self.offer: Callable[[str, bytes], bool] = _wait
        self._name = name
        self._linger = linger
        self._largest = capabilities.max_message_bytes or sys.maxsize
        self._local = InProcessTransport(context)
        self._is_open = False
        self._stopping = asyncio.Lock()

    # --- the network: what a subclass adds ------------------------------------------------------

    @abstractmethod
    async def open(self) -> None:
        """Connect, with a subscription for each of `dispatcher.addresses()`.

        Raises:
            AccessDeniedError: the network does not let this process in.
            NotConnectedError: it can't be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let the network have what it was given, and leave nothing behind.

        It is called after `open` has failed, too, and while it is under way; never twice at a time.
        """

    @abstractmethod
    async def listen(self, address: str) -> None:
        """Ask for the frames of one more address, while it is open."""

    @abstractmethod
    async def forget(self, address: str) -> None:
        """Ask for no more frames of an address, while it is open."""

    @abstractmethod
    async def send(self, address: str, frame: bytes) -> None:
        """Hand a frame to the network; the errors are those of `Transport.publish`."""

    @abstractmethod
    async def prove(self) -> None:
        """Return when a frame sent anywhere to an address listened to here would arrive."""

    async def settle(self) -> None:  # noqa: B027 - most have nothing to do
        """End first what has to end before handlers do, when it stops. By default nothing has."""

    # --- the transport --------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect; nothing happens when it is started already.

        Raises:
            TransportError: it can't; the message says what to do.
        """
        if self._stopping.locked():
            async with self._stopping:
                pass  # it is started again, once it has stopped
        if self._is_open:
            return
        inbox = self._local.inbox
        if inbox.address not in self.dispatcher:
            self.dispatcher.subscribe(inbox.address, inbox)
        self._is_open = True
        try:
            await self.open()
            if not self._is_open or self._stopping.locked():
                raise NotConnectedError(f"the {self._name} transport was stopped as it started")
            await self._local.start()
        except BaseException:
            if self._is_open and not self._stopping.locked():
                async with self._stopping:
                    self._is_open = False
                    await self.close()
            raise

    async def stop(self) -> None:
        """Let handlers finish, and leave nothing behind. Idempotent, also half-started."""
        async with self._stopping:
            try:
                await self.settle()
                await self._local.stop()
                await self.dispatcher.close(self._linger)
            finally:  # also when it is cancelled
                self._is_open = False
                await self.close()

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame for `address` to `handler`.

        Raises:
            TransportError: the address has an owner in this process.
        """
        if not address.startswith(RESERVED_PREFIX):  # system addresses have many subscribers
            await self._local.subscribe(address, handler)
        if self.dispatcher.subscribe(address, handler) and self._is_open:
            await self.listen(address)

    async def unsubscribe(self, address: str) -> None:
        """Give no more frames for `address` to anyone here."""
        if address not in self.dispatcher:
            return
        try:
            if self._is_open:  # first: its next handler may come while the last one ends
                await self.forget(address)
        finally:
            await self._local.unsubscribe(address)
            await self.dispatcher.unsubscribe(address)

    async def publish(self, address: str, data: bytes) -> None:
        """Send a frame to an address.

        Raises:
            MessageTooLargeError: the frame is larger than the transport carries.
            TransportError: as `Transport.publish` says.
        """
        if len(data) > self._largest:
            raise MessageTooLargeError(
                f"a frame of {len(data)} bytes for {address!r} is more than max_message_bytes "
                f"({self._largest}): send less, or raise that option in every process"
            )
        if address in self._local:
            await self._local.publish(address, data)
        elif not self._is_open:
            raise self.not_started()
        elif not self.offer(address, data):
            await self.send(address, data)

    def publish_nowait(self, address: str, data: bytes) -> bool:
        """Send a frame to an address elsewhere if that can be done at once; return whether it was.

        `publish` does it, or raises the error, where it was not.
        """
        return (
            self._is_open
            and len(data) <= self._largest
            and address not in self._local.reachable
            and self.offer(address, data)
        )

    async def request(
        self,
        address: str,
        data: bytes | UnsealedRequest,
        timeout: float | None,
        publish: Publish | None = None,
    ) -> bytes:
        """Send a frame, by `publish` if that is given, and return the frame that answers it.

        Raises:
            TimeoutError: no answer within `timeout` seconds.
        """
        if not self._is_open or self._stopping.locked():
            raise self.not_started()
        send = partial(publish or self.publish, address)
        return await self._local.inbox.request(data, timeout, send, address)

    async def wait_ready(self) -> None:
        """Return when a frame published anywhere to an address subscribed here would arrive.

        Raises:
            AccessDeniedError: the network forbids an address.
            NotConnectedError: not started, or the network does not answer in time.
        """
        if not self._is_open:
            raise self.not_started()
        await self.prove()

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` belongs to a request in flight here."""
        return self._local.inbox.has(address)

    @property
    def within_process(self) -> InProcessTransport | None:
        """What delivers within the process, see `within_process_of`.

        None for a subclass with a `publish` or `request` of its own, which is to see each frame.
        """
        own = type(self)
        is_seen = (
            own.publish is NetworkTransport.publish and own.request is NetworkTransport.request
        )
        return self._local if is_seen else None

    def refused(self, address: str, reason: str) -> None:
        """Take the word of the network that it has thrown away a frame which it had taken.

        The frame is counted as dropped. Requests to the address fail at once with an
        OutcomeUnknownError: which of them it was, nobody knows.

        Args:
            address: where the frame was to go.
            reason: why, in the words of the network.
        """
        self.context.dropped("the network refused it", b"")
        text = f"a frame to {address!r} was refused on its way: {reason}"
        self._local.inbox.fail_requests_to(address, text)

    def not_started(self) -> NotConnectedError:
        """Return the error of whoever uses it before its start, or after its stop."""
        return NotConnectedError(f"the {self._name} transport is not started")
