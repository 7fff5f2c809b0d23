"""What a node answers to probes, from its start to its end, also while its loop is blocked."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from civitas import Message, Runtime
from civitas.errors import CivitasError, IdentityError
from support.agents import Gate, Scripted, until
from support.probing import Probed, made, probe, probed_until, running

THREAD = "civitas health"


async def asked(runtime: Runtime, path: str, **headers: str) -> Probed:
    return await asyncio.to_thread(probe, runtime.health_url, path, **headers)


async def told(runtime: Runtime, path: str, *texts: str) -> Probed:
    return await asyncio.to_thread(probed_until, runtime.health_url, path, *texts)


class Slow(Scripted):
    """Starts and stops when it is let."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.may_start = asyncio.Event()
        self.may_stop = asyncio.Event()

    async def on_start(self) -> None:
        await self.may_start.wait()

    async def on_stop(self) -> None:
        await self.may_stop.wait()


async def test_a_node_that_runs_is_live_and_ready():
    async with running(Scripted("a")) as runtime:
        assert await asked(runtime, "/live") == (200, "live\n", "text/plain; charset=utf-8")
        assert await asked(runtime, "/ready") == (200, "ready\n", "text/plain; charset=utf-8")
        assert (await asked(runtime, "/")).text.count("\n") == 3
        assert (await asked(runtime, "/other")).status == 404


@pytest.mark.parametrize(
    ("path", "headers"), [("?format=json", {}), ("", {"Accept": "application/json"})]
)
async def test_who_wants_json_gets_it(path: str, headers: dict[str, str]):
    async with running(Scripted("a")) as runtime:
        status, text, kind = await asked(runtime, f"/ready{path}", **headers)
        assert (status, kind) == (200, "application/json")
        assert json.loads(text) == {
            "ready": True,
            "reasons": [],
            "process": "supervisor",
            "role": "primary",
            "state": "running",
        }


async def test_a_node_is_live_before_it_is_ready_and_after():
    agent = Slow("slow")
    runtime = made(agent)
    starting = asyncio.create_task(runtime.start())
    await until(lambda: bool(runtime.health_url))
    answer = await asked(runtime, "/ready")
    assert answer.status == 503
    assert answer.text == "this process is starting\nagent 'slow' is starting\n"
    assert (await asked(runtime, "/live")).status == 200
    agent.may_start.set()
    await starting
    assert (await asked(runtime, "/ready")).status == 200
    stopping = asyncio.create_task(runtime.stop())
    answer = await told(runtime, "/ready", "stopping")
    assert answer.status == 503
    assert answer.text.startswith("this process is stopping\n")
    assert (await asked(runtime, "/live")).status == 200
    agent.may_stop.set()
    await stopping
    with pytest.raises(OSError, match="refused"):
        await asked(runtime, "/live")


async def test_a_loop_that_stands_still_is_answered_for_and_not_live_after_a_while():
    entered, release = threading.Event(), threading.Event()

    async def block(agent: Scripted, message: Message) -> None:
        entered.set()
        release.wait(30)

    seen: list[Probed] = []

    def watch(url: str) -> None:
        entered.wait(30)
        seen.append(probe(url, "/live"))
        seen.append(probed_until(url, "/live", "has not turned"))
        seen.append(probe(url, "/ready"))
        seen.append(probe(url, "/metrics"))
        release.set()

    async with running(Scripted("a", block), stalled_after=0.3) as runtime:
        watching = asyncio.create_task(asyncio.to_thread(watch, runtime.health_url))
        await runtime.send("a", {})
        await watching
        assert [each.status for each in seen] == [200, 503, 503, 200]
        assert (await told(runtime, "/live", "live")).status == 200


async def test_an_agent_that_waits_for_its_restart_is_told_without_what_messages_brought():
    async def fail(agent: Scripted, message: Message) -> None:
        raise ValueError(f"card {message.payload['card']}")

    async with running(Scripted("a", fail), supervision={"backoff_base": 60.0}) as runtime:
        await runtime.send("a", {"card": "4242"})
        answer = await told(runtime, "/ready", "backing off")
        assert answer.status == 503
        assert "agent 'a' is backing off, " in answer.text
        assert answer.text.endswith(" s left (ValueError)\n")
        assert "4242" not in answer.text
        assert "4242" not in (await asked(runtime, "/metrics")).text
        assert (await asked(runtime, "/live")).status == 200


async def test_an_agent_that_is_done_is_no_reason():
    async def finish(agent: Scripted, message: Message) -> None:
        agent.stop()

    async with running(Scripted("a", finish), Scripted("b")) as runtime:
        await runtime.send("a", {})
        await until(lambda: runtime.stats().agents[0].state == "done")
        assert (await asked(runtime, "/ready")).status == 200


async def test_many_agents_that_are_not_well_take_few_lines():
    agents = [Slow(f"slow-{n}") for n in range(30)]
    runtime = made(*agents)
    starting = asyncio.create_task(runtime.start())
    await until(lambda: bool(runtime.health_url))
    lines = (await asked(runtime, "/ready")).text.splitlines()
    assert len(lines) == 22
    assert lines[-1] == "and so are 10 more agents"
    for agent in agents:
        agent.may_start.set()
        agent.may_stop.set()
    await starting
    await runtime.stop()


async def test_a_queue_that_does_not_move_is_told_everywhere_until_it_does():
    gate = Gate()
    async with running(Scripted("a", gate), stuck_after=0.2) as runtime:
        await runtime.send("a", {})
        await gate.entered.wait()
        assert (await asked(runtime, "/ready")).status == 200  # nothing waits
        await runtime.send("a", {})
        answer = await told(runtime, "/ready", "stuck")
        assert answer.status == 503
        assert answer.text.startswith("agent 'a' is stuck: it has handled nothing for ")
        assert (await asked(runtime, "/live")).status == 200
        assert runtime.stats().agents[0].stuck >= 0.2
        gate.opened.set()
        await until(lambda: runtime.stats().agents[0].handled == 2)
        assert (await asked(runtime, "/ready")).status == 200
        assert runtime.stats().agents[0].stuck == 0.0


async def test_a_lost_connection_is_a_reason_not_to_be_ready_and_none_to_be_ended():
    async with running(Scripted("a")) as runtime:
        link = runtime.components.config.link_state
        link.down("no route to broker://me:secret@host")
        answer = await asked(runtime, "/ready")
        assert answer.status == 503
        assert answer.text.startswith("the transport is not connected: no route to broker://")
        assert "secret" not in answer.text
        assert (await asked(runtime, "/live")).status == 200
        link.up()
        assert (await asked(runtime, "/ready")).status == 200


async def test_a_node_that_can_not_stay_is_not_live():
    agent = Slow("slow")
    agent.may_start.set()
    async with running(agent) as runtime:
        runtime.failure = IdentityError("superseded by a newer one")
        answer = await asked(runtime, "/live")
        assert answer.status == 503
        assert answer.text == "this process can't stay in the system: superseded by a newer one\n"
        agent.may_stop.set()


async def test_an_address_in_use_fails_the_start_and_leaves_nothing_behind():
    with socket.create_server(("127.0.0.1", 0)) as other:
        runtime = made(Scripted("a"), listen=other.getsockname()[1])
        with pytest.raises(CivitasError, match="in use"):
            await runtime.start()
    assert THREAD not in {each.name for each in threading.enumerate()}
    assert not runtime.health_url


async def test_a_start_that_fails_frees_the_address():
    class Failing(Scripted):
        async def on_start(self) -> None:
            raise ValueError("no good")

    runtime = made(Failing("a"))
    with pytest.raises(CivitasError):
        await runtime.start()
    assert THREAD not in {each.name for each in threading.enumerate()}
    with socket.create_server(
        (urlsplit(runtime.health_url).hostname, urlsplit(runtime.health_url).port)
    ):
        pass


def test_a_loop_that_ends_without_a_stop_of_its_node_takes_the_thread_with_it():
    async def leave() -> None:
        await made(Scripted("a")).start()

    asyncio.run(leave())
    end = time.monotonic() + 10
    while THREAD in {each.name for each in threading.enumerate()} and time.monotonic() < end:
        time.sleep(0.01)
    assert THREAD not in {each.name for each in threading.enumerate()}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_a_forked_child_does_not_keep_the_address():
    async with running(Scripted("a")) as runtime:
        url = urlsplit(runtime.health_url)
        child = forked()
    try:
        with socket.create_server((url.hostname, url.port)):
            pass
    finally:
        ended(child)


def forked() -> int:
    """Return the process id of a child that runs, and does nothing for a minute."""
    runs, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(told, b"!")
        time.sleep(60)
        os._exit(0)
    try:
        assert os.read(runs, 1) == b"!"
    finally:
        os.close(runs)
        os.close(told)
    return child


def ended(child: int) -> None:
    os.kill(child, 9)
    os.waitpid(child, 0)
