"""Loops: a node is used in the event loop in which it was started, and refused elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from civitas import Message, Runtime, Supervisor, Worker
from civitas.client import Client
from civitas.errors import ConfigurationError
from support.agents import SOON, Scripted, until
from support.commands import printed_by
from support.local_bus.testbed import LocalBus

Verb = Callable[[Any], Awaitable[Any]]

VERBS: dict[str, Verb] = {
    "send": lambda node: node.send("a", {}),
    "ask": lambda node: node.ask("a", {}),
    "broadcast": lambda node: node.broadcast("*", {}),
    "stop": lambda node: node.stop(),
}
WAYS = r"asyncio.run_coroutine_threadsafe\(\w+.ask\(...\), loop\)"


async def echo(agent: Scripted, message: Message) -> Message:
    return agent.reply(message.payload)


def tree(*agents: Scripted) -> Runtime:
    return Runtime(Supervisor("root", agents or [Scripted("a", echo)]))


async def run(work: Awaitable[Any]) -> Any:
    return await work


def elsewhere(verb: Verb, node: Any) -> str:
    """Return with what a verb is refused in an event loop of its own; for use in a thread."""
    with pytest.raises(ConfigurationError, match=WAYS) as refused:
        asyncio.run(run(verb(node)))
    return str(refused.value)


@pytest.mark.parametrize("verb", [*VERBS.values(), lambda node: node.wait()], ids=[*VERBS, "wait"])
async def test_a_runtime_is_refused_in_another_thread(verb: Verb) -> None:
    async with tree() as runtime:
        told = await asyncio.to_thread(elsewhere, verb, runtime)
        assert "event loop in which this runtime was started. Start" in told
        assert (await runtime.ask("a", {"n": 1}, timeout=SOON)).payload == {"n": 1}
        assert not runtime.stats().dropped


@pytest.mark.parametrize(
    "verb",
    [*VERBS.values(), lambda node: node.delivered("a", SOON), lambda node: node.stats()],
    ids=[*VERBS, "delivered", "stats"],
)
async def test_a_client_is_refused_in_another_thread(local_bus: LocalBus, verb: Verb) -> None:
    root = Supervisor("root", [Scripted("a", echo)])
    async with (
        Runtime(root, **local_bus.options()),
        Client(**local_bus.options()) as client,
    ):
        assert "this client was started" in await asyncio.to_thread(elsewhere, verb, client)
        assert (await client.ask("a", {"n": 1}, timeout=SOON)).payload == {"n": 1}


async def test_a_worker_is_refused_in_another_thread(local_bus: LocalBus) -> None:
    async with (
        Runtime(Supervisor("root", [Scripted("b")]), **local_bus.options()),
        Worker([Scripted("a", echo)], **local_bus.options()) as worker,
    ):
        for verb in (*VERBS.values(), lambda node: node.wait_until_stopped()):
            assert "this worker was started" in await asyncio.to_thread(elsewhere, verb, worker)


@pytest.mark.parametrize("verb", VERBS)
async def test_the_verbs_of_an_agent_are_refused_in_a_thread_of_its_handler(verb: str) -> None:
    told: list[str] = []

    async def blocking(agent: Scripted, message: Message) -> None:
        told.append(await asyncio.to_thread(elsewhere, VERBS[verb], agent))

    async def refused(agent: Scripted, message: Message) -> None:
        def call() -> None:
            with pytest.raises(ConfigurationError, match=WAYS) as error:
                agent.stop()
            told.append(str(error.value))

        await asyncio.to_thread(call)

    async with tree(
        Scripted("b", refused if verb == "stop" else blocking), Scripted("a", echo)
    ) as runtime:
        await runtime.send("b", {})
        await until(lambda: bool(told))
    assert "this runtime was started" in told[0]


def in_two_loops(*, closed: bool) -> list[str]:
    """Start a runtime in one event loop, and return with what it is refused in the next one."""
    loop, runtime = asyncio.new_event_loop(), tree()
    loop.run_until_complete(runtime.start())
    if closed:
        loop.run_until_complete(runtime.send("a", {}))
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()
    told = [elsewhere(verb, runtime) for verb in VERBS.values()]
    if not closed:
        loop.run_until_complete(runtime.stop())
        loop.close()
    return told


@pytest.mark.parametrize("closed", [True, False])
async def test_another_event_loop_of_the_same_thread_is_refused(closed: bool) -> None:
    for told in await asyncio.to_thread(lambda: in_two_loops(closed=closed)):
        assert "which does not run now. Start, use and stop it in one event loop" in told


async def test_an_event_loop_may_go_on_in_another_thread() -> None:
    loop, runtime = asyncio.new_event_loop(), tree()

    def go_on(work: Callable[[], Awaitable[Any]]) -> Any:
        return loop.run_until_complete(work())  # type: ignore[arg-type]

    await asyncio.to_thread(go_on, runtime.start)
    for _ in range(2):
        reply = await asyncio.to_thread(go_on, lambda: runtime.ask("a", {"n": 1}, timeout=SOON))
        assert reply.payload == {"n": 1}
    await asyncio.to_thread(go_on, runtime.stop)
    loop.close()


async def test_a_thread_asks_sends_and_stops_by_run_coroutine_threadsafe() -> None:
    runtime, loop = tree(), asyncio.get_running_loop()
    await runtime.start()

    def thread() -> dict[str, Any]:
        asyncio.run_coroutine_threadsafe(runtime.send("a", {}), loop).result(SOON)
        asked = asyncio.run_coroutine_threadsafe(runtime.ask("a", {"n": 1}), loop)
        payload = asked.result(SOON).payload
        asyncio.run_coroutine_threadsafe(runtime.stop(), loop).result(SOON)
        return payload

    assert await asyncio.to_thread(thread) == {"n": 1}
    assert runtime.stats().agents[0].handled == 2


async def test_what_a_block_raises_in_the_wrong_place_is_not_hidden_by_the_refusal() -> None:
    runtime = tree()

    async def leave(error: Exception | None) -> None:
        kind = None if error is None else type(error)
        await runtime.__aexit__(kind, error, None)

    async with runtime:
        await asyncio.to_thread(asyncio.run, leave(KeyError("the reason")))
        with pytest.raises(ConfigurationError):
            await asyncio.to_thread(asyncio.run, leave(None))


AGENT = """
import asyncio, os
from civitas import AgentProcess, CivitasError, Runtime, Supervisor

class Echo(AgentProcess):
    async def handle(self, message):
        return self.reply(message.payload)

def write(text):
    os.write(1, f"{text}\\n".encode())

runtime = Runtime(Supervisor("root", [Echo("a")]))
"""

INSIDE = """
async def main():
    try:
        async with runtime:
            if not os.fork():
                return
            os.wait()
            write((await runtime.ask("a", {"n": 1}, timeout=5)).payload)
    except CivitasError as error:
        write(error)
        os._exit(0)

asyncio.run(main())
"""

BETWEEN = """
loop = asyncio.new_event_loop()
loop.run_until_complete(runtime.start())
if not os.fork():
    try:
        loop.run_until_complete(runtime.ask("a", {}, timeout=5))
    except CivitasError as error:
        write(error)
    os._exit(0)
os.wait()
write(loop.run_until_complete(runtime.ask("a", {"n": 1}, timeout=5)).payload)
loop.run_until_complete(runtime.stop())
"""


@pytest.mark.parametrize("program", [INSIDE, BETWEEN], ids=["inside", "between"])
async def test_an_event_loop_that_was_forked_is_refused_in_the_child(program: str) -> None:
    refusal, answer = printed_by(AGENT + program).splitlines()
    assert refusal.startswith("this runtime was started before this process was forked")
    assert answer == "{'n': 1}"
