"""SignedTransport: a transport around another one, that signs what is published and verifies it.

Theory. It stands between a node and the transport that its plugin has made. A frame is signed on
its way out, in the order in which frames are published, and verified before any handler sees it:
what is not signed, or was there before, is dropped, counted, and logged from time to time. What a
node sends to its own agents is not signed where it does not leave the process.

A reply address must stand in a frame before that is signed, so a request at an address whose frames
are signed is this transport's own, with a reply address of its own.

    frames at                | signed_frames: control | signed_frames: all
    -------------------------+------------------------+-------------------
    system addresses         | signed                 | signed
    reply addresses, agents  | as they are            | signed

It knows nothing of nodes: whose frame it is, a frame says.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from logging import Logger
from typing import Any, Final, cast

from civitas import _platform as platform
from civitas._signing.settings import FORMER_NODE, NOT_AUTHENTICATED, REPLAYED
from civitas._signing.signatures import (
    AddressKey,
    ClusterKey,
    Freshness,
    ReplayGuard,
    Verdict,
    sender_of,
)
from civitas.envelope import ORIGIN_AT, TRAILER_BYTES, UnsealedRequest
from civitas.errors import (
    CivitasError,
    FrameError,
    MessageTooLargeError,
    NotConnectedError,
    logger_of,
)
from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.transport.in_process import InProcessTransport, within_process_of
from civitas.transport.protocol import Handler, Publish, PublishesAtOnce, Transport, concurrency_of

LOG_PAUSE: Final = 10.0
"""Seconds between two lines of the log about refused frames at least."""

_KNOWN_ADDRESSES: Final = 4_096
"""Addresses for which what signs their frames is kept, at most."""

_PLAIN_PREFIX: Final = "_"
"""Agents' names do not begin with it; all other addresses do."""


def with_trailer(capabilities: Capabilities) -> Capabilities:
    """Return what is left of a transport's claims where frames are signed."""
    largest = capabilities.max_message_bytes
    if largest is None:
        return capabilities
    return replace(capabilities, max_message_bytes=max(largest - TRAILER_BYTES, 0))


class SignedTransport:
    """Signs and verifies the frames that another transport carries.

    Args:
        transport: the one that carries them; it declares capabilities.
        key: what they are signed with.
        everything: whether all frames are signed, or only those at system addresses.
        probes_at: how the addresses begin at which a node takes the probes of others; empty where
            nobody probes before it sends to agents.
        dropped: called with (reason, frame) for each frame that is refused.
        logger: where refused frames are logged.
    """

    def __init__(
        self,
        transport: Transport,
        key: ClusterKey,
        *,
        everything: bool = False,
        probes_at: str = "",
        dropped: Callable[[str, bytes], None] | None = None,
        logger: Logger | None = None,
    ) -> None:
        claims: Capabilities = transport.capabilities  # type: ignore[attr-defined]
        self.capabilities: Final = with_trailer(claims)
        self._carrier = transport
        self.backlog = getattr(transport, "backlog", None)
        """That of the other transport, where it counts what waits; see `CountsBacklog`."""
        self._offer: Callable[[str, bytes], bool] | None = getattr(
            transport, "publish_nowait", None
        )
        self.publish_nowait = None if self._offer is None else self._publish_nowait
        """Where the other transport has it; see `PublishesAtOnce`."""
        self._key = key
        self._everything = everything
        self._probes_at = probes_at
        self._durable = claims.at_least_once
        self._largest = self.capabilities.max_message_bytes
        self._counters = itertools.count(1)
        self._known: dict[str, AddressKey] = {}
        self._handlers: Counter[str] = Counter()
        """How many there are at each system address: each judges for itself what is new."""
        self._guard = ReplayGuard(floors=bool(probes_at))
        self._refusals = _Refusals(logger or logger_of("civitas.transport"), dropped)
        self._local = InProcessTransport(
            TransportContext(
                node=platform.random_bytes(8).hex(),
                dropped=self._refusals.dropped,
                logger=self._refusals.logger,
            )
        )
        """Delivers within the process where all frames are signed; it has the signed requests."""
        self._started = False
        self._has_inbox = False

    @property
    def within_process(self) -> InProcessTransport | None:
        """What delivers within the process, see `within_process_of`."""
        return self._local if self._everything else within_process_of(self._carrier)

    async def start(self) -> None:
        """Start the other transport."""
        await self._carrier.start()
        if self._started:
            return
        await self._local.start()
        if not self._has_inbox:
            inbox = self._local.inbox
            signed = self._signs(inbox.address)
            handler = self._verifying(inbox.address, inbox) if signed else inbox
            await self._carrier.subscribe(inbox.address, handler)
            self._has_inbox = True
        self._started = True

    async def stop(self) -> None:
        """Fail the requests in flight, and stop the other transport."""
        self._started = self._has_inbox = False
        await self._local.stop()
        await self._carrier.stop()

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame at `address` that is signed, where it must be, to `handler`."""
        if not self._signs(address):
            await self._carrier.subscribe(address, handler)
            return
        if self._stays_here(address):
            await self._local.subscribe(address, handler)
        await self._carrier.subscribe(address, self._verifying(address, handler))

    async def unsubscribe(self, address: str) -> None:
        """Give no more frames for `address` to anyone, where the other transport can."""
        await self._local.unsubscribe(address)
        self._handlers.pop(address, None)
        unsubscribe = getattr(self._carrier, "unsubscribe", None)
        if unsubscribe is not None:
            await unsubscribe(address)

    def publish(self, address: str, data: bytes) -> Coroutine[Any, Any, None]:
        """Send a frame, signed where it must be; the errors are those of the other transport.

        Raises:
            MessageTooLargeError: the frame is larger than `capabilities` say.
        """
        if self._everything or address.startswith(RESERVED_PREFIX):
            return self._publish(address, data)
        return self._carrier.publish(address, data)

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
        if not self._signs(address):
            if publish is None:
                return await self._carrier.request(address, data, timeout)  # type: ignore[arg-type]
            carrier = cast("PublishesAtOnce", self._carrier)  # else there would be no `publish`
            return await carrier.request(address, data, timeout, publish)  # type: ignore[arg-type]
        if not self._started:
            raise NotConnectedError("the transport is not started")
        send = partial(publish or self.publish, address)
        return await self._local.inbox.request(data, timeout, send)

    async def wait_ready(self) -> None:
        """Return when a frame published anywhere to an address subscribed here would arrive."""
        await self._carrier.wait_ready()

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` belongs to a request in flight."""
        return self._local.inbox.has(address) or self._carrier.has_reply_address(address)

    # --- parts --------------------------------------------------------------------------------

    def _signs(self, address: str) -> bool:
        return self._everything or address.startswith(RESERVED_PREFIX)

    def _is_stored(self, address: str) -> bool:
        """Return whether the frames at an address are kept, and given again."""
        return self._durable and not address.startswith(_PLAIN_PREFIX)

    def _stays_here(self, address: str) -> bool:
        """Return whether frames for an address of this process are delivered within it."""
        return not address.startswith(RESERVED_PREFIX) and not self._is_stored(address)

    def _publish_nowait(self, address: str, data: bytes) -> bool:
        assert self._offer is not None
        if not self._signs(address):
            return self._offer(address, data)
        if address in self._local or (self._largest is not None and len(data) > self._largest):
            return False
        # Where it returns False the frame is signed once more, with a later counter: none is the
        # same twice, and gaps mean nothing.
        return self._offer(address, self._sign(address, data))

    async def _publish(self, address: str, data: bytes) -> None:
        if self._largest is not None and len(data) > self._largest:
            raise MessageTooLargeError(
                f"a frame of {len(data)} bytes for {address!r} is more than {self._largest}, which "
                f"is max_message_bytes without the {TRAILER_BYTES} bytes of a signature: send "
                f"less, or raise that option in every process"
            )
        if address in self._local:
            await self._local.publish(address, data)
            return
        await self._carrier.publish(address, self._sign(address, data))

    def _sign(self, address: str, data: bytes) -> bytes:
        key = self._known.get(address) or self._key_at(address)
        return key.sign(data, next(self._counters))

    def _key_at(self, address: str) -> AddressKey:
        if len(self._known) >= _KNOWN_ADDRESSES:
            self._known.clear()
        key = self._key.at(address, attempt_may_change=self._is_stored(address))
        self._known[address] = key
        return key

    def _verifying(self, address: str, handler: Handler) -> Handler:
        seen_at = address
        if address.startswith(RESERVED_PREFIX):
            self._handlers[address] += 1
            seen_at = f"{address} {self._handlers[address]}"
        opener = _Opener(self._key_at(address), address, seen_at, self._rule(address), self._guard)
        if self._is_stored(address):
            return _StoredFrames(opener, handler, self._refusals)
        return _ScreenedFrames(opener, handler, self._refusals)

    def _rule(self, address: str) -> Freshness:
        if self._probes_at and address.startswith(self._probes_at):
            return Freshness.PROBE
        if address.startswith((RESERVED_PREFIX, REPLY_PREFIX)):
            return Freshness.ONCE
        return Freshness.STORED if self._durable else Freshness.AGENT


class _OldFrameError(FrameError):
    """A frame was signed with the key, and is not new."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Opener:
    """Takes the trailer off the frames of one address."""

    __slots__ = ("_judge", "_rule", "_seen_at", "_verify", "address")

    def __init__(
        self, key: AddressKey, address: str, seen_at: str, rule: Freshness, guard: ReplayGuard
    ) -> None:
        self.address = address
        self._seen_at = seen_at
        self._rule = rule
        self._verify = key.verify
        self._judge = guard.judge

    def open(self, frame: bytes) -> bytes:
        """Return a frame as it was before it was signed.

        Raises:
            FrameError: it is not authenticated, or was there before.
        """
        plain, counter = self._verify(frame)
        sender = plain[ORIGIN_AT] if plain[2] < 3 else sender_of(plain)
        verdict = self._judge(sender, self._seen_at, counter, self._rule)
        if verdict is Verdict.NEW:
            return plain
        raise _OldFrameError(REPLAYED if verdict is Verdict.REPLAYED else FORMER_NODE)


class _ScreenedFrames:
    """The handler of an address: verifies each frame, and gives it to the handler behind.

    A `Dispatcher` has each frame verified when it comes, by `screen`, and gives the handler behind
    what is believed. So nothing that is not waits for anybody.
    """

    __slots__ = ("_open", "_opener", "_refusals", "screened")

    def __init__(self, opener: _Opener, handler: Handler, refusals: _Refusals) -> None:
        self.screened = handler
        self._opener = opener
        self._open = opener.open
        self._refusals = refusals

    def screen(self, frame: bytes) -> bytes | None:
        """Return what the handler behind is given; None when the frame is not believed."""
        try:
            return self._open(frame)
        except FrameError as error:
            self._refusals.note(self._opener.address, frame, error)
            return None

    async def __call__(self, frame: bytes) -> None:
        """Give a frame to the handler, if it is believed."""
        plain = self.screen(frame)
        if plain is not None:
            await self.screened(plain)


class _StoredFrames:
    """The same for an agent of a durable transport, which hears why a frame can't be executed."""

    __slots__ = ("_handler", "_opener", "_refusals")

    def __init__(self, opener: _Opener, handler: Handler, refusals: _Refusals) -> None:
        self._opener = opener
        self._handler = handler
        self._refusals = refusals

    @property
    def concurrency(self) -> int:
        """That of the handler."""
        return concurrency_of(self._handler)

    async def __call__(self, frame: bytes) -> None:
        """Give a frame to the handler.

        Raises:
            FrameError: it is not believed.
        """
        try:
            plain = self._opener.open(frame)
        except FrameError as error:
            self._refusals.note(self._opener.address, frame, error)
            raise
        await self._handler(plain)


class _Refusals:
    """Counts the frames that are refused, and logs them: at once, then at most every LOG_PAUSE."""

    def __init__(self, logger: Logger, dropped: Callable[[str, bytes], None] | None) -> None:
        self.logger = logger
        self._dropped = dropped
        self._logged_at: float | None = None
        self._since = 0

    def dropped(self, reason: str, frame: bytes) -> None:
        """Count a frame that can't be delivered."""
        if self._dropped is not None:
            self._dropped(reason, frame)

    def note(self, address: str, frame: bytes, error: CivitasError) -> None:
        """Count a frame that came to an address and is refused, and log it when it is time."""
        reason = error.reason if isinstance(error, _OldFrameError) else NOT_AUTHENTICATED
        self.dropped(reason, frame)
        if reason == FORMER_NODE:
            return  # as when its node has just died
        now = platform.monotonic()
        if self._logged_at is not None and now - self._logged_at < LOG_PAUSE:
            self._since += 1
            return
        more, self._since, self._logged_at = self._since, 0, now
        node, others = frame[4:12].hex() or "-", f" ({more:,} others since the last line)"
        text = "refused a frame for %r that claims to be of node %s: %s%s"
        self.logger.warning(text, address, node, error, others if more else "")
