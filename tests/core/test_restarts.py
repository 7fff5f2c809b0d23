"""Restarts that somebody wants: by the supervisor, in whichever process, and no crash."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import Message, Runtime, Supervisor, Worker
from civitas._cluster.protocol import RESTART, Command, Result
from civitas._node.answered_calls import AnsweredCalls
from civitas._node.restarts import Restarts
from civitas.client import Client
from civitas.errors import MessageRoutingError, NotConnectedError, SpawnError
from civitas.transport import InProcessTransport
from support.agents import SOON, Gate, Scripted, echo, fail, runtime, until
from support.lives import Log, Mortal, count, mortals
from support.local_bus.broker import Broker
from support.local_bus.testbed import LocalBus


class Starting(Scripted):
    """Takes its time to start, from the second time on; or can't."""

    starts = 0
    gate: asyncio.Event
    fails = False

    async def on_start(self) -> None:
        type(self).starts += 1
        if self.fails:
            raise ValueError("no start")
        if type(self).starts > 1:
            await type(self).gate.wait()


def starting(**more: Any) -> type[Starting]:
    return type("Starting", (Starting,), {"starts": 0, "gate": asyncio.Event(), **more})


# --- in one process -------------------------------------------------------------------------------


async def test_a_restart_makes_a_fresh_object_and_keeps_the_mailbox() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate), Scripted("b")) as r:
        first, other = r.all_agents()
        for n in range(3):
            await r.send("a", {"n": n})
        await gate.entered.wait()
        restart = asyncio.create_task(r.restart("a"))
        await until(lambda: r.stats().agents[0].state == "stopping")
        gate.opened.set()
        await asyncio.wait_for(restart, SOON)
        await until(lambda: r.stats().agents[0].handled == 3)
        second = r.all_agents()[0]
        assert second is not first
        assert isinstance(first, Scripted)
        assert isinstance(second, Scripted)
        assert [each.payload["n"] for each in first.got + second.got] == [0, 1, 2]
        assert len(first.got) == 1
        assert r.all_agents()[1] is other
        assert r.stats().restarts == 1


async def test_restarts_are_no_crashes_however_many_and_concern_no_sibling() -> None:
    crashed: list[str] = []
    agents = Scripted("a", echo), Scripted("b")
    async with runtime(*agents, max_restarts=0, strategy="ONE_FOR_ALL") as r:
        r.on_crash(lambda name, error: crashed.append(name))
        for _ in range(5):
            await r.restart("a")
        assert (await r.ask("a", {})).payload["from"] == "a"
        assert [each.restarts for each in r.stats().agents] == [5, 0]
        assert r.stats().crashes == ()
    assert crashed == []


async def test_one_that_waits_for_its_restart_gets_it_at_once() -> None:
    async with runtime(Scripted("a", fail), Scripted("b"), backoff_base=600.0) as r:
        await r.send("a", {})
        await until(lambda: r.stats().agents[0].restart_in is not None)
        await asyncio.wait_for(r.restart("a"), SOON)
        assert [each.state for each in r.stats().agents] == ["running", "running"]
        assert r.stats().restarts == 1


async def test_of_a_group_that_waits_all_get_it_at_once() -> None:
    agents = Scripted("a", fail), Scripted("b")
    async with runtime(*agents, backoff_base=600.0, strategy="ONE_FOR_ALL") as r:
        await r.send("a", {})
        await until(lambda: all(each.restart_in is not None for each in r.stats().agents))
        await asyncio.wait_for(r.restart("b"), SOON)
        assert [(each.state, each.restarts) for each in r.stats().agents] == [("running", 1)] * 2


async def test_an_agent_whose_supervisor_waits_for_its_restart_gets_it_at_once() -> None:
    inner = Supervisor("inner", [Scripted("a", fail)], max_restarts=0)
    async with Runtime(Supervisor("root", [inner], backoff_base=600.0)) as r:
        await r.send("a", {})
        await until(lambda: r.stats().agents[0].restart_in is not None)
        await asyncio.wait_for(r.restart("a"), SOON)
        assert (r.stats().agents[0].state, r.stats().restarts) == ("running", 1)


async def test_one_that_is_being_started_is_restarted_after_it() -> None:
    kind = starting()
    async with runtime(kind("a", fail)) as r:
        await r.send("a", {})
        await until(lambda: kind.starts == 2)
        restart = asyncio.create_task(r.restart("a"))
        await asyncio.sleep(0)
        assert not restart.done()
        kind.gate.set()
        await asyncio.wait_for(restart, SOON)
        assert (kind.starts, r.stats().restarts) == (3, 2)


async def turns() -> None:
    """Let the event loop turn, so that a restart that would fail at once has failed."""
    for _ in range(20):
        await asyncio.sleep(0)


class Joining(InProcessTransport):
    """A transport on which others are found when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = asyncio.Event(), asyncio.Event()

    async def wait_ready(self) -> None:
        self.entered.set()
        await self.gate.wait()


async def test_one_that_is_wanted_while_the_runtime_joins_the_others_is_restarted_after_it() -> (
    None
):
    kind, transport = starting(), Joining()
    kind.gate.set()
    r = Runtime(Supervisor("root", [kind("a")]), transport=transport)
    start = asyncio.create_task(r.start())
    await transport.entered.wait()
    restart = asyncio.create_task(r.restart("a"))
    await turns()
    transport.gate.set()
    await asyncio.wait_for(asyncio.gather(start, restart), SOON)
    assert kind.starts == 2
    await r.stop()


async def test_one_that_is_wanted_of_a_runtime_that_can_not_join_is_told_so() -> None:
    transport = Joining()
    r = Runtime(Supervisor("root", [Scripted("a")]), transport=transport)
    start = asyncio.create_task(r.start())
    await transport.entered.wait()
    restart = asyncio.create_task(r.restart("a"))
    await turns()
    start.cancel()
    with pytest.raises(SpawnError, match="agent 'a': this process is stopping"):
        await asyncio.wait_for(restart, SOON)
    with pytest.raises(asyncio.CancelledError):
        await start


async def test_two_that_want_it_at_once_get_one_restart() -> None:
    kind = starting()
    async with runtime(kind("a")) as r:
        wanted = [asyncio.create_task(r.restart("a")) for _ in range(3)]
        await until(lambda: kind.starts == 2)
        wanted[0].cancel()  # which is nothing to the others
        kind.gate.set()
        await asyncio.wait_for(asyncio.gather(*wanted[1:]), SOON)
        assert (kind.starts, r.stats().restarts) == (2, 1)


async def test_a_crash_while_it_is_restarted_is_followed_by_no_second_restart() -> None:
    gate = Gate()

    async def crash(agent: Scripted, message: Message) -> None:
        await gate(agent, message)
        raise ValueError("no good")

    async with runtime(Scripted("a", crash)) as r:
        await r.send("a", {})
        await gate.entered.wait()
        restart = asyncio.create_task(r.restart("a"))
        await until(lambda: r.stats().agents[0].state == "stopping")
        gate.opened.set()
        await asyncio.wait_for(restart, SOON)
        await until(lambda: r.stats().agents[0].state == "running")
        assert r.stats().restarts == 1


async def test_one_that_can_not_start_is_told_and_restarted_as_after_a_crash() -> None:
    kind = starting()
    async with runtime(kind("a"), backoff_base=0.01, max_restarts=1_000) as r:
        kind.fails, crashed = True, asyncio.Event()
        r.on_crash(lambda name, error: crashed.set())
        with pytest.raises(SpawnError, match="agent 'a' could not start: ValueError: no start"):
            await r.restart("a")
        await asyncio.wait_for(crashed.wait(), SOON)
        kind.fails = False
        kind.gate.set()
        await until(lambda: r.stats().agents[0].state == "running")


async def test_a_name_that_nobody_has_is_refused_with_a_suggestion() -> None:
    async with runtime(Scripted("waiter"), Scripted("cook")) as r:
        with pytest.raises(MessageRoutingError, match=r"called 'wiater'; did you mean 'waiter'\?"):
            await r.restart("wiater")
        with pytest.raises(MessageRoutingError, match=r"is called 'root'$"):
            await r.restart("root")


async def test_an_agent_that_is_done_stays_so() -> None:
    async with runtime(Scripted("a"), Scripted("b")) as r:
        r.all_agents()[0].stop()
        await until(lambda: r.stats().agents[0].state == "done")
        with pytest.raises(MessageRoutingError, match="agent 'a' is done, and stays so"):
            await r.restart("a")


async def test_a_runtime_that_ends_meanwhile_tells_so() -> None:
    kind = starting()
    async with runtime(kind("a", shutdown_timeout=0.1)) as r:
        restart = asyncio.create_task(r.restart("a"))
        await until(lambda: kind.starts == 2)
        await asyncio.wait_for(r.stop(), SOON)
        with pytest.raises(SpawnError, match="its supervisor 'root' was stopped meanwhile"):
            await restart
    with pytest.raises(NotConnectedError):
        await r.restart("a")


# --- in another process ---------------------------------------------------------------------------


async def test_an_agent_of_another_process_is_restarted_there(local_bus: LocalBus) -> None:
    root, log = Supervisor("root", [Scripted("near")], max_restarts=0), Log()
    root.add_remote_child("w1")
    async with Runtime(root, **local_bus.options()) as r:
        async with Worker(mortals(log, 1), process="w", **local_bus.options()):
            assert await count(r, "w1") == 1
            async with Client(**local_bus.options()) as client:
                await client.restart("w1")
                await client.restart("near")
                assert log.events == ["start w1", "stop w1", "start w1"]
                assert await count(r, "w1") == 1  # of the fresh object
                assert r.stats().agents[0].restarts == 1
                with pytest.raises(MessageRoutingError, match="did you mean 'near'"):
                    await client.restart("neer")
        await until(lambda: "w1 [in a worker] ABSENT" in r.print_tree())
        with pytest.raises(MessageRoutingError, match="agent 'w1': its process is not there"):
            await r.restart("w1")
        assert r.failure is None


async def test_a_start_that_fails_there_is_told_and_one_that_takes_long_goes_on(
    local_bus: LocalBus,
) -> None:
    root, kind = Supervisor("root", backoff_base=0.01, max_restarts=1_000), starting()
    root.add_remote_child("far")
    async with (
        Runtime(root, **local_bus.options()) as r,
        Worker([kind("far")], process="w", **local_bus.options()),
        Client(**local_bus.options()) as client,
    ):
        await until(lambda: "far [in a worker] RUNNING" in r.print_tree())
        with pytest.raises(TimeoutError, match="has not started again within 0.5 s; that goes on"):
            await client.restart("far", timeout=0.5)
        kind.gate.set()
        await until(lambda: kind.starts == 2 and "RUNNING" in r.print_tree())
        kind.fails = True
        with pytest.raises(SpawnError, match="ValueError: no start"):
            await client.restart("far")
        kind.fails = False
        await until(lambda: "far [in a worker] RUNNING" in r.print_tree())


async def test_without_a_primary_nobody_restarts(local_bus: LocalBus) -> None:
    with Broker(local_bus.path):
        async with (
            Worker([Mortal("w1", Log())], process="w", **local_bus.options()),
            Client(**local_bus.options()) as client,
        ):
            with pytest.raises(NotConnectedError, match="the primary process is not there"):
                await client.restart("w1", timeout=0.05)


async def test_a_primary_that_is_not_there_yet_is_waited_for(local_bus: LocalBus) -> None:
    root, log = Supervisor("root"), Log()
    root.add_remote_child("w1")
    with Broker(local_bus.path):
        async with (
            Worker(mortals(log, 1), process="w", **local_bus.options()),
            Client(**local_bus.options(), connect_timeout=SOON) as client,
        ):
            restart = asyncio.create_task(client.restart("w1"))
            await turns()
            assert not restart.done()
            async with Runtime(root, **local_bus.options()):
                await asyncio.wait_for(restart, SOON)
                assert log.events == ["start w1", "stop w1", "start w1"]


# --- calls ----------------------------------------------------------------------------------------


async def test_a_command_that_comes_again_is_carried_out_once_and_answered_each_time() -> None:
    done, answers, gate = list[str](), list[tuple[str, str, Result]](), asyncio.Event()

    async def restart(agent: str) -> None:
        done.append(agent)
        await gate.wait()

    restarts = Restarts(restart, lambda *answer: answers.append(answer), fail_test)
    for _ in range(3):
        restarts.receive("n", Command(7, RESTART, "a", 0))
    restarts.receive("m", Command(7, RESTART, "a", 0))  # another node's, and the same restart
    await until(lambda: done == ["a"])
    assert answers == []
    gate.set()
    await until(lambda: len(answers) == 2)
    restarts.receive("n", Command(7, RESTART, "a", 0))
    result = Result(7, "", "RUNNING")
    assert sorted(answers[:2]) == [("m", "a", result), ("n", "a", result)]
    assert answers[2:] == [("n", "a", result)]
    assert done == ["a"]


async def test_others_can_not_want_any_number_of_restarts_at_once() -> None:
    answers: list[Result] = []

    async def restart(agent: str) -> None:
        await asyncio.Event().wait()

    restarts = Restarts(restart, lambda node, agent, result: answers.append(result), fail_test)
    for number in range(1_001):
        restarts.receive("n", Command(number, RESTART, "a", 0))
    assert answers == [Result(1_000, "too many restarts at once")]
    await restarts.end()


async def test_the_results_of_the_last_commands_are_kept() -> None:
    carried: list[int] = []

    async def carry_out(command: Command) -> Result:
        carried.append(command.number)
        return Result(command.number, "")

    calls = AnsweredCalls(carry_out, lambda *_: None, fail_test)
    for number in range(1_001):
        calls.receive("n", Command(number, "start", "a", 0))
    await until(lambda: calls.running == 0)
    calls.receive("n", Command(1, "start", "a", 0))
    calls.receive("n", Command(0, "start", "a", 0))
    await until(lambda: calls.running == 0)
    assert carried == [*range(1_001), 0]


def fail_test(error: BaseException) -> None:
    pytest.fail(f"{error!r}")
