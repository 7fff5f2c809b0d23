"""InstrumentConformance: the list of behaviours that every instrument shows."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import time
import tracemalloc
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import fields
from typing import Any, ClassVar, Final, TypeAlias

from civitas.instruments import Instrument
from civitas.messages import Message
from civitas.plugins.validation import contract_problems
from civitas.testing import leaks
from civitas.testing.instrument_calls import (
    call,
    enter,
    execute,
    fill,
    finish,
    manager_of,
    message_of,
    node_view,
    outcomes,
    show_many,
)
from civitas.testing.suite import ConformanceSuite

MakeInstrument: TypeAlias = Callable[[], Any]
"""Makes a fresh instrument, which is not started."""

_WARM_UP: Final = 3_000
"""Messages after which a queue that has a limit is full."""

_MESSAGES: Final = 1_000
_MOST_BYTES: Final = 128 * 1024
"""What an instrument keeps of that many messages at most: it is less than an entry for each."""

_ODD_TEXTS: Final = ("", "\x1b[31m", "a\nb", "{}%s%", "é\u202e🦜", "x" * 5_000, "\ud800")
"""What type, sender and identifiers of a message may be: they come from others."""

_TURNS: Final = 10


class InstrumentConformance(ConformanceSuite, kit=True):
    """The tests of an instrument. Subclass it and say how to make yours.

    Attributes:
        most_seconds: what `sending` and `handling` may take of the event loop together, for one
            message, as the median of many.
        deviations: standard tests that you know to fail, each with the reason.

    Example:
        The fixture gives a callable that makes a fresh instrument, as the factory of its spec does.

            class TestCensus(InstrumentConformance):
                plugin = "census"

                @pytest.fixture
                def make_instrument(self):
                    return Census
    """

    kind: ClassVar[str] = "instrument"
    level: ClassVar[str] = "instrument conformance 1.0"
    most_seconds: ClassVar[float] = 0.001

    def test_it_has_methods_of_an_instrument(self, make_instrument: MakeInstrument) -> None:
        """It has some of the methods, and each can be called as the protocol says.

        If this fails: a name is misspelled, so that it is never called; `sending` is async, and
        nobody would await it; a parameter is missing.
        """
        instrument = make_instrument()
        problems = contract_problems(instrument, Instrument, optional=True)
        assert not problems, "; ".join(problems)
        methods = [name for name, each in vars(Instrument).items() if inspect.isfunction(each)]
        known = {name for name in methods if not name.startswith("_")}
        near = {name for name in dir(instrument) if name.startswith("on_")}
        wrong = sorted(each for each in near if each.removeprefix("on_") in known)
        assert not wrong, f"it has {', '.join(wrong)}, which nothing calls: there is no `on_`"

    def test_to_make_one_begins_nothing(self, make_instrument: MakeInstrument) -> None:
        """Making it starts no thread and opens nothing: `civitas topology validate` makes one too.

        If this fails: the constructor connects, or starts a thread; do it in `start`.
        """
        threads, descriptors = leaks.threads(), leaks.descriptors()
        instrument = make_instrument()
        begun = sorted(thread.name for thread in leaks.threads() - threads)
        assert not begun, f"it began threads when it was made: {begun}"
        opened = leaks.opened_since(descriptors)
        assert not opened, f"it opened file descriptors when it was made: {opened}"
        del instrument

    def test_a_stop_gives_everything_back(self, make_instrument: MakeInstrument) -> None:
        """After `stop` no task, thread or descriptor of it is left.

        If this fails: a task is cancelled and not awaited; a thread is told to end and not joined.
        """

        async def scenario() -> None:
            await fill(make_instrument())
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            assert not tasks, f"tasks left after stop: {sorted(map(str, tasks))}"

        asyncio.run(fill(make_instrument()))  # what is loaded at the first use stays
        threads, descriptors = leaks.threads(), leaks.descriptors()
        asyncio.run(scenario())
        left = sorted(thread.name for thread in leaks.threads() - threads)
        assert not left, f"threads left after stop: {left}"
        opened = leaks.opened_since(descriptors)
        assert not opened, f"file descriptors left after stop: {opened}"

    def test_a_stop_without_a_start_does_no_harm(self, make_instrument: MakeInstrument) -> None:
        """`stop` works when `start` was not called, and when it has failed half-way.

        If this fails: `stop` takes for granted what only `start` makes.
        """
        asyncio.run(finish(make_instrument(), "stop"))

    def test_a_second_stop_does_no_harm(self, make_instrument: MakeInstrument) -> None:
        """Stopping twice does what stopping once does.

        If this fails: what the first `stop` has closed is closed again.
        """

        async def scenario() -> None:
            instrument = make_instrument()
            await fill(instrument)
            await finish(instrument, "stop")

        asyncio.run(scenario())

    def test_it_raises_for_nothing_that_happens(self, make_instrument: MakeInstrument) -> None:
        """No method raises, whatever becomes of messages and agents.

        If this fails: an outcome is not expected, such as a CancelledError, which is no Exception;
        a dead letter may be the bytes of a frame that nobody could read.
        """

        async def scenario() -> None:
            instrument = make_instrument()
            await finish(instrument, "start", node_view())
            errors = (None, ValueError("no good"), asyncio.CancelledError(), SystemExit(3))
            for error in errors:
                execute(instrument, message_of(), error)
            for item in (message_of(), b"", b"\xc1\x01\0\0"):
                call(instrument, "dead_letter", item, "there is no agent of that name")
            for crash in (ValueError("no good"), TimeoutError(), SystemExit(3)):
                call(instrument, "crashed", "agent", crash)
                call(instrument, "restarted", "agent")
            await finish(instrument, "stop")

        asyncio.run(scenario())

    def test_odd_texts_are_taken(self, make_instrument: MakeInstrument) -> None:
        """Types, names and identifiers are text of others: any text there is.

        If this fails: a type is used as a format string, or written where it must be encodable or
        short; an identifier is taken for hexadecimal digits without a look.
        """

        async def scenario() -> None:
            instrument = make_instrument()
            await finish(instrument, "start", node_view())
            for text in _ODD_TEXTS:
                message = message_of()
                message.type = message.sender = message.id = text
                message.trace_id = message.span_id = text
                message.parent_span_id = message.correlation_id = text
                call(instrument, "sending", message)
                execute(instrument, message, ValueError(text))
                call(instrument, "dead_letter", message, "expired before it was handled")
                call(instrument, "crashed", "agent", ValueError(text))
            await finish(instrument, "stop")

        asyncio.run(scenario())

    def test_the_message_stays_as_it_is(self, make_instrument: MakeInstrument) -> None:
        """No field of a message is changed, but `headers` by `sending`, which stay text by name.

        If this fails: a trace is kept in the payload, or in `trace_id`; a number is written into
        the headers; they exceed what a message may have.
        """
        message, twin = message_of(), message_of()

        async def scenario() -> Message:
            instrument = make_instrument()
            await finish(instrument, "start", node_view())
            call(instrument, "sending", message)
            sent = copy.deepcopy(message)
            execute(instrument, message, None)
            execute(instrument, message, ValueError("no good"))
            await finish(instrument, "stop")
            return sent

        sent = asyncio.run(scenario())
        for field in fields(Message):
            was, is_now = getattr(twin, field.name), getattr(sent, field.name)
            if field.name == "headers":
                texts = [*is_now, *is_now.values()]
                assert all(isinstance(each, str) for each in texts), f"headers are {is_now!r}"
                assert sum(map(len, texts)) <= 2_048, "headers leave no room for those of others"
            else:
                assert was == is_now, f"sending changed {field.name} from {was!r} to {is_now!r}"
            after = getattr(message, field.name)
            assert is_now == after, f"handling changed {field.name} from {is_now!r} to {after!r}"

    def test_executions_overlap(self, make_instrument: MakeInstrument) -> None:
        """Each execution has a context manager of its own: agents handle messages at once.

        If this fails: one object stands for all, so the second one to enter overwrites the first;
        or they are kept in a stack, of which the wrong one is taken.
        """

        async def scenario() -> None:
            instrument = make_instrument()
            await finish(instrument, "start", node_view())
            both = [manager_of(instrument, message_of()) for _ in range(2)]
            if None not in both:
                assert both[0] is not both[1], "two executions have one context manager"
            turns = [asyncio.Event() for _ in range(2)]

            async def take_turns(manager: Any, mine: asyncio.Event, other: asyncio.Event) -> None:
                leave = enter(manager)
                other.set()
                await mine.wait()
                leave(None)

            first, second = turns
            await asyncio.gather(
                take_turns(both[0], first, second), take_turns(both[1], second, first)
            )
            await finish(instrument, "stop")

        asyncio.run(scenario())

    def test_the_context_is_left_as_it_was(self, make_instrument: MakeInstrument) -> None:
        """After an execution every context variable has the value that it had before.

        If this fails: what `__enter__` sets is not reset, so the next message of the agent, and all
        that it sends, seem to belong to this one.
        """

        def scenario() -> None:
            instrument = make_instrument()
            before = dict(copy_context().items())
            for error in (None, ValueError("no good")):
                execute(instrument, message_of(), error)
                left = {
                    variable.name
                    for variable, value in copy_context().items()
                    if before.get(variable, variable) is not value
                    and not (variable not in before and value is None)
                }
                assert not left, f"context variables with another value: {sorted(left)}"

        copy_context().run(scenario)

    def test_it_holds_nothing_up(self, make_instrument: MakeInstrument) -> None:
        """A message costs the event loop less than `most_seconds`, one millisecond by default.

        If this fails: something is written or sent at once; hand it to a thread, or keep it until
        a task of yours sends many together.
        """

        async def scenario() -> float:
            instrument = make_instrument()
            await finish(instrument, "start", node_view())
            costs: list[float] = []
            for _ in range(200):
                message = message_of(len(costs))
                begin = time.perf_counter()
                call(instrument, "sending", message)
                execute(instrument, message, None)
                costs.append(time.perf_counter() - begin)
            await finish(instrument, "stop")
            return sorted(costs)[len(costs) // 2]

        median = asyncio.run(scenario())
        assert median < self.most_seconds, (
            f"a message costs {median * 1e6:,.0f} µs, and {self.most_seconds * 1e6:,.0f} µs at most"
        )

    def test_what_it_keeps_has_a_limit(self, make_instrument: MakeInstrument) -> None:
        """It keeps nothing of each message: a node handles millions.

        If this fails: a dict has an entry for each id, each error's text or each reply address; a
        list of what is to be sent has no limit.
        """

        async def scenario() -> int:
            instrument = make_instrument()
            await finish(instrument, "start", node_view())
            await show_many(instrument, range(_WARM_UP))
            tracemalloc.start()
            try:
                gc.collect()
                before, _ = tracemalloc.get_traced_memory()
                await show_many(instrument, range(_WARM_UP, _WARM_UP + _MESSAGES))
                gc.collect()
                after, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            await finish(instrument, "stop")
            return after - before

        kept = asyncio.run(scenario())
        assert kept < _MOST_BYTES, f"{_MESSAGES:,} messages left {kept / 1024:,.0f} KiB behind"

    def test_two_nodes_have_one_each(self, make_instrument: MakeInstrument) -> None:
        """Two instruments, of two nodes of one process, don't know each other.

        If this fails: something of the module's is made by `start` and may be made only once.
        """

        async def scenario() -> None:
            first, second = make_instrument(), make_instrument()
            await finish(first, "start", node_view())
            try:
                await finish(second, "start", node_view())
            finally:
                await finish(first, "stop")
            call(second, "sending", message_of())
            execute(second, message_of(), None)
            await finish(second, "stop")

        asyncio.run(scenario())

    def test_a_node_does_with_it_what_it_does_without(
        self, make_instrument: MakeInstrument
    ) -> None:
        """Agents, answers, errors and counters are the same with the instrument and without.

        If this fails: see the other tests first; what is left is a method that acts on the node.
        """
        plain, _ = asyncio.run(outcomes([]))
        watched, failures = asyncio.run(outcomes([make_instrument()]))
        assert not any(failures.values()), f"methods raised in a node: {failures}"
        assert watched == plain, f"the outcomes are {watched}, and without it {plain}"
