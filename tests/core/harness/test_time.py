"""Time in a harness: the clock of the agents moves for what a test awaits, and by nothing else."""

from __future__ import annotations

import asyncio
import datetime as dates
import random
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from datetime import datetime

import pytest

from civitas import AgentProcess, Message
from civitas.errors import AgentError, ConfigurationError
from civitas.testing import HarnessError, harness
from civitas.testing.simulation import SimulationError


class Ticking(AgentProcess):
    """Sends itself a tick at each of some times after its start, and notes when each has come."""

    def __init__(self, name: str, *times: float) -> None:
        super().__init__(name)
        self.times = times
        self.seen: list[tuple[str, float]] = []

    async def on_start(self) -> None:
        loop = asyncio.get_running_loop()
        self.began = loop.time()
        for each in self.times:
            loop.call_at(self.began + each, self.tick, f"{each:g}")
        self.seen.append(("start", 0.0))

    def tick(self, name: str) -> None:
        self.seen.append((name, asyncio.get_running_loop().time() - self.began))


class Sleeper(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        await asyncio.sleep(message.payload["seconds"])
        return self.reply({})


async def test_all_that_is_due_happens_in_order_at_its_own_time_and_no_more():
    async with harness(Ticking("ticking", 30.0, 10.0, 10.5, 60.0, 60.001)) as h:
        await h.advance(60)
        assert h.agent.seen == [
            ("start", 0.0),
            ("10", 10.0),
            ("10.5", 10.5),
            ("30", 30.0),
            ("60", 60.0),
        ]
        assert h.now == 60.0
        await h.advance(0.001)
        assert [name for name, _ in h.agent.seen][-1] == "60.001"


async def test_sums_of_fractions_come_to_the_same_time():
    async with harness(Ticking("ticking", 1.0, 1.1)) as h:
        for _ in range(9):
            await h.advance(0.1)
        assert len(h.agent.seen) == 1
        await h.advance(0.1)
        assert [name for name, _ in h.agent.seen] == ["start", "1"]
        assert h.now == 1.0


async def test_a_timer_that_a_timer_sets_is_part_of_the_same_advance():
    class Every(AgentProcess):
        async def on_start(self) -> None:
            self.state["ticks"] = 0
            self.timer = asyncio.get_running_loop().call_later(1.0, self.tick)

        async def on_stop(self) -> None:
            self.timer.cancel()

        def tick(self) -> None:
            self.state["ticks"] += 1
            self.timer = asyncio.get_running_loop().call_later(1.0, self.tick)

    async with harness(Every("every")) as h:
        await h.advance(3600)
        assert h.agent.state["ticks"] == 3600


async def test_a_timeout_is_neither_early_nor_late():
    async def never(message: Message) -> None:
        await asyncio.Event().wait()

    class Asking(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            try:
                await self.ask("store", {}, timeout=30.0)
            except TimeoutError:
                self.state["timed_out"] = True
            return None

    async with harness(Asking("asking"), fakes={"store": never}) as h:
        await h.send("asking", {})
        await h.advance(29.999)
        assert h.agent.state == {}
        await h.advance(0.001)
        assert h.agent.state == {"timed_out": True}


async def test_no_real_time_passes():
    began = time.perf_counter()
    async with harness(Sleeper("sleeper")) as h:
        await h.ask("sleeper", {"seconds": 1800.0}, timeout=3600.0)
        await h.advance(86_400)
    assert time.perf_counter() - began < 5.0


async def test_an_ask_lets_as_much_time_pass_as_the_answer_takes():
    async with harness(Sleeper("sleeper")) as h:
        await h.ask("sleeper", {"seconds": 12.5})
        assert h.now == 12.5
        with pytest.raises(TimeoutError):
            await h.ask("sleeper", {"seconds": 12.5}, timeout=5.0)
        assert h.now == 17.5


async def test_an_ask_in_a_task_of_the_test_does_not_outrun_its_advances():
    async with harness(Sleeper("sleeper")) as h:
        asking = asyncio.create_task(h.ask("sleeper", {"seconds": 10.0}))
        await h.advance(9)
        assert not asking.done()
        await h.advance(1)
        await asking
        assert h.now == 10.0


async def test_an_advance_that_is_not_awaited_comes_before_what_is():
    async with harness(Ticking("ticking", 10.0, 20.0)) as h:
        h.advance(10)
        h.advance(10)
        await h.idle()
        assert h.now == 20.0
        assert len(h.agent.seen) == 3


async def test_with_0_what_can_happen_now_does():
    async with harness(Sleeper("sleeper"), Ticking("ticking", 1.0)) as h:
        await h.send("sleeper", {"seconds": 1.0})
        await h.advance(0)
        assert h.now == 0.0
        assert h.stats().agents[0].mailbox_depth == 0
        await h.idle()
        assert h.now == 1.0


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "60", None, True])
async def test_what_is_no_time_is_refused(seconds: object):
    async with harness(Sleeper("sleeper")) as h:
        with pytest.raises(ConfigurationError, match="the time to advance is a"):
            h.advance(seconds)  # type: ignore[arg-type]


async def test_all_clocks_of_an_agent_are_the_same_and_the_tests_own_are_real():
    class Clocks(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            loop = asyncio.get_running_loop().time()
            now = [time.time(), datetime.now().timestamp(), dates.datetime.now().timestamp()]
            return self.reply({"loop": [loop, time.monotonic(), time.perf_counter()], "wall": now})

    real, wall = time.monotonic(), time.time()
    async with harness(Clocks("clocks")) as h:
        first = (await h.ask("clocks", {})).payload
        await h.advance(1000.5)
        second = (await h.ask("clocks", {})).payload
        assert [b - a for a, b in zip(first["loop"], second["loop"], strict=True)] == [1000.5] * 3
        for a, b in zip(first["wall"], second["wall"], strict=True):
            assert b - a == pytest.approx(1000.5, abs=1e-3)
        # It begins where the machine's are: a constructor may have looked at them.
        assert real <= first["loop"][1] < real + 60
        assert wall <= first["wall"][0] < wall + 60
        assert time.monotonic() < real + 60
        assert time.time() < wall + 60


async def test_random_numbers_are_the_same_in_every_run_and_the_tests_own_are_its_own():
    class Numbers(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            return self.reply({"n": random.random(), "id": str(uuid.uuid4())})

    seen = []
    random.seed(1)
    expected, _ = random.random(), random.seed(1)
    for _ in range(2):
        async with harness(Numbers("numbers")) as h:
            seen.append((await h.ask("numbers", {})).payload)
    assert seen[0] == seen[1]
    assert random.random() == expected


async def test_time_that_a_handler_sleeps_in_its_thread_takes_no_real_time():
    class Blocking(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            time.sleep(3600.0)  # noqa: ASYNC251
            return self.reply({})

    async with harness(Blocking("blocking")) as h:
        await h.send("blocking", {})
        await h.idle(within=4000.0)
        assert h.now == 3600.0


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        (lambda: threading.Event().wait(), "a wait for a thread can't be simulated"),
        (lambda: subprocess.run(["sleep", "60"], check=False), "a process can't be simulated"),
    ],
)
async def test_a_handler_that_would_block_for_real_is_told_so_and_fails_the_test(blocks, text):
    class Blocking(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            with suppress(SimulationError):  # it hides the error, and not from the harness
                blocks()
            return self.reply({})

    with pytest.raises(HarnessError, match=f"test_time.py:.*, in .*: {text}"):
        async with harness(Blocking("blocking")) as h:
            await h.ask("blocking", {})


async def test_work_in_a_thread_of_asyncio_is_done():
    class Threaded(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            return self.reply({"n": await asyncio.to_thread(sum, [1, 2, 3])})

    async with harness(Threaded("threaded")) as h:
        assert (await h.ask("threaded", {})).payload == {"n": 6}


# --- agents that don't come to rest ---------------------------------------------------------------


async def test_idle_says_what_is_in_hand_of_an_agent_that_waits_for_ever():
    class Waiting(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            await asyncio.Event().wait()
            return None

    async with harness(Waiting("waiting"), Sleeper("sleeper"), patience=0.0) as h:
        await h.send("waiting", {"url": "/"}, "fetch")
        await h.send("waiting", {})
        with pytest.raises(HarnessError) as raised:
            await h.idle()
        text = str(raised.value)
        assert text.startswith("idle(): nothing will ever happen again\n  agent 'waiting' has a ")
        assert "message 'fetch' from '_runtime' in hand, sent 0 s ago: {'url': '/'}" in text
        assert "test_time.py:" in text
        assert ", in test_idle_says_what_is_in_hand" in text
        assert "; 1 more in its mailbox" in text
        assert "sleeper" not in text


async def test_idle_has_a_limit_for_an_agent_that_goes_on_and_on():
    class Polling(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            while True:
                await asyncio.sleep(1.0)

    async with harness(Polling("polling")) as h:
        await h.send("polling", {})
        with pytest.raises(HarnessError, match="not reached in its 60 s of the agents' time"):
            await h.idle()
        assert h.now == 60.0
        with pytest.raises(HarnessError, match="sent 65 s ago"):
            await h.idle(within=5.0)


@pytest.mark.slow
async def test_an_agent_that_never_lets_time_pass_is_noticed_too():
    class Spinning(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            while True:
                await asyncio.sleep(0)

    async with harness(Spinning("spinning")) as h:
        await h.send("spinning", {})
        with pytest.raises(HarnessError, match="'spinning' has a message"):
            await h.idle(within=1.0)


async def test_an_ask_that_can_not_be_answered_any_more_says_why():
    class Waiting(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            await asyncio.Event().wait()
            return None

    async with harness(Waiting("waiting"), patience=0.0) as h:
        with pytest.raises(HarnessError, match=r"ask\('waiting'\): nothing will ever happen"):
            await h.ask("waiting", {}, timeout=None)


async def test_a_background_task_does_not_keep_idle_waiting():
    class Polling(AgentProcess):
        async def on_start(self) -> None:
            self.task = asyncio.create_task(self.poll())

        async def on_stop(self) -> None:
            self.task.cancel()

        async def poll(self) -> None:
            while True:
                await asyncio.sleep(1.0)

    async with harness(Polling("polling")) as h:
        await h.idle()
        assert h.now == 0.0


async def test_a_simulation_error_of_a_socket_names_what_to_do():
    class Fetching(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            await asyncio.open_connection("127.0.0.1", 9)
            return None

    with pytest.raises(HarnessError, match="behind an object of your own"):
        async with harness(Fetching("fetching")) as h:
            with pytest.raises(AgentError, match="can't be simulated"):
                await h.ask("fetching", {})
            h.expect_crash(SimulationError)
