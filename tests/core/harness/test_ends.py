"""The life of a harness: it is used once, in one event loop, and nothing of it is left."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from typing import assert_type

import pytest

from civitas import AgentProcess, Message
from civitas import _platform as platform
from civitas.errors import ConfigurationError
from civitas.testing import Harness, HarnessError, harness
from civitas.testing.simulation import world as worlds


class Echo(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        return self.reply(message.payload)


class Waiting(AgentProcess):
    stopped: list[str]

    async def handle(self, message: Message) -> Message | None:
        await asyncio.Event().wait()
        return None


def test_it_works_in_a_plain_asyncio_run():
    async def main() -> object:
        async with harness(Echo("echo")) as h:
            return (await h.ask("echo", {"n": 1})).payload

    assert asyncio.run(main()) == {"n": 1}


def test_it_works_in_a_loop_that_is_debugged():
    async def main() -> None:
        async with harness(Echo("echo")) as h:
            await h.ask("echo", {"n": 1})
            await h.advance(10)

    asyncio.run(main(), debug=True)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
def test_it_works_where_tasks_are_eager():
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with harness(Echo("echo")) as h:
            replies = await asyncio.gather(*(h.ask("echo", {"n": n}) for n in range(3)))
            assert [reply.payload["n"] for reply in replies] == [0, 1, 2]

    asyncio.run(main())


async def test_the_type_of_the_agent_is_known():
    made = harness(Echo("echo"), Waiting("waiting"))
    assert_type(made, Harness[Echo])
    async with made as h:
        assert_type(h.agent, Echo)
        assert type(h.agent) is Echo


async def test_nothing_is_left_behind():
    before = (platform.wall, time.time, time.sleep, threading.Thread.start, random.getstate())
    tasks = asyncio.all_tasks()
    async with harness(Echo("echo")) as h:
        await h.ask("echo", {})
        assert worlds.current is not None
    after = (platform.wall, time.time, time.sleep, threading.Thread.start, random.getstate())
    assert after == before
    assert asyncio.all_tasks() == tasks
    assert worlds.current is None


async def test_the_loop_of_the_test_goes_on_meanwhile():
    ran = []

    async def beside() -> None:
        while True:
            ran.append(asyncio.get_running_loop())
            await asyncio.sleep(0)

    task = asyncio.create_task(beside())
    async with harness(Echo("echo")) as h:
        await h.ask("echo", {})
        seen = len(ran)
        await h.advance(1)
        assert len(ran) > seen
        await asyncio.to_thread(print, end="")  # a real thread
    task.cancel()
    assert set(ran) == {asyncio.get_running_loop()}


async def test_a_harness_is_used_once():
    h = harness(Echo("echo"))
    async with h:
        pass
    with pytest.raises(HarnessError, match="was used before: make a new one, of new agents"):
        async with h:
            pytest.fail("it was entered again")
    with pytest.raises(HarnessError, match="this harness has ended"):
        await h.ask("echo", {})
    with pytest.raises(HarnessError, match="this harness has ended"):
        h.advance(1)


async def test_what_happened_can_be_looked_at_behind_the_block():
    async with harness(Echo("echo")) as h:
        await h.ask("echo", {"n": 1})
    assert [m.payload for m in h.sent("echo")] == [{"n": 1}]
    assert (h.crashes, h.dead_letters) == ([], [])


async def test_a_harness_that_has_not_begun_says_so():
    h = harness(Echo("echo"))
    for use in (h.idle, lambda: h.send("echo", {}), lambda: h.ask("echo", {})):
        with pytest.raises(HarnessError, match="has not begun"):
            await use()
    with pytest.raises(HarnessError, match="has not begun"):
        _ = h.agent


async def test_there_is_one_at_a_time():
    async with harness(Echo("echo")) as h:
        with pytest.raises(HarnessError, match="give all agents to one harness"):
            async with harness(Echo("other")):
                pytest.fail("a second one was entered")
        assert (await h.ask("echo", {"n": 1})).payload == {"n": 1}


async def test_another_event_loop_is_refused():
    async with harness(Echo("echo")) as h:

        def elsewhere() -> str:
            with pytest.raises(HarnessError) as raised:
                asyncio.run(h.idle())
            return str(raised.value)

        assert "belongs to another event loop" in await asyncio.to_thread(elsewhere)


async def test_what_can_be_no_agent_is_refused():
    with pytest.raises(ConfigurationError, match="not an object of it"):
        async with harness(Echo):  # type: ignore[type-var]
            pass
    with pytest.raises(ConfigurationError, match="twice|two"):
        async with harness(Echo("echo"), Echo("echo")):
            pass
    with pytest.raises(ConfigurationError, match="strategy"):
        harness(Echo("echo"), strategy="ALL")
    with pytest.raises(ConfigurationError, match="patience"):
        harness(Echo("echo"), patience=-1.0)


async def test_a_block_that_ends_while_an_agent_is_at_work_cancels_it():
    async with harness(Waiting("waiting")) as h:
        await h.send("waiting", {})
        await h.advance(0)
    assert h.crashes == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_work_that_can_be_finished_is_finished():
    done = []

    class Slow(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            await asyncio.sleep(10.0)
            done.append(message.payload["n"])
            return None

    async with harness(Slow("slow")) as h:
        await h.send("slow", {"n": 1})
        await h.send("slow", {"n": 2})
    assert done == [1, 2]


async def test_an_ask_of_an_agent_that_fails_only_since_the_block_has_ended_fails_no_test():
    async def never(message: Message) -> None:
        await asyncio.Event().wait()

    class Asking(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            await self.ask("store", {}, timeout=5.0)
            return None

    async with harness(Asking("asking"), fakes={"store": never}) as h:
        await h.send("asking", {})
        await h.advance(0)


async def test_an_agent_that_does_not_let_itself_be_cancelled_is_left_and_fails_the_test():
    class Stubborn(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            while True:
                try:
                    await asyncio.sleep(1.0)
                except asyncio.CancelledError:
                    continue

    with pytest.raises(HarnessError, match="was left behind"):
        async with harness(Stubborn("stubborn")) as h:
            await h.send("stubborn", {})
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_test_ends_its_harness():
    entered = asyncio.Event()

    async def test() -> None:
        async with harness(Echo("echo")):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(test())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert worlds.current is None


async def test_an_agent_that_is_done_is_idle():
    class Once(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            self.stop()
            return self.reply({})

    async with harness(Once("once"), Echo("echo")) as h:
        await h.ask("once", {})
        await h.idle()
        assert (await h.ask("echo", {"n": 1})).payload == {"n": 1}


async def test_a_generator_that_is_left_is_closed_in_the_loop_it_ran_in():
    closed = []

    class Streaming(AgentProcess):
        async def pages(self):
            try:
                for n in range(10):
                    yield n
            finally:
                await asyncio.sleep(0.1)
                closed.append(asyncio.get_running_loop())

        async def handle(self, message: Message) -> Message | None:
            async for _ in self.pages():
                break
            return self.reply({})

    async with harness(Streaming("streaming")) as h:
        await h.ask("streaming", {})
        await h.advance(1)
        assert len(closed) == 1
        assert closed[0] is not asyncio.get_running_loop()
