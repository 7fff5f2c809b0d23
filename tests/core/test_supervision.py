"""Supervision: strategies, intensity, backoff, nesting, escalation, and `on_error`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor
from civitas.errors import AgentError, ConfigurationError, MessageRoutingError, SpawnError
from civitas.process import ProcessStatus

SOON = 10.0


class Log:
    """What happened, in order, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._news = asyncio.Condition()

    def add(self, event: str) -> None:
        self.events.append(event)
        asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, event: str, times: int = 1) -> None:
        async with asyncio.timeout(SOON), self._news:
            await self._news.wait_for(lambda: self.events.count(event) >= times)
        await asyncio.sleep(0)

    def take(self) -> list[str]:
        events, self.events = self.events, []
        return events


class Worker(AgentProcess):
    """Logs its life; crashes, counts or answers as its messages say."""

    def __init__(self, name: str, log: Log, action: ErrorAction | None = None, **kw: Any) -> None:
        super().__init__(name, **kw)
        self.log = log
        self.action = action
        self.count = 0
        self.attempts: list[int] = []

    async def on_start(self) -> None:
        self.log.add(f"start {self.name}")

    async def on_stop(self) -> None:
        self.log.add(f"stop {self.name}")

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        return self.action or await super().on_error(error, message)

    async def handle(self, message: Message) -> Message | None:
        self.count += 1
        self.attempts.append(message.attempt)
        command = message.payload.get("do")
        if command == "crash":
            raise ValueError("crash")
        if command == "fail until":
            if message.attempt < message.payload["attempt"]:
                raise ValueError("not yet")
        elif command == "stop":
            self.stop()
        return self.reply({"count": self.count, "attempts": self.attempts})


@asynccontextmanager
async def tree(root: Supervisor, log: Log) -> AsyncIterator[Runtime]:
    async with Runtime(root) as runtime:
        log.take()
        yield runtime


def names(log: Log, *numbers: int) -> list[Worker]:
    return [Worker(f"w{n}", log) for n in numbers]


async def count(runtime: Runtime, name: str) -> int:
    return int((await runtime.ask(name, {}, timeout=SOON)).payload["count"])


# --- strategies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "events"),
    [
        ("ONE_FOR_ONE", ["stop w2", "start w2"]),
        ("one_for_all", ["stop w2", "stop w3", "stop w1", "start w1", "start w2", "start w3"]),
        ("Rest_For_One", ["stop w2", "stop w3", "start w2", "start w3"]),
    ],
)
async def test_a_crash_restarts_whom_the_strategy_names_in_order(
    strategy: str, events: list[str]
) -> None:
    log = Log()
    root = Supervisor("root", names(log, 1, 2, 3), strategy, backoff_base=0.0)
    async with tree(root, log) as runtime:
        for name in ("w1", "w2", "w3"):
            await count(runtime, name)
        await runtime.send("w2", {"do": "crash"})
        await log.until(events[-1])
        assert log.take() == events
        restarted = {each.split()[1] for each in events}
        for name in ("w1", "w2", "w3"):
            assert await count(runtime, name) == (1 if name in restarted else 2)


async def test_a_restart_makes_a_fresh_object_from_the_captured_arguments() -> None:
    log = Log()
    root = Supervisor("root", [Worker("w", log, mailbox_size=7)], backoff_base=0.0)
    async with tree(root, log) as runtime:
        before = runtime.get_agent("w")
        await runtime.send("w", {"do": "crash"})
        await log.until("start w")
        after = runtime.get_agent("w")
        assert isinstance(after, Worker)
        assert after is not before
        assert (after.log, after.count, after.mailbox_size) == (log, 0, 7)
        assert after.status is ProcessStatus.RUNNING


async def test_the_message_that_crashed_it_is_not_handled_again() -> None:
    log = Log()
    root = Supervisor("root", names(log, 1), backoff_base=0.0)
    async with tree(root, log) as runtime:
        with pytest.raises(AgentError):
            await runtime.ask("w1", {"do": "crash"}, timeout=SOON)
        assert await count(runtime, "w1") == 1


async def test_crash_callbacks_hear_of_a_crash_and_one_that_raises_harms_nobody() -> None:
    log = Log()
    heard: list[tuple[str, str]] = []
    root = Supervisor("root", names(log, 1), backoff_base=0.0)
    runtime = Runtime(root)
    runtime.on_crash(lambda name, error: 1 / 0)
    runtime.on_crash(lambda name, error: heard.append((name, str(error))))
    async with runtime:
        await runtime.send("w1", {"do": "crash"})
        await log.until("start w1", 2)
    assert heard == [("w1", "crash")]


# --- intensity, backoff, escalation ---------------------------------------------------------------


async def test_too_many_crashes_end_the_runtime_with_a_failure() -> None:
    log = Log()
    root = Supervisor("root", names(log, 1, 2), max_restarts=2, backoff_base=0.0)
    async with tree(root, log) as runtime:
        for n in range(3):
            await runtime.send("w1", {"do": "crash"})
            if n < 2:
                await log.until("start w1", n + 1)
        assert await asyncio.wait_for(runtime.wait(), SOON) == 1
        assert str(runtime.failure) == "crash"
        assert log.take().count("start w1") == 2
        with pytest.raises(MessageRoutingError):
            await runtime.send("w2", {})


async def test_crashes_long_ago_do_not_count() -> None:
    log = Log()
    root = Supervisor(
        "root", names(log, 1), max_restarts=1, restart_window=0.001, backoff_base=0.002
    )
    async with tree(root, log) as runtime:
        for n in range(1, 5):
            await runtime.send("w1", {"do": "crash"})
            await log.until("start w1", n)
        assert await count(runtime, "w1") == 1


async def test_a_supervisor_that_gives_up_is_restarted_by_its_parent_with_all_below() -> None:
    log = Log()
    inner = Supervisor("inner", names(log, 2, 3), max_restarts=0, backoff_base=0.0)
    root = Supervisor("root", [*names(log, 1), inner], backoff_base=0.0)
    async with tree(root, log) as runtime:
        await count(runtime, "w3")
        await runtime.send("w2", {"do": "crash"})
        await log.until("start w3")
        assert log.take() == ["stop w2", "stop w3", "start w2", "start w3"]
        assert await count(runtime, "w3") == 1
        assert await count(runtime, "w1") == 1


async def test_escalation_goes_up_to_the_root() -> None:
    log = Log()
    inner = Supervisor("inner", names(log, 1), max_restarts=0, backoff_base=0.0)
    middle = Supervisor("middle", [inner], max_restarts=0, backoff_base=0.0)
    async with tree(Supervisor("root", [middle], max_restarts=0), log) as runtime:
        await runtime.send("w1", {"do": "crash"})
        assert await asyncio.wait_for(runtime.wait(), SOON) == 1


async def test_the_end_of_a_tree_that_gave_up_does_not_wait_for_work_that_nobody_can_do() -> None:
    log = Log()
    letters: list[str] = []
    runtime = Runtime(Supervisor("root", names(log, 1), max_restarts=0))
    runtime.on_dead_letter(lambda item, reason: letters.append(reason))
    async with runtime:
        await runtime.send("w1", {"do": "crash"})
        await runtime.send("w1", {})
        assert runtime.all_agents()[0].shutdown_timeout > SOON
        assert await asyncio.wait_for(runtime.wait(), SOON) == 1
    assert letters == ["the recipient has stopped"]


async def test_an_agent_that_can_not_start_again_counts_as_crashed_again() -> None:
    class Stubborn(Worker):
        async def on_start(self) -> None:
            await super().on_start()
            if self.log.events.count("start s") in (2, 3):
                raise OSError("not yet")

    log = Log()
    root = Supervisor("root", [Stubborn("s", log)], max_restarts=3, backoff_base=0.0)
    async with Runtime(root) as runtime:
        await runtime.send("s", {"do": "crash"})
        await log.until("start s", 4)
        assert await count(runtime, "s") == 1


async def test_an_agent_that_is_down_for_its_backoff_keeps_its_messages() -> None:
    log = Log()
    async with tree(Supervisor("root", names(log, 1), backoff_base=0.05), log) as runtime:
        await runtime.send("w1", {"do": "crash"})
        await log.until("stop w1")
        asking = [asyncio.create_task(count(runtime, "w1")) for _ in range(3)]
        assert await asyncio.gather(*asking) == [1, 2, 3]


async def test_one_agents_backoff_does_not_hold_up_anothers_restart() -> None:
    log = Log()
    patient = Supervisor("patient", names(log, 1), backoff_base=60.0)
    quick = Supervisor("quick", names(log, 2), backoff_base=0.0)
    async with tree(Supervisor("root", [patient, quick]), log) as runtime:
        await runtime.send("w1", {"do": "crash"})
        await log.until("stop w1")
        await runtime.send("w2", {"do": "crash"})
        await log.until("start w2")
        agent = runtime.get_agent("w1")
        assert agent is not None
        assert agent.status is ProcessStatus.CRASHED


# --- on_error -------------------------------------------------------------------------------------


async def test_retry_runs_the_same_message_again_with_its_attempts_counted() -> None:
    log = Log()
    root = Supervisor("root", [Worker("w", log, ErrorAction.RETRY)])
    async with tree(root, log) as runtime:
        reply = await runtime.ask("w", {"do": "fail until", "attempt": 2}, timeout=SOON)
        assert reply.payload["attempts"] == [0, 1, 2]
        assert log.take() == []


async def test_retry_escalates_after_max_retries() -> None:
    log = Log()
    worker = Worker("w", log, ErrorAction.RETRY, max_retries=2)
    async with tree(Supervisor("root", [worker], backoff_base=0.0), log) as runtime:
        with pytest.raises(AgentError):
            await runtime.ask("w", {"do": "crash"}, timeout=SOON)
        await log.until("start w")
        assert worker.attempts == [0, 1, 2]


async def test_skip_gives_the_message_up_and_goes_on_with_the_same_object() -> None:
    log = Log()
    worker = Worker("w", log, ErrorAction.SKIP)
    async with tree(Supervisor("root", [worker]), log) as runtime:
        await runtime.send("w", {"do": "crash"})
        assert await count(runtime, "w") == 2
        assert log.take() == []


async def test_stop_ends_the_agent_for_good_and_what_is_queued_is_accounted_for() -> None:
    log = Log()
    worker = Worker("w", log, ErrorAction.STOP)
    async with tree(Supervisor("root", [worker, *names(log, 1)]), log) as runtime:
        await runtime.send("w", {"do": "crash"})
        await runtime.send("w", {"n": "left behind"})
        with pytest.raises(MessageRoutingError, match="'w' has stopped"):
            await runtime.ask("w", {}, timeout=SOON)
        assert worker.status is ProcessStatus.STOPPED
        assert runtime.stats().dropped == {"the recipient has stopped": 2}
        with pytest.raises(MessageRoutingError, match="no agent called 'w'"):
            await runtime.send("w", {})


async def test_an_on_error_that_raises_is_a_crash() -> None:
    class Hopeless(Worker):
        async def on_error(self, error: Exception, message: Message) -> ErrorAction:
            raise LookupError("worse") from error

    log = Log()
    async with tree(Supervisor("root", [Hopeless("w", log)], backoff_base=0.0), log) as runtime:
        with pytest.raises(AgentError, match="ValueError: crash"):
            await runtime.ask("w", {"do": "crash"}, timeout=SOON)
        await log.until("start w")


async def test_an_on_error_that_returns_no_action_is_a_crash_that_says_so() -> None:
    class Vague(Worker):
        async def on_error(self, error: Exception, message: Message) -> ErrorAction:
            return "RETRY"  # type: ignore[return-value]

    log = Log()
    heard: list[Exception] = []
    async with tree(Supervisor("root", [Vague("w", log)], backoff_base=0.0), log) as runtime:
        runtime.on_crash(lambda name, error: heard.append(error))
        await runtime.send("w", {"do": "crash"})
        await log.until("start w")
    assert "not an ErrorAction" in str(heard[0])


async def test_a_handler_that_takes_too_long_is_cancelled_with_a_timeout_error() -> None:
    class Slow(Worker):
        async def handle(self, message: Message) -> Message | None:
            if message.payload:
                await asyncio.Event().wait()
            return await super().handle(message)

    log = Log()
    slow = Slow("w", log, ErrorAction.SKIP, handle_timeout=0.01)
    async with tree(Supervisor("root", [slow]), log) as runtime:
        with pytest.raises(AgentError, match="longer than handle_timeout, 0.01 s"):
            await runtime.ask("w", {"wait": True}, timeout=SOON)
        assert await count(runtime, "w") == 1


async def test_a_handler_that_awaits_something_cancelled_crashes_and_is_restarted() -> None:
    class Misled(Worker):
        async def handle(self, message: Message) -> Message | None:
            if message.payload:
                cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                cancelled.cancel()
                await cancelled
            return await super().handle(message)

    log = Log()
    async with tree(Supervisor("root", [Misled("w", log)], backoff_base=0.0), log) as runtime:
        with pytest.raises(AgentError, match="was cancelled"):
            await runtime.ask("w", {"x": 1}, timeout=SOON)
        assert await count(runtime, "w") == 1


# --- an agent that is done ------------------------------------------------------------------------


async def test_an_agent_that_stops_answers_first_and_is_not_restarted() -> None:
    log = Log()
    root = Supervisor("root", names(log, 1, 2), "ONE_FOR_ALL", backoff_base=0.0)
    async with tree(root, log) as runtime:
        assert (await runtime.ask("w1", {"do": "stop"}, timeout=SOON)).payload["count"] == 1
        await log.until("stop w1")
        await runtime.send("w2", {"do": "crash"})
        await log.until("start w2")
        assert "start w1" not in log.take()


async def test_the_runtime_ends_when_all_agents_have_stopped() -> None:
    log = Log()
    inner = Supervisor("inner", names(log, 2))
    async with tree(Supervisor("root", [*names(log, 1), inner]), log) as runtime:
        await runtime.broadcast("w*", {"do": "stop"})
        assert await asyncio.wait_for(runtime.wait(), SOON) == 0


async def test_stop_may_be_awaited() -> None:
    class Leaving(Worker):
        async def handle(self, message: Message) -> None:
            await self.stop()

    log = Log()
    async with tree(Supervisor("root", [Leaving("w", log)]), log) as runtime:
        await runtime.send("w", {})
        assert await asyncio.wait_for(runtime.wait(), SOON) == 0


# --- starting -------------------------------------------------------------------------------------


async def test_children_start_in_order_and_stop_in_reverse() -> None:
    log = Log()
    inner = Supervisor("inner", names(log, 2, 3))
    async with Runtime(Supervisor("root", [*names(log, 1), inner, *names(log, 4)])):
        assert log.take() == ["start w1", "start w2", "start w3", "start w4"]
    assert log.take() == ["stop w4", "stop w3", "stop w2", "stop w1"]


async def test_an_agent_can_send_to_a_later_one_while_it_starts() -> None:
    class Eager(Worker):
        async def on_start(self) -> None:
            await self.send("w2", {"early": True})

    log = Log()
    async with tree(Supervisor("root", [Eager("w1", log), *names(log, 2)]), log) as runtime:
        assert await count(runtime, "w2") == 2


async def test_an_agent_that_can_not_start_fails_the_start_and_stops_the_others() -> None:
    class Broken(Worker):
        async def on_start(self) -> None:
            raise OSError("no database")

    log = Log()
    runtime = Runtime(Supervisor("root", [*names(log, 1), Broken("b", log), *names(log, 2)]))
    with pytest.raises(SpawnError, match="agent 'b' could not start: OSError: no database"):
        await runtime.start()
    assert log.take() == ["start w1", "stop w1"]
    assert await runtime.wait() == 1
    await runtime.stop()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"strategy": "ALL"}, "strategy.*'ALL'.*ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE"),
        ({"backoff": "QUADRATIC"}, "backoff.*CONSTANT, LINEAR, EXPONENTIAL"),
        ({"max_restarts": -1}, "max_restarts.*at least 0"),
        ({"restart_window": 0}, "restart_window.*more than 0"),
        ({"backoff_base": -1}, "backoff_base.*at least 0"),
        ({"name": "a b"}, "can't contain ' '"),
    ],
)
def test_a_supervisor_of_wrong_values_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Supervisor(**({"name": "root"} | wrong))


async def test_two_agents_of_one_name_are_refused() -> None:
    log = Log()
    runtime = Runtime(Supervisor("root", [*names(log, 1), Supervisor("in", names(log, 1))]))
    with pytest.raises(ConfigurationError, match="already an agent called 'w1'"):
        await runtime.start()
