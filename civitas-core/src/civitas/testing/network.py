"""Network: the transports of one test, what listens on them, and waits that have an end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias, TypeVar

from civitas import envelope
from civitas.envelope import KIND_REPLY, Origin
from civitas.messages import REPLY_PREFIX
from civitas.plugins import Capabilities
from civitas.testing import leaks
from civitas.testing.notes import Notes, takes_context
from civitas.transport import Transport, published_at

T = TypeVar("T")

MakeTransport: TypeAlias = Callable[..., Transport]
"""Makes a fresh, unstarted transport, each time on the same network.

It is called with a keyword argument `context`, a TransportContext, if it takes one.
"""

_PAUSE: Final = 0.01
"""Seconds between two looks at a condition of which there is no event."""

Errors: TypeAlias = type[Exception] | tuple[type[Exception], ...]
"""The error that is expected, or those of which one is."""


class Arrivals:
    """What came to one address, in order. `put` is the handler."""

    def __init__(self, address: str, network: Network) -> None:
        self.address = address
        self.frames: list[bytes] = []
        self._network = network
        self._changed = asyncio.Event()

    async def put(self, frame: bytes) -> None:
        """Note a frame."""
        self.frames.append(frame)
        self._changed.set()

    async def first(self, count: int = 1) -> list[bytes]:
        """Wait for `count` frames, for `patience` seconds each, and return all that came."""
        while (seen := len(self.frames)) < count:
            await self._network.within(
                self._wait_for(seen + 1), lambda: f"{count} frames at {self.address!r}, {self.seen}"
            )
        return self.frames

    async def including(self, frame: bytes) -> list[bytes]:
        """Wait for this frame and return all that came up to now."""
        await self._network.within(
            self._wait_for_frame(frame), lambda: f"a frame at {self.address!r}, {self.seen}"
        )
        return self.frames

    @property
    def seen(self) -> str:
        """How many came, for messages."""
        return f"where {len(self.frames)} came"

    async def _wait_for(self, count: int) -> None:
        while len(self.frames) < count:
            self._changed.clear()
            await self._changed.wait()

    async def _wait_for_frame(self, frame: bytes) -> None:
        while frame not in self.frames:
            self._changed.clear()
            await self._changed.wait()


class Network:
    """Makes the transports of one test and stops them after it.

    Args:
        make_transport: the adopter's fixture.
        capabilities: the adopter's claims.
        patience: seconds that a wait may last before the test fails.
    """

    def __init__(
        self, make_transport: MakeTransport, capabilities: Capabilities, patience: float
    ) -> None:
        self.capabilities = capabilities
        self.patience = patience
        self.origin = Origin(os.urandom(8), 1)
        self.fenced: set[bytes] = set()
        self._make = make_transport
        self._takes_context = takes_context(make_transport)
        self._made: list[Transport] = []
        self._notes: dict[int, Notes] = {}
        self._started: list[Transport] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self.foreign_descriptors: dict[int, str] = {}
        """Descriptors that the adopter's fixtures have opened meanwhile, such as a broker's log."""

    # --- transports ----------------------------------------------------------------------------

    def make(self, *, control: bool = False) -> Transport:
        """Return a fresh transport that is not started; it is stopped after the test.

        Args:
            control: whether its context says that it belongs to a control plane.
        """
        if self._takes_context:
            primary = not self._made and not control
            notes = Notes(is_primary=primary, control=control, fenced=self.fenced)
            transport = self._make(context=notes.context)
            self._notes[id(transport)] = notes
        else:
            transport = self._make()
        self._made.append(transport)
        claimed = getattr(transport, "capabilities", self.capabilities)
        assert claimed == self.capabilities, (
            f"the test class states {self.capabilities}, the transport {claimed}"
        )
        return transport

    def notes(self, transport: Transport) -> Notes | None:
        """Return what a transport reported; `None` where it was made without a context."""
        return self._notes.get(id(transport))

    def needed_notes(self, transport: Transport) -> Notes:
        """Return what a transport reported; fail where it was made without a context."""
        notes = self.notes(transport)
        assert notes is not None, (
            "what the fixture make_transport gives takes no `context`: a transport between "
            "processes needs what its node gives; write `return lambda context: ...`"
        )
        return notes

    async def start(self) -> Transport:
        """Return a started transport."""
        transport = self.make()
        await self.begin(transport)
        return transport

    async def begin(self, transport: Transport) -> None:
        """Start a transport that was made here."""
        await self.within(transport.start(), "start()")
        self._started.append(transport)

    async def stop(self, transport: Transport, what: str = "stop()") -> None:
        """Stop a transport before the test ends; it need not be ready any more."""
        self._started.remove(transport)
        await self.within(transport.stop(), what)

    async def pair(self) -> tuple[Transport, Transport]:
        """Return who sends and who receives: two processes, or one that does both."""
        receiver = await self.start()
        sender = await self.start() if self.capabilities.cross_process else receiver
        return sender, receiver

    async def ready(self) -> None:
        """Wait until what was subscribed on any started transport is reachable from all."""
        for transport in self._started:
            await self.within(transport.wait_ready(), "wait_ready()")

    async def listen(self, transport: Transport, *addresses: str) -> list[Arrivals]:
        """Subscribe to addresses, and return what will come to each of them."""
        inboxes = [Arrivals(address, self) for address in addresses]
        for inbox in inboxes:
            await self.within(transport.subscribe(inbox.address, inbox.put), "subscribe()")
        await self.ready()
        return inboxes

    async def serve(self, transport: Transport, address: str, body: bytes | None = None) -> None:
        """Subscribe an agent that answers each request with `answer_to(request, body)`."""

        async def answer(request: bytes) -> None:
            await self.reply(transport, self.answer_to(request, body))

        await self.within(transport.subscribe(address, answer), "subscribe()")
        await self.ready()

    def outside(self, change: Callable[[], object]) -> None:
        """Let an adopter's fixture change the world, and note which descriptors it opens for it.

        The event loop stands still meanwhile, so none of these is a transport's.
        """
        before = leaks.descriptors()
        change()
        self.foreign_descriptors |= leaks.opened_since(before)

    # --- frames --------------------------------------------------------------------------------

    def frame(self, body: bytes, *, origin: Origin | None = None) -> bytes:
        """Return a frame with this body, of this test's node or of another one."""
        return envelope.seal(body, "conformance", origin or self.origin)

    def origins(self, count: int) -> list[Origin]:
        """Return this many nodes, this test's own first: what one of them sends has its order."""
        return [self.origin, *(Origin(os.urandom(8), 1) for _ in range(count - 1))]

    def frame_of(self, size: int, begin: bytes = b"") -> bytes:
        """Return a frame of exactly this size, whose body begins like this; its bytes differ."""
        head = self.frame(begin)
        pattern = bytes(range(251))
        return head + (pattern * (size // len(pattern) + 1))[: size - len(head)]

    def size_of(self, largest: int) -> int:
        """Return this size of a frame, in bytes, or `max_message_bytes` where that is less."""
        return min(largest, self.capabilities.max_message_bytes or largest)

    def answer_to(self, request: bytes, body: bytes | None = None) -> bytes:
        """Return the frame that answers a request, by default with the request's own body."""
        asked = envelope.open(request)
        return envelope.seal(
            asked.body if body is None else body,
            "conformance",
            self.origin,
            kind=KIND_REPLY,
            reply_to=asked.reply_to,
        )

    async def reply(self, transport: Transport, answer: bytes) -> None:
        """Publish an answer where the runtime would publish it."""
        address = published_at(envelope.reply_to_of(answer))
        await self.within(transport.publish(address, answer), f"publish({address!r})")

    # --- waiting -------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something beside the test; it is cancelled when the test ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    async def within(self, work: Awaitable[T], what: str | Callable[[], str]) -> T:
        """Return the outcome of `work`; fail when it takes longer than `patience`."""
        try:
            async with asyncio.timeout(self.patience) as deadline:
                return await work
        except TimeoutError:
            if not deadline.expired():
                raise
            awaited = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {self.patience:g} s in vain for {awaited}") from None

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition."""

        async def met() -> None:
            while not condition():  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(_PAUSE)

        await self.within(met(), what)

    async def refused(self, work: Awaitable[Any], error: Errors, what: str) -> Exception:
        """Return the error of this type that `work` raises; fail when it does anything else."""
        raised = await self.refused_or_silent(work, error, what)
        assert raised is not None, f"{what}: expected {_name(error)}, but nothing was raised"
        return raised

    async def refused_or_silent(
        self, work: Awaitable[Any], error: Errors, what: str
    ) -> Exception | None:
        """Return the error of this type that `work` raises, or None; fail for another error."""
        try:
            await self.within(work, what)
        except AssertionError:
            raise
        except error as expected:
            return expected
        except Exception as other:
            raise AssertionError(f"{what}: expected {_name(error)}, not {other!r}") from other
        return None

    # --- the end -------------------------------------------------------------------------------

    async def close(self) -> None:
        """End what the test began, and stop every transport."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, running = await asyncio.wait(self._tasks, timeout=self.patience)
            assert not running, f"cancelled, but still running: {running}"
        for transport in reversed(self._made):  # the first one may run what the others need
            await self.within(transport.stop(), "stop()")

    async def abandon(self) -> None:
        """End what a failed test began; what goes wrong here is not what failed."""
        with contextlib.suppress(Exception):
            await self.close()


def unknown_reply_address() -> str:
    """Return a reply address that no node of this test has."""
    return f"{REPLY_PREFIX}{os.urandom(8).hex()}"


def _name(error: Errors) -> str:
    return error.__name__ if isinstance(error, type) else " or ".join(map(_name, error))
