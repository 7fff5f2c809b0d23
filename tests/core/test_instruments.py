"""Instruments see what a node sends, handles, drops, loses and restarts."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor
from civitas._bus.bus import MessageBus
from civitas.components import build_component_set
from civitas.errors import AgentError, ConfigurationError, SpawnError
from civitas.instruments import role_of
from support.agents import Scripted, echo, fail, until
from support.instruments import Recorder, raising, runtime_with


async def test_an_instrument_sees_an_ask_from_its_sending_to_its_end():
    recorder = Recorder()
    async with runtime_with(Scripted("echo", echo), instruments=[recorder]) as runtime:
        await runtime.ask("echo", {})
        assert (recorder.node.process, recorder.node.role) == ("supervisor", "primary")
        assert recorder.node.node == runtime.stats().node
        assert recorder.node.stats()["state"] == "running"
    assert recorder.seen == [
        *(("start",), ("sending", "echo"), ("enter", "echo"), ("exit", "echo", None), ("stop",)),
    ]


async def test_each_execution_is_seen_with_its_outcome():
    tries: list[int] = []

    async def fails_twice(agent: Scripted, message: Message) -> Message:
        tries.append(message.attempt)
        if len(tries) < 3:
            raise KeyError(len(tries))
        return agent.reply({})

    recorder = Recorder()
    agent = Scripted("agent", fails_twice, ErrorAction.RETRY)
    async with runtime_with(agent, instruments=[recorder]) as runtime:
        await runtime.ask("agent", {})
    outcomes = [each[2] for each in recorder.seen if each[0] == "exit"]
    assert (tries, outcomes) == ([0, 1, 2], ["KeyError", "KeyError", None])


async def test_an_execution_begins_and_ends_with_its_handler_and_has_no_time_of_the_queue():
    now = asyncio.get_running_loop().time
    handlers: list[tuple[float, float]] = []
    seen: list[tuple[float, float]] = []

    class Timed:
        def __enter__(self) -> None:
            self.began = now()

        def __exit__(self, *outcome: object) -> None:
            seen.append((self.began, now()))

    class Clock:
        def handling(self, role: str, message: Message) -> Timed:
            return Timed()

    async def work(agent: Scripted, message: Message) -> None:
        began = now()
        await asyncio.sleep(0.01)
        handlers.append((began, now()))

    async with runtime_with(Scripted("agent", work), instruments=[Clock()]) as runtime:
        for _ in range(3):
            await runtime.send("agent", {})
        await until(lambda: len(seen) == 3)
    within = zip(seen, handlers, strict=True)
    assert all(begin <= began < ended <= end for (begin, end), (began, ended) in within)
    assert [end <= begin for (_, end), (begin, _) in pairwise(seen)] == [True, True]


async def test_a_crash_and_a_restart_are_seen_once_each():
    recorder = Recorder()
    async with runtime_with(Scripted("agent", fail), instruments=[recorder]) as runtime:
        with pytest.raises(AgentError):
            await runtime.ask("agent", {})
        await until(lambda: ("restarted", "agent") in recorder.seen)
    lives = [each for each in recorder.seen if each[0] in ("crashed", "restarted")]
    assert lives == [("crashed", "agent", "no good"), ("restarted", "agent")]


async def test_an_agent_that_can_not_start_has_crashed():
    class Unable(AgentProcess):
        async def on_start(self) -> None:
            raise OSError("no disk")

    recorder = Recorder()
    with pytest.raises(SpawnError):
        await runtime_with(Unable("agent"), instruments=[recorder]).start()
    assert recorder.seen == [("start",), ("crashed", "agent", "no disk"), ("stop",)]


async def test_a_handler_that_exceeds_its_time_has_a_timeout():
    async def linger(agent: Scripted, message: Message) -> None:
        await asyncio.Event().wait()

    recorder = Recorder()
    agent = Scripted("agent", linger, ErrorAction.SKIP, handle_timeout=0.01)
    async with runtime_with(agent, instruments=[recorder]) as runtime:
        with pytest.raises(AgentError):
            await runtime.ask("agent", {})
    assert ("exit", "agent", "TimeoutError") in recorder.seen


async def test_an_agent_that_is_cancelled_has_a_cancelled_error():
    async def linger(agent: Scripted, message: Message) -> None:
        await asyncio.Event().wait()

    recorder = Recorder()
    agent = Scripted("agent", linger, shutdown_timeout=0.05)
    async with runtime_with(agent, instruments=[recorder]) as runtime:
        await runtime.send("agent", {})
        await until(lambda: ("enter", "agent") in recorder.seen)
    assert ("exit", "agent", "CancelledError") in recorder.seen


async def test_dead_letters_are_seen():
    recorder = Recorder()
    message = Message(recipient="agent", ttl=0.001, timestamp=1.0)
    components = build_component_set(instruments=[recorder])
    tree = Supervisor("root", [Scripted("agent")])
    async with Runtime(tree, components=components) as runtime:
        await components.bus.send(message)
        await until(lambda: runtime.stats().dropped != {})
    assert ("dead_letter", "expired before it was handled") in recorder.seen
    assert not [each for each in recorder.seen if each[0] == "enter"]


async def test_a_context_variable_of_an_instrument_is_seen_by_the_handler_alone():
    current: ContextVar[str] = ContextVar("current", default="nothing")
    found: list[str] = []

    class Span:
        def __enter__(self) -> None:
            self.token = current.set("a span")

        def __exit__(self, *outcome: object) -> None:
            current.reset(self.token)

    class Tracer:
        def handling(self, role: str, message: Message) -> Span:
            return Span()

        def sending(self, message: Message) -> None:
            found.append(f"sending in {current.get()}")

    async def note(agent: Scripted, message: Message) -> None:
        found.append(f"handling in {current.get()}")
        if message.payload:
            await agent.send("agent", {})

    async with runtime_with(Scripted("agent", note), instruments=[Tracer()]) as runtime:
        await runtime.send("agent", {"again": True})
        await until(lambda: len(found) == 4)
    assert found == [
        *("sending in nothing", "handling in a span", "sending in a span", "handling in a span")
    ]


async def test_what_another_thread_tries_to_send_is_refused_and_not_seen():
    recorder = Recorder()
    async with runtime_with(Scripted("echo", echo), instruments=[recorder]) as runtime:

        def send() -> None:
            asyncio.run(runtime.send("echo", {}))

        with pytest.raises(ConfigurationError):
            await asyncio.to_thread(send)
    assert recorder.seen == [("start",), ("stop",)]


async def test_an_instrument_may_leave_a_message_out():
    class Sampler:
        def handling(self, role: str, message: Message) -> None:
            return None

    async with runtime_with(Scripted("echo", echo), instruments=[Sampler()]) as runtime:
        await runtime.ask("echo", {})
        assert runtime.stats().instruments == {"Sampler": {}}


def test_answers_are_no_messages_of_their_own_for_an_instrument():
    async def main() -> list[Any]:
        async def answer_by_hand(agent: Scripted, message: Message) -> None:
            await agent.send(str(message.reply_to), {})

        recorder = Recorder()
        async with runtime_with(Scripted("a", answer_by_hand), instruments=[recorder]) as runtime:
            await runtime.ask("a", {})
        return [each for each in recorder.seen if each[0] == "sending"]

    assert asyncio.run(main()) == [("sending", "a")]


# --- wiring ---------------------------------------------------------------------------------------


async def test_a_node_without_instruments_has_nothing_on_the_way_of_a_message():
    async with runtime_with(agent := Scripted("echo", echo), instruments=[]) as runtime:
        assert type(runtime.components.bus) is MessageBus
        handle = runtime.components.instruments.around("echo", agent.handle)
        assert handle == agent.handle


async def test_an_instrument_without_a_method_leaves_its_place_as_it_is():
    class Lives:
        def crashed(self, agent: str, error: BaseException) -> None:
            """See it."""

    async with runtime_with(agent := Scripted("echo", echo), instruments=[Lives()]) as runtime:
        assert type(runtime.components.bus) is MessageBus
        assert runtime.components.instruments.around("echo", agent.handle) == agent.handle


class AsyncSending:
    async def sending(self, message: Message) -> None:
        """Nobody would await it."""


class TooFew:
    def handling(self, role: str) -> None:
        """It lacks the message."""


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([object()], "has none of its methods, which are start, stop, sending, handling"),
        ([Recorder], "the class Recorder is not an instance"),
        ([AsyncSending()], "write `def sending`"),
        ([TooFew()], r"can't be called as handling\(role, message\)"),
        ([None], "None is no Instrument"),
        ("recorder", "instruments are a list"),
        ([{"level": 3}], "needs its `type`"),
    ],
)
def test_what_is_no_instrument_is_refused(given, problem):
    with pytest.raises(ConfigurationError, match=problem):
        runtime_with(Scripted("echo", echo), instruments=given)


def test_instruments_go_to_build_component_set_where_components_are_given():
    tree = Supervisor("root", [Scripted("echo", echo)])
    with pytest.raises(ConfigurationError, match="either components, or a transport"):
        Runtime(tree, components=build_component_set(), instruments=[Recorder()])


async def test_two_instruments_of_one_class_are_counted_apart():
    faulty = [raising("sending"), raising("handling")]
    async with runtime_with(Scripted("echo", echo), instruments=faulty) as runtime:
        await runtime.ask("echo", {})
        faults = runtime.stats().instruments
    assert faults == {"Faulty": {"sending": 1}, "Faulty (2)": {"handling": 1}}


@pytest.mark.parametrize(("agent", "role"), [("worker", "worker"), ("worker~3", "worker")])
def test_the_role_of_an_agent_is_what_stands_before_the_tilde(agent, role):
    assert role_of(agent) == role
