"""Runtime: how it is made, started, looked at, and stopped."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

import civitas
from civitas import AgentProcess, ComponentSet, Message, Runtime, Supervisor
from civitas.components import build_component_set
from civitas.errors import (
    AgentError,
    ConfigurationError,
    MessageRoutingError,
    NotConnectedError,
    PluginError,
)
from civitas.process import ProcessStatus
from civitas.registry import LocalRegistry
from civitas.serializer import JsonSerializer, MsgpackSerializer
from civitas.transport import InProcessTransport

SOON = 10.0


class Greeter(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        return self.reply({"text": f"Hello, {message.payload['name']}!"})


def root(*children: AgentProcess) -> Supervisor:
    return Supervisor("root", children=children or [Greeter("greeter")])


async def greets(runtime: Runtime) -> bool:
    async with runtime:
        reply = await runtime.ask("greeter", {"name": "Ada"}, timeout=SOON)
    return reply.payload == {"text": "Hello, Ada!"}


# --- making ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"transport": "in_process"},
        {"transport": {"type": "in_process"}},
        {"transport": InProcessTransport()},
        {"transport": "civitas-core:in_process"},
        {"serializer": "json"},
        {"serializer": JsonSerializer()},
        {"components": build_component_set()},
        {"components": ComponentSet(InProcessTransport(), LocalRegistry(), MsgpackSerializer())},
    ],
)
async def test_it_is_made_from_names_mappings_instances_and_components(
    arguments: dict[str, Any],
) -> None:
    assert await greets(Runtime(supervisor=root(), **arguments))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"transport": "in_proces"}, "did you mean 'in_process'"),
        ({"serializer": "jason"}, "json"),
        ({"zmq_pub_addr": "tcp://x"}, "'zmq_pub_addr' is no option of transport 'in_process'"),
        ({"in_process_size": 3}, "'in_process' has no option 'size'"),
        ({"transport": {"type": "in_process", "pub_addr": 1}}, "no option 'pub_addr'"),
        ({"transport": InProcessTransport(), "x_y": 1}, "x_y.*constructor"),
        ({"transport": object()}, "no transport.*start"),
        ({"components": build_component_set(), "serializer": "json"}, "either components, or"),
        ({"components": build_component_set(), "transport": "zmq"}, "either components, or"),
    ],
)
def test_a_wrong_argument_is_a_clear_error(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises((ConfigurationError, PluginError), match=f"(?s){reason}"):
        Runtime(root(), **arguments)


def test_the_public_names_are_there() -> None:
    for name in civitas.__all__:
        assert getattr(civitas, name).__name__ == name


TOPOLOGY = """
transport: {type: in_process}
serializer: json
send_timeout: 5
supervision:
  name: root
  strategy: one_for_all
  children:
    - agent: {name: greeter, type: Greeter, mailbox_size: 7, max_retries: 1, retry_delay: 0.5}
    - supervisor:
        name: inner
        children:
          - agent: {name: tuned, type: Tuned, config: {factor: 3}, shutdown_timeout: 1.5}
"""


class Tuned(AgentProcess):
    def __init__(self, name: str, factor: int = 1) -> None:
        super().__init__(name)
        self.factor = factor

    async def handle(self, message: Message) -> Message | None:
        return self.reply({"product": message.payload["n"] * self.factor})


async def test_a_topology_file_becomes_a_runtime(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(TOPOLOGY)
    classes = {"Greeter": Greeter, "Tuned": Tuned}
    runtime = Runtime.from_config(file, agent_classes=classes)
    assert isinstance(runtime.components.serializer, JsonSerializer)
    assert runtime.components.bus.send_timeout == 5
    async with runtime:
        greeter, tuned = runtime.all_agents()
        assert (greeter.mailbox_size, greeter.max_retries) == (7, 1)
        assert (greeter.retry_delay, greeter.retry_backoff) == (0.5, "CONSTANT")
        assert tuned.shutdown_timeout == 1.5
        assert (await runtime.ask("tuned", {"n": 2})).payload == {"product": 6}


async def test_settings_of_a_topology_survive_a_restart() -> None:
    class Crashing(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            raise ValueError

    agent = {"name": "c", "type": "Crashing", "mailbox_size": 3, "shutdown_timeout": 2}
    runtime = Runtime.from_config_dict(
        {"supervision": {"name": "root", "backoff_base": 0, "children": [{"agent": agent}]}},
        agent_classes={"Crashing": Crashing},
    )
    async with runtime:
        before = runtime.get_agent("c")
        await runtime.send("c", {})
        while (after := runtime.get_agent("c")) is before:
            await asyncio.sleep(0)
        assert after is not None
        assert (after.mailbox_size, after.shutdown_timeout) == (3, 2)


async def test_a_constructor_that_raises_names_the_agent() -> None:
    class Broken(AgentProcess):
        def __init__(self, name: str) -> None:
            raise OSError("no key")

    agent = {"agent": {"name": "b", "type": "Broken"}}
    with pytest.raises(ConfigurationError, match="agent 'b'.*OSError: no key"):
        Runtime.from_config_dict(
            {"supervision": {"name": "root", "children": [agent]}}, {"Broken": Broken}
        )


# --- life -----------------------------------------------------------------------------------------


async def test_stopping_twice_does_no_harm() -> None:
    runtime = Runtime(root())
    await runtime.start()
    await asyncio.gather(runtime.stop(), runtime.stop())
    await runtime.stop()
    assert await runtime.wait() == 0


async def test_a_runtime_is_started_once() -> None:
    async with (runtime := Runtime(root())):
        with pytest.raises(ConfigurationError, match="started before"):
            await runtime.start()


async def test_one_that_is_stopped_before_its_start_has_ended_and_is_not_started_any_more() -> None:
    runtime = Runtime(root())
    waiting = asyncio.create_task(runtime.wait())
    await runtime.stop()
    await runtime.stop()
    assert await asyncio.wait_for(waiting, SOON) == 0
    assert await asyncio.wait_for(runtime.wait(), SOON) == 0
    with pytest.raises(ConfigurationError, match="runtime was stopped before; make a new one"):
        await runtime.start()
    with pytest.raises(NotConnectedError, match="not started"):
        await runtime.send("greeter", {})


@pytest.mark.parametrize("below", [(), (Supervisor("in"), Supervisor("out"))])
async def test_a_runtime_without_agents_runs_until_it_is_stopped(
    below: tuple[Supervisor, ...],
) -> None:
    runtime = Runtime(Supervisor("root", below))
    async with runtime:
        ending = asyncio.create_task(runtime.wait())
        done, _ = await asyncio.wait({ending}, timeout=0.05)
        assert not done
        assert not runtime.components.bus.closing
    assert await asyncio.wait_for(ending, SOON) == 0


async def test_before_the_start_it_says_what_to_do() -> None:
    runtime = Runtime(root())
    for verb in (runtime.send, runtime.ask, runtime.broadcast):
        with pytest.raises(NotConnectedError, match="async with"):
            await verb("greeter", {})
    [greeter] = runtime.all_agents()
    assert runtime.get_agent("greeter") is greeter
    assert greeter.status is ProcessStatus.INITIALIZING


async def test_the_tree_as_text_has_classes_and_states() -> None:
    runtime = Runtime(Supervisor("root", [Greeter("a"), Supervisor("in", [Greeter("b")])]))
    async with runtime:
        text = runtime.print_tree()
    assert text.splitlines() == [
        "root (ONE_FOR_ONE)",
        "  a [Greeter] RUNNING",
        "  in (ONE_FOR_ONE)",
        "    b [Greeter] RUNNING",
    ]


# --- stopping -------------------------------------------------------------------------------------


class Slow(AgentProcess):
    """Handles a message when the test lets it, and passes it on."""

    def __init__(self, name: str, gate: asyncio.Event, to: str | None = None, **kw: Any) -> None:
        super().__init__(name, **kw)
        self.gate = gate
        self.to = to
        self.done: list[int] = []
        self.entered = asyncio.Event()

    async def handle(self, message: Message) -> None:
        self.entered.set()
        await self.gate.wait()
        if self.to is not None:
            await self.send(self.to, message.payload)
        self.done.append(message.payload["n"])


async def test_stop_finishes_all_that_was_taken_and_what_follows_from_it() -> None:
    gate, opened = asyncio.Event(), asyncio.Event()
    opened.set()
    last = Slow("last", opened)
    first = Slow("first", gate, to="last")
    runtime = Runtime(Supervisor("root", [first, last]))
    async with runtime:
        for n in range(20):
            await runtime.send("first", {"n": n})
        await first.entered.wait()
        stopping = asyncio.create_task(runtime.stop())
        while not runtime.components.bus.closing:
            await asyncio.sleep(0)
        with pytest.raises(MessageRoutingError, match="is stopping"):
            await runtime.send("first", {"n": 99})
        gate.set()
        await stopping
    assert first.done == last.done == list(range(20))
    assert first.status is last.status is ProcessStatus.STOPPED


async def test_work_that_goes_back_and_forth_between_agents_is_finished_too() -> None:
    rounds: list[int] = []

    async def take_time() -> None:
        for _ in range(10):  # long enough for everybody to see that the other one is idle
            await asyncio.sleep(0)

    class Lead(AgentProcess):
        async def handle(self, message: Message) -> None:
            rounds.append(message.payload["n"])
            await take_time()
            if message.payload["n"] < 5:
                await self.send("worker", {"n": message.payload["n"] + 1})

    class Worker(AgentProcess):
        async def handle(self, message: Message) -> None:
            await take_time()
            await self.send("lead", message.payload)

    runtime = Runtime(Supervisor("root", [Lead("lead"), Worker("worker")]))
    async with runtime:
        await runtime.send("lead", {"n": 0})
    assert rounds == list(range(6))
    assert runtime.stats().dropped == {}


async def test_what_an_agent_sends_in_on_stop_is_still_taken() -> None:
    class Leaving(Slow):
        async def on_stop(self) -> None:
            await self.send("collector", {"n": 7})

    opened = asyncio.Event()
    opened.set()
    collector = Slow("collector", opened)
    async with Runtime(Supervisor("root", [collector, Leaving("leaving", opened)])):
        pass
    assert collector.done == [7]


async def test_an_agent_that_does_not_finish_in_time_is_cancelled_and_accounted_for() -> None:
    stuck = Slow("stuck", asyncio.Event(), shutdown_timeout=0.05)
    dead: list[str] = []
    runtime = Runtime(root(stuck))
    runtime.on_dead_letter(lambda item, reason: dead.append(reason))
    async with runtime:
        asking = asyncio.create_task(runtime.ask("stuck", {"n": 1}, timeout=SOON))
        await stuck.entered.wait()
        await runtime.send("stuck", {"n": 2})
        await asyncio.wait_for(runtime.stop(), SOON)
        with pytest.raises(AgentError, match="stopped before it could answer"):
            await asking
    assert dead == ["cancelled while it was handled", "the recipient has stopped"]
    assert stuck.done == []


async def test_a_stop_whose_caller_is_cancelled_goes_on() -> None:
    gate = asyncio.Event()
    slow = Slow("slow", gate)
    runtime = Runtime(root(slow))
    await runtime.start()
    await runtime.send("slow", {"n": 1})
    await slow.entered.wait()
    impatient = asyncio.create_task(runtime.stop())
    while not runtime.components.bus.closing:
        await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait((impatient,))
    gate.set()
    assert await asyncio.wait_for(runtime.wait(), SOON) == 0
    assert slow.done == [1]


async def test_an_on_stop_that_raises_or_hangs_does_not_hold_up_the_stop() -> None:
    class Raising(Greeter):
        async def on_stop(self) -> None:
            raise ValueError("on_stop")

    class Hanging(Greeter):
        async def on_stop(self) -> None:
            await asyncio.Event().wait()

    runtime = Runtime(root(Raising("r"), Hanging("h", shutdown_timeout=0.05)))
    async with runtime:
        pass
    assert await asyncio.wait_for(runtime.wait(), SOON) == 0


async def test_a_restart_that_is_due_later_does_not_hold_up_the_stop() -> None:
    class Crashing(Greeter):
        async def handle(self, message: Message) -> Message | None:
            raise ValueError

    crashed = asyncio.Event()
    runtime = Runtime(Supervisor("root", [Crashing("c")], backoff_base=60.0))
    runtime.on_crash(lambda name, error: crashed.set())
    async with runtime:
        await runtime.send("c", {})
        await crashed.wait()
        await asyncio.wait_for(runtime.stop(), SOON)
        assert await runtime.wait() == 0


async def test_nothing_is_open_after_a_stop() -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert await greets(Runtime(root()))
    assert len(os.listdir("/proc/self/fd")) == before
