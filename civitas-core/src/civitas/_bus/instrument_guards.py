"""Guards around the instruments of one node: what they raise is logged once, counted, and no more.

Theory. An instrument is code of others on the way of every message, so nothing that it does wrong
may come of it: each call of a method is guarded. Methods are found once, when the node starts, and
only those that are there are called: a node without instruments has empty tuples, and nothing to
guard.

    what a method raises                               | what follows
    ---------------------------------------------------+-------------------------------------------
    anything                                           | it is logged once for each instrument and
                                                       | method, and counted
    ... in `start`                                     | the instrument takes no part, besides
    KeyboardInterrupt, by a signal                     | as asyncio has it: the event loop ends
    the node's task is cancelled while it awaits one   | it is cancelled
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeAlias

from civitas.errors import crash_of, crash_unless_cancelled, describe, logger_of
from civitas.instruments import NodeView, role_of
from civitas.messages import Message
from civitas.plugins import InstrumentContext

logger = logger_of("civitas.instruments")

TIMEOUT: Final = 10.0
"""Seconds that an instrument has to start, and to stop."""

_BACKGROUND: Final = "background work"
"""What stands for a method where an instrument itself reports that something has failed."""

Handle: TypeAlias = Callable[[Message], Awaitable[Message | None]]
_Report: TypeAlias = Callable[[BaseException], None]
_Bound: TypeAlias = tuple[tuple[Callable[..., Any], _Report], ...]
"""The methods of one name, each with what takes what it raises."""

_Leave: TypeAlias = Callable[
    [type[BaseException] | None, BaseException | None, TracebackType | None], object
]


class InstrumentSource(NamedTuple):
    """How an instrument is called, and how one is made for a node."""

    name: str
    make: Callable[[InstrumentContext], Any]


class GuardedInstrument:
    """One instrument, by its name in logs and counters, and what its methods have raised."""

    def __init__(self, name: str, source: InstrumentSource) -> None:
        self.name = name
        self.failures: Counter[str] = Counter()
        """How often each method has raised."""
        self._source = source
        self._lock = threading.Lock()
        self._instrument: Any = None

    def make(self, process: str, node: str, *, is_primary: bool) -> None:
        """Make the instrument for a node; one that was made by hand stays as it is."""
        self._instrument = self._source.make(
            InstrumentContext(
                process=process,
                is_primary=is_primary,
                node=node,
                logger=logger_of(f"civitas.instruments.{self._source.name}"),
                failed=partial(self._report, _BACKGROUND),
            )
        )

    def bound(self, method: str) -> tuple[Callable[..., Any], _Report] | None:
        """Return a method, with what takes what it raises; None where there is no such method."""
        function = getattr(self._instrument, method, None)
        return None if function is None else (function, partial(self._report, method))

    async def finish(self, method: str, *arguments: object) -> bool:
        """Call `start` or `stop`, if there is one, and await it; return whether it went well."""
        bound = self.bound(method)
        if bound is None:
            return True
        call, report = bound
        try:
            async with asyncio.timeout(TIMEOUT):
                result = call(*arguments)
                if inspect.isawaitable(result):
                    await result
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the instrument's
            report(crash_unless_cancelled(error, f"{method} of instrument {self.name!r}"))
            return False
        return True

    def _report(self, method: str, raised: BaseException) -> None:
        """Count what a method has raised, in any thread, and log the first.

        Raises:
            KeyboardInterrupt: it is one, and a signal has raised it.
        """
        error = crash_of(raised)
        with self._lock:
            self.failures[method] += 1
            first = self.failures[method] == 1
        if first:
            text = "instrument %r: %s raised %s; messages go on, and further errors are counted"
            logger.error(text, self.name, method, describe(error), exc_info=error)


def _without_guard(_place: int) -> AbstractContextManager[object]:
    return nullcontext()


class Instruments:
    """The instruments of one node, in the order in which they are configured.

    `is_primary` says whether it is the primary process.
    """

    def __init__(
        self, sources: Iterable[InstrumentSource] = (), *, is_primary: bool = True
    ) -> None:
        names: Counter[str] = Counter()
        guarded: list[GuardedInstrument] = []
        for source in sources:
            names[source.name] += 1
            number = names[source.name]
            name = source.name if number == 1 else f"{source.name} ({number})"
            guarded.append(GuardedInstrument(name, source))
        self._guarded = tuple(guarded)
        self._is_primary = is_primary
        self._node = ""
        self.sending: _Bound = ()
        """Called with each message that is sent."""
        self._handling: _Bound = ()
        self._dead_letter: _Bound = ()
        self._crashed: _Bound = ()
        self._restarted: _Bound = ()

    def make(
        self,
        process: str,
        node: str,
        guard: Callable[[int], AbstractContextManager[object]] = _without_guard,
    ) -> None:
        """Make the instruments for a node of that process name and id.

        `guard` makes, from the place of an instrument among all, the context to make it in.

        Raises:
            PluginError: a factory fails, or makes what is no instrument.
            ConfigurationError: a factory refuses its options.
        """
        self._node = node
        for place, each in enumerate(self._guarded):
            with guard(place):
                each.make(process, node, is_primary=self._is_primary)

    def have(self, method: str) -> bool:
        """Return whether one of them has a method of that name."""
        return any(each.bound(method) is not None for each in self._guarded)

    async def start(self, process: str, role: str, stats: Callable[[], Mapping[str, Any]]) -> None:
        """Start them, and bind the methods of those that could; see `NodeView`."""
        node = NodeView(process, self._node, role, stats)
        started = [each for each in self._guarded if await each.finish("start", node)]

        def bound(method: str) -> _Bound:
            found = (each.bound(method) for each in started)
            return tuple(each for each in found if each is not None)

        self.sending, self._handling = bound("sending"), bound("handling")
        self._dead_letter = bound("dead_letter")
        self._crashed, self._restarted = bound("crashed"), bound("restarted")

    async def stop(self) -> None:
        """Call no method any more but `stop`, that of the last first."""
        self.sending = self._handling = self._dead_letter = self._crashed = self._restarted = ()
        for each in reversed(self._guarded):
            await each.finish("stop")

    def around(self, agent: str, handle: Handle) -> Handle:
        """Return an agent's `handle` with the instruments around it; itself where none looks."""
        bound, role = self._handling, role_of(agent)
        if not bound:
            return handle

        async def watched(message: Message) -> Message | None:
            leaving = _entered(bound, role, message)
            try:
                reply = await handle(message)
            except BaseException as error:
                _left(leaving, error)
                raise
            _left(leaving, None)
            return reply

        return watched

    def dead_letter(self, item: Message | bytes, reason: str) -> None:
        """Take note that a message was not delivered."""
        _call(self._dead_letter, item, reason)

    def crashed(self, agent: str, error: BaseException) -> None:
        """Take note that an agent has crashed, or could not start."""
        _call(self._crashed, agent, error)

    def restarted(self, agent: str) -> None:
        """Take note that a fresh object has started in an agent's place."""
        _call(self._restarted, agent)

    def failures(self) -> dict[str, dict[str, int]]:
        """Return how often methods have raised, by instrument and method; in any thread."""
        return {each.name: dict(each.failures) for each in self._guarded}


def _call(bound: _Bound, *arguments: object) -> None:
    for method, report in bound:
        try:
            method(*arguments)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the instrument's
            report(error)


def _entered(bound: _Bound, role: str, message: Message) -> list[tuple[_Leave, _Report]]:
    """Enter the context managers of the instruments; return how to leave them."""
    leaving: list[tuple[_Leave, _Report]] = []
    for handling, report in bound:
        try:
            manager = handling(role, message)
            if manager is None:
                continue
            kind = type(manager)
            leave = partial(kind.__exit__, manager)  # of the class, and found before it is
            kind.__enter__(manager)  # entered, as the `with` statement has it
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the instrument's
            report(error)
        else:
            leaving.append((leave, report))
    return leaving


def _left(leaving: list[tuple[_Leave, _Report]], error: BaseException | None) -> None:
    """Leave them, the last first, with what the handler has raised."""
    kind, trace = (None, None) if error is None else (type(error), error.__traceback__)
    for leave, report in reversed(leaving):
        try:
            leave(kind, error, trace)
        except BaseException as raised:  # noqa: BLE001 - whatever it is, it is the instrument's
            if raised is not error:
                report(raised)
