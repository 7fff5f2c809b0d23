"""Ledger: an at-least-once transport for tests: a stream in memory, shared by several transports.

What is published for an agent stays in the ledger until its handler has returned. System frames
and replies pass by the ledger and are delivered at most once. The transports of agents live in one
event loop; those of control planes, which know only system frames, may live in any.
"""

from __future__ import annotations

import asyncio
import threading
import time
from asyncio import FIRST_COMPLETED
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from civitas import AgentProcess, Runtime, Supervisor, envelope
from civitas._bus.instrument_guards import Instruments
from civitas.components import ComponentSet, build_component_set, wire
from civitas.components.given import instrument_sources
from civitas.errors import (
    DeserializationError,
    FrameError,
    NotConnectedError,
    ProcessingError,
    TransportError,
)
from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext, TransportSpec
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.loader import LoadedTransport
from civitas.transport import (
    Dispatcher,
    Handler,
    Kept,
    KeptMessage,
    ReplyInbox,
    Selection,
    Survey,
    concurrency_of,
)
from support.agents import Scripted
from support.ledger_stream import DeadLetter, Entry, Stream

_DRAIN: Final = 1.0
"""Seconds in which handlers of system frames finish when the transport stops."""


@dataclass(frozen=True)
class Listener:
    """Who gets what is not kept, and in which event loop."""

    loop: asyncio.AbstractEventLoop
    dispatcher: Dispatcher


class Ledger:
    """What several transports share: the streams, and who listens to what is not kept.

    Args:
        retry_delay: seconds until a frame is given again.
        max_deliver: deliveries of a frame that fails, at most.

    Attributes:
        dead_letters: the frames that were given up.
    """

    capabilities: Final = Capabilities(cross_process=True, at_least_once=True)

    def __init__(self, retry_delay: float = 0.005, max_deliver: int = 2) -> None:
        self.retry_delay = retry_delay
        self.max_deliver = max_deliver
        self.dead_letters: list[DeadLetter] = []
        self.streams: dict[str, Stream] = {}
        self.last_number = 0
        self.keys: set[str] = set()
        self.listeners: dict[str, tuple[Listener, ...]] = {}
        self._changing = threading.Lock()  # the listeners, in any thread

    def transport(self, context: TransportContext | None = None) -> LedgerTransport:
        """Return another transport on this ledger."""
        return LedgerTransport(self, context)

    def components(
        self, serializer: Any = None, *, instruments: Iterable[Any] = (), **node: Any
    ) -> ComponentSet:
        """Return the components of another node on this ledger, made as from a plugin."""
        watch = Instruments(instrument_sources(instruments))
        watch.make(node.get("process", ""), "0" * 16)
        candidate = Candidate(PluginKind.TRANSPORT, "ledger", __name__, "", "", "", builtin=True)
        spec = TransportSpec(
            name="ledger",
            summary="A stream in memory",
            factory=lambda _options, context: self.transport(context),
            capabilities=self.capabilities,
            dead_letters=lambda _options, _context: LedgerStore(self),
        )
        loaded = LoadedTransport(candidate, spec)
        return wire(loaded, None, serializer, instruments=watch, **node)

    def listen(self, address: str, listener: Listener) -> None:
        """Give a listener what comes to an address from now on."""
        with self._changing:
            self.listeners[address] = (*self.listeners.get(address, ()), listener)

    def ignore(self, address: str, listener: Listener | None) -> None:
        """Give a listener nothing more that comes to an address."""
        with self._changing:
            others = (each for each in self.listeners.get(address, ()) if each is not listener)
            self.listeners[address] = tuple(others)

    def keep(self, agent: str, frame: bytes) -> None:
        """Keep a frame for an agent."""
        self.stream(agent).append(frame, self.number())

    def give_up(self, address: str, entry: Entry, reason: str) -> None:
        """Keep a frame as a dead letter."""
        deliveries = entry.failures or 1
        about = (self.number(), time.time(), deliveries)
        self.dead_letters.append(DeadLetter(address, entry.frame, reason, *about))

    def number(self) -> int:
        """Return a number that is greater than all before."""
        self.last_number += 1
        return self.last_number

    def stream(self, agent: str) -> Stream:
        """Return the stream of an agent."""
        return self.streams.setdefault(agent, Stream())

    def kept(self, agent: str) -> list[bytes]:
        """Return the frames that wait for an agent, the one included that it has in hand."""
        return [entry.frame for entry in self.stream(agent).entries]


class LedgerTransport:
    """One process's access to a ledger.

    Args:
        ledger: the ledger.
        context: what the node gives; a transport on its own needs none.
    """

    capabilities: Final = Ledger.capabilities

    def __init__(self, ledger: Ledger, context: TransportContext | None = None) -> None:
        self._ledger = ledger
        self._context = context or TransportContext()
        self._dispatcher = Dispatcher(context)
        self._inbox = ReplyInbox(None if context is None else context.node, self._context.dropped)
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._listener: Listener | None = None
        self._started = False
        self._is_cut = False

    async def start(self) -> None:
        """Accept frames from now on."""
        self._started = True
        self._listener = Listener(asyncio.get_running_loop(), self._dispatcher)
        await self.subscribe(self._inbox.address, self._inbox)

    async def stop(self) -> None:
        """Give back what handlers have in hand, and end."""
        self._started = False
        for address in [*self._serving, *self._dispatcher.addresses()]:
            await self.unsubscribe(address)
        await self._dispatcher.close(_DRAIN)
        self._inbox.close()

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame for `address` to `handler`; those for an agent until it has returned."""
        if _passes_by(address):
            if self._dispatcher.subscribe(address, handler) and self._listener is not None:
                self._ledger.listen(address, self._listener)
            return
        if address in self._serving:
            raise TransportError(f"address {address!r} has an owner already")
        serve = self._serve(address, handler)
        task = asyncio.get_running_loop().create_task(serve, name=f"ledger {address}")
        self._serving[address] = task

    async def unsubscribe(self, address: str) -> None:
        """Give no more frames for `address` to anyone here; the one in hand stays in the ledger."""
        task = self._serving.pop(address, None)
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        self._ledger.ignore(address, self._listener)
        await self._dispatcher.unsubscribe(address)

    async def publish(self, address: str, data: bytes) -> None:
        """Keep a frame for an agent, or hand it to those who listen now."""
        if not self._started:
            raise NotConnectedError("the ledger's transport is not started")
        if self._is_cut:
            return
        if not _passes_by(address):
            self._ledger.keep(address, data)
            return
        for listener in self._ledger.listeners.get(address, ()):
            with suppress(RuntimeError):  # its event loop has ended meanwhile
                listener.loop.call_soon_threadsafe(listener.dispatcher.deliver, address, data)

    async def request(self, address: str, data: bytes, timeout: float | None) -> bytes:
        """Send a frame and return the frame that answers it."""
        return await self._inbox.request(data, timeout, partial(self.publish, address))

    async def wait_ready(self) -> None:
        """Nothing to wait for: the ledger knows a subscription from the moment it is made."""

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` belongs to a request in flight."""
        return self._inbox.has(address)

    async def backlog(self, addresses: Collection[str]) -> dict[str, int]:
        """Count what waits for each of these agents."""
        if not self._started:
            raise NotConnectedError("the ledger's transport is not started")
        streams = self._ledger.streams
        return {each: len(streams[each].entries) for each in addresses if each in streams}

    async def cut(self) -> None:
        """Behave from now on as if the process had been killed: nothing goes out, or comes in."""
        self._is_cut = True
        for address in [*self._serving, *self._dispatcher.addresses()]:
            await self.unsubscribe(address)

    async def _serve(self, address: str, handler: Handler) -> None:
        """Give frame after frame to a handler, as many at once as it takes."""
        stream = self._ledger.stream(address)
        async with stream.serving:
            settling: set[asyncio.Task[None]] = set()
            try:
                while True:
                    entry = await stream.next()
                    stream.given.append(entry)
                    settle = self._settle(address, entry, handler)
                    settling.add(asyncio.get_running_loop().create_task(settle))
                    del entry, settle  # they may be large, and the next one may take long to come
                    while len(settling) >= concurrency_of(handler):
                        _, settling = await asyncio.wait(settling, return_when=FIRST_COMPLETED)
            finally:
                for task in settling:
                    task.cancel()
                await asyncio.gather(*settling, return_exceptions=True)
                stream.given.clear()

    async def _settle(self, address: str, entry: Entry, handler: Handler) -> None:
        """Give a frame to a handler until it is done with."""
        stream = self._ledger.stream(address)
        while (reason := await self._give(address, entry, handler)) is None:
            await asyncio.sleep(self._ledger.retry_delay)
        stream.discard(entry)
        stream.given.remove(entry)
        if reason:
            self._ledger.give_up(address, entry, reason)

    async def _give(self, address: str, entry: Entry, handler: Handler) -> str | None:
        """Return why a frame is given up, nothing if it was processed, None to give it again."""
        frame, context = entry.frame, self._context
        if entry.failures:
            frame = envelope.with_attempt(frame, entry.failures)
        try:
            await handler(frame)
        except ProcessingError as error:
            entry.failures += 1
            if entry.failures < self._ledger.max_deliver:
                return None
            context.dropped("given up after its last delivery", frame)
            return str(error)
        except (FrameError, DeserializationError) as error:
            return str(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it was not executed
            context.logger.debug("%r did not take a frame: %s", address, error)
        else:
            return ""
        return None


class LedgerStore:
    """What a ledger keeps, for commands.

    Args:
        ledger: the ledger.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._started = False

    async def start(self) -> None:
        self._started = True

    async def stop(self) -> None:
        self._started = False

    async def survey(self, kept: Kept) -> Survey:
        self._check()
        return Survey(
            Counter(each.agent for each in self._messages(kept)), self._ledger.last_number
        )

    async def read(self, selection: Selection) -> AsyncGenerator[KeptMessage, None]:
        self._check()
        for message in self._messages(selection.kept):
            if selection.matches(message):
                yield message

    async def add(self, agent: str, frame: bytes, key: str) -> None:
        self._check()
        if key not in self._ledger.keys:
            self._ledger.keys.add(key)
            self._ledger.keep(agent, frame)

    async def remove(self, message: KeptMessage) -> None:
        self._check()
        ledger, number = self._ledger, message.number
        if message.kept is Kept.DEAD:
            ledger.dead_letters[:] = [e for e in ledger.dead_letters if e.number != number]
            return
        stream = ledger.stream(message.agent)
        for entry in [each for each in stream.entries if each.number == number]:
            stream.discard(entry)

    def _messages(self, kept: Kept) -> list[KeptMessage]:
        if kept is Kept.DEAD:
            return [
                KeptMessage(kept, e.number, e.address, e.frame, e.time, e.reason, e.deliveries)
                for e in self._ledger.dead_letters
            ]
        waiting = [
            KeptMessage(kept, entry.number, agent, entry.frame, entry.time)
            for agent, stream in self._ledger.streams.items()
            for entry in stream.entries
        ]
        return sorted(waiting, key=lambda each: each.number)

    def _check(self) -> None:
        if not self._started:
            raise NotConnectedError("the ledger's store is not started")


def _passes_by(address: str) -> bool:
    return address.startswith((RESERVED_PREFIX, REPLY_PREFIX))


@asynccontextmanager
async def running(
    ledger: Ledger,
    *agents: AgentProcess,
    transport: Any = None,
    instruments: Iterable[Any] = (),
    **supervision: Any,
) -> AsyncIterator[Runtime]:
    components = build_component_set(transport or ledger.transport(), instruments=instruments)
    supervision = {"backoff_base": 0.0, "max_restarts": 100} | supervision
    async with Runtime(Supervisor("root", agents, **supervision), components=components) as runtime:
        yield runtime


def attempts(agent: Scripted) -> list[tuple[int, int]]:
    return [(message.payload["n"], message.attempt) for message in agent.got]
