"""What an instrument does wrong is logged once and counted, and touches no message."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable
from typing import Any

import pytest

from civitas import Message
from civitas._bus.instrument_guards import Instruments, InstrumentSource
from civitas.errors import AgentError
from civitas.plugins import InstrumentContext
from support.agents import Scripted, echo
from support.instruments import METHODS, Recorder, raising, runtime_with


async def lives_through(instruments: list[Any]) -> tuple[list[Any], dict[str, dict[str, int]]]:
    """Return the outcomes of what a node is asked, and the faults of its instruments."""
    outcomes: list[Any] = []

    async def script(agent: Scripted, message: Message) -> Message | None:
        if message.payload.get("fail"):
            raise ValueError("no good")
        return agent.reply({"got": message.payload})

    async with runtime_with(Scripted("agent", script), instruments=instruments) as runtime:
        for payload in ({"n": 1}, {"fail": True}, {"n": 2}):
            try:
                outcomes.append((await runtime.ask("agent", payload)).payload)
            except AgentError as error:
                outcomes.append(str(error))
        stats = runtime.stats()
    return [outcomes, stats.sent, stats.agents[0].errors], stats.instruments


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, StopIteration])
async def test_what_raises_changes_no_outcome(method, error):
    expected, _ = await lives_through([])
    found, faults = await lives_through([raising(method, error=error)])
    assert found == expected
    if method not in ("stop", "dead_letter"):
        assert list(faults["Faulty"]) == [method]


async def test_what_raises_is_logged_once_and_counted(caplog):
    with caplog.at_level(logging.ERROR, logger="civitas.instruments"):
        _, faults = await lives_through([raising("sending", "handling")])
    assert faults == {"Faulty": {"sending": 3, "handling": 3}}
    texts = [
        each.getMessage().split(";")[0]
        for each in caplog.records
        if each.name == "civitas.instruments"
    ]
    assert texts == [
        "instrument 'Faulty': sending raised ValueError: mine",
        "instrument 'Faulty': handling raised ValueError: mine",
    ]


class Faulty:
    """A context manager that raises where it is said to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        if self.where == "enter":
            raise OSError("mine")

    def __exit__(self, *_: object) -> None:
        if self.where == "exit":
            raise OSError("mine")


@pytest.mark.parametrize("manager", [Faulty("enter"), Faulty("exit"), object(), Faulty])
async def test_a_context_manager_that_is_none_or_raises_changes_no_outcome(manager):
    class Broken:
        def handling(self, role: str, message: Message) -> Any:
            return manager

    recorder = Recorder()
    expected, _ = await lives_through([])
    found, faults = await lives_through([Broken(), recorder])
    assert (found, faults["Broken"]) == (expected, {"handling": 3})
    assert [each[0] for each in recorder.seen].count("exit") == 3


async def test_an_instrument_that_can_not_start_takes_no_part_and_is_stopped():
    class Unable(Recorder):
        def start(self, node: Any) -> Awaitable[None]:
            async def begin() -> None:
                raise OSError("no address")

            return begin()

    unable, recorder = Unable(), Recorder()
    async with runtime_with(Scripted("echo", echo), instruments=[unable, recorder]) as runtime:
        await runtime.ask("echo", {})
        assert runtime.stats().instruments == {"Unable": {"start": 1}, "Recorder": {}}
    assert unable.seen == [("stop",)]
    assert len(recorder.seen) == 5


async def test_an_instrument_that_hangs_holds_a_node_up_for_its_time_only(monkeypatch):
    monkeypatch.setattr("civitas._bus.instrument_guards.TIMEOUT", 0.02)

    class Hanging:
        async def start(self, node: Any) -> None:
            await asyncio.Event().wait()

        async def stop(self) -> None:
            await asyncio.Event().wait()

    runtime = runtime_with(Scripted("echo", echo), instruments=[Hanging()])
    async with runtime:
        await runtime.ask("echo", {})
    assert runtime.stats().instruments == {"Hanging": {"start": 1, "stop": 1}}


async def test_a_start_that_is_cancelled_in_an_instrument_is_cancelled():
    entered = asyncio.Event()

    class Hanging:
        async def start(self, node: Any) -> None:
            entered.set()
            await asyncio.Event().wait()

    runtime = runtime_with(Scripted("echo", echo), instruments=[Hanging()])
    starting = asyncio.create_task(runtime.start())
    await entered.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert runtime.components.instruments.failures() == {"Hanging": {}}


def test_an_interrupt_by_the_user_passes_through_an_instrument():
    class Interrupted:
        def dead_letter(self, item: Message | bytes, reason: str) -> None:
            signal.raise_signal(signal.SIGINT)

    instruments = Instruments([InstrumentSource("mine", lambda _context: Interrupted())])
    instruments.make("supervisor", "0" * 16)
    asyncio.run(instruments.start("supervisor", "primary", dict))
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            instruments.dead_letter(b"", "nobody wants it")
    finally:
        signal.signal(signal.SIGINT, kept)
    assert instruments.failures() == {"mine": {}}


async def test_what_fails_on_its_own_is_counted_in_any_thread_and_the_node_goes_on(caplog):
    contexts: list[InstrumentContext] = []

    def make(context: InstrumentContext) -> object:
        contexts.append(context)
        return Recorder()

    instruments = Instruments([InstrumentSource("mine", make)])
    instruments.make("supervisor", "0" * 16)
    for _ in range(2):
        await asyncio.to_thread(contexts[0].failed, OSError("the collector is away"))
    assert instruments.failures() == {"mine": {"background work": 2}}
    (record,) = [each for each in caplog.records if each.name == "civitas.instruments"]
    assert "background work raised OSError: the collector is away" in record.getMessage()
