"""Worker: how it is made, started and stopped, and who it is among others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import AgentProcess, Runtime, Supervisor, Worker
from civitas._cluster.events import Received
from civitas._cluster.protocol import Pong
from civitas.components import build_component_set
from civitas.errors import (
    ConfigurationError,
    IdentityError,
    MessageRoutingError,
    SpawnError,
)
from support.agents import SOON, Scripted, echo, fail, until
from support.lives import Log, Mortal, mortals
from support.local_bus.broker import Broker
from support.local_bus.testbed import LocalBus


@pytest.fixture
def bus(local_bus: LocalBus) -> Any:
    """A local bus whose broker runs by itself, so that nodes may come in any order."""
    with Broker(local_bus.path):
        yield local_bus


def primary(bus: LocalBus, *agents: AgentProcess, remote: tuple[str, ...] = ()) -> Runtime:
    root = Supervisor("root", agents, backoff_base=0.0)
    for name in remote:
        root.add_remote_child(name)
    return Runtime(root, **bus.options())


# --- making ---------------------------------------------------------------------------------------


def test_a_transport_that_stays_within_one_process_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="reaches other processes"):
        Worker([Scripted("a")], transport="in_process")


@pytest.mark.parametrize("arguments", [{}, {"components": build_component_set()}])
def test_so_is_none_and_one_within_components(arguments: Any) -> None:
    with pytest.raises(ConfigurationError, match="other processes"):
        Worker([Scripted("a")], **arguments)


def test_components_and_a_transport_together_are_refused(bus: LocalBus) -> None:
    components = build_component_set(**bus.options())
    with pytest.raises(ConfigurationError, match="either components, or"):
        Worker([Scripted("a")], components=components, **bus.options())


def test_its_name_is_the_one_given_or_a_unique_one(bus: LocalBus) -> None:
    def made() -> Any:
        return build_component_set(**bus.options(), is_primary=False)

    assert Worker([], process="w", **bus.options()).process == "w"
    assert Worker([], process="w", components=made()).process == "w"
    named = build_component_set(**bus.options(), process="x", is_primary=False)
    assert Worker([], components=named).process == "x"
    unnamed = [Worker([], **bus.options()), Worker([], components=made())]
    unnamed += [Worker([], **bus.options()), Worker([], components=made())]
    names = {worker.process for worker in unnamed}
    assert len(names) == 4
    assert all(name.startswith("worker-") for name in names)


# --- starting and stopping ------------------------------------------------------------------------


async def test_stopping_twice_does_no_harm(bus: LocalBus) -> None:
    worker = Worker([Scripted("a")], **bus.options())
    async with primary(bus, Scripted("b")):
        await worker.start()
        await asyncio.gather(worker.stop(), worker.stop())
        await worker.stop()
        assert await worker.wait_until_stopped() == 0


async def test_one_that_is_stopped_before_its_start_has_ended(bus: LocalBus) -> None:
    worker = Worker([Scripted("a")], **bus.options())
    await worker.stop()
    assert await asyncio.wait_for(worker.wait_until_stopped(), SOON) == 0
    with pytest.raises(ConfigurationError, match="worker was stopped before; make a new one"):
        await worker.start()


async def test_a_worker_joins_a_primary_whose_tree_has_no_agents(bus: LocalBus) -> None:
    async with primary(bus) as runtime, Worker([Scripted("a", echo)], **bus.options()):
        answer = await runtime.ask("a", {}, timeout=SOON)
        assert answer.payload["from"] == "a"


async def test_a_worker_is_started_once(bus: LocalBus) -> None:
    async with primary(bus, Scripted("b")), Worker([Scripted("a")], **bus.options()) as worker:
        with pytest.raises(ConfigurationError, match="started before"):
            await worker.start()


@pytest.mark.parametrize("found", [True, False])
async def test_a_stop_during_the_start_ends_it(bus: LocalBus, found: bool) -> None:
    entered = asyncio.Event()

    class Opening(Scripted):
        async def on_start(self) -> None:
            entered.set()
            await asyncio.Event().wait()

    worker = Worker([Opening("a"), Scripted("b")], **bus.options())
    async with primary(bus, Scripted("c")):
        start = asyncio.create_task(worker.start())
        if found:
            await asyncio.wait_for(entered.wait(), SOON)
        else:
            await asyncio.sleep(0)  # while its transport starts
        await asyncio.wait_for(worker.stop(), SOON)
        with pytest.raises(SpawnError, match="stopped while it started"):
            await start
    assert await asyncio.wait_for(worker.wait_until_stopped(), SOON) == 0


async def test_an_agent_that_can_not_start_stops_the_others(bus: LocalBus) -> None:
    class Broken(Scripted):
        async def on_start(self) -> None:
            raise OSError("no database")

    log = Log()
    worker = Worker([*mortals(log, 1), Broken("b"), *mortals(log, 2)], **bus.options())
    async with primary(bus, Scripted("c")) as runtime:
        with pytest.raises(SpawnError, match="agent 'b' could not start: OSError: no database"):
            await worker.start()
        assert log.take() == ["start w1", "stop w1"]
        assert await worker.wait_until_stopped() == 1
        await until(lambda: not runtime.stats().peers)


async def test_a_crashed_agent_with_messages_does_not_hold_up_the_stop(bus: LocalBus) -> None:
    async with primary(bus, Scripted("b")) as runtime:
        agent = Scripted("a", fail, shutdown_timeout=1_000.0)  # and nobody supervises it
        worker = Worker([agent], **bus.options())
        dropped: list[str] = []
        worker.on_dead_letter(lambda _item, reason: dropped.append(reason))
        await worker.start()
        for _ in range(3):
            await runtime.send("a", {})
        await until(lambda: worker.stats().agents[0].mailbox_depth == 2)
        async with asyncio.timeout(SOON):
            await worker.stop()
    assert dropped == ["the recipient has stopped"] * 2


async def test_a_worker_without_agents_waits_to_be_stopped(bus: LocalBus) -> None:
    async with primary(bus, Scripted("c")) as runtime, Worker([], **bus.options()) as worker:
        await until(lambda: len(runtime.stats().peers) == 1)
        await worker.stop()
        assert await worker.wait_until_stopped() == 0


# --- finding each other ---------------------------------------------------------------------------


async def test_a_worker_may_start_before_the_primary(bus: LocalBus) -> None:
    async def ask_b(agent: Scripted, message: Any) -> Any:
        return agent.reply((await agent.ask("b", {})).payload)

    runtime = primary(bus, Scripted("b", echo), remote=("a",))
    async with Worker([Scripted("a", ask_b)], **bus.options()), runtime:
        reply = await runtime.ask("a", {}, timeout=SOON)
        assert reply.payload["from"] == "b"


async def test_what_is_sent_to_an_agent_that_is_still_to_come_waits_and_arrives(
    bus: LocalBus,
) -> None:
    late = Scripted("late", echo)
    async with primary(bus, Scripted("b"), remote=("late",)) as runtime:
        sending = asyncio.create_task(runtime.send("late", {"n": 1}))
        asking = asyncio.create_task(runtime.ask("late", {"n": 2}, timeout=SOON))
        async with Worker([late], **bus.options()):
            await sending
            assert (await asking).payload["echo"] == {"n": 2}
    assert [m.payload["n"] for m in late.got] == [1, 2]


async def test_an_agent_that_never_comes_is_an_error_that_asks_for_its_process(
    bus: LocalBus,
) -> None:
    async with primary(bus, Scripted("b"), remote=("late",)) as runtime:
        with pytest.raises(MessageRoutingError, match="'late' was not found within 0.05 s"):
            await runtime.ask("late", {}, timeout=0.05)


async def test_a_message_to_an_agent_of_a_node_that_left_is_an_error_until_it_is_back(
    bus: LocalBus,
) -> None:
    async with primary(bus, Scripted("b"), remote=("a",)) as runtime:
        for process in ("first", "second"):
            worker = Worker([Scripted("a", echo)], process=process, **bus.options())
            async with worker:
                assert (await runtime.ask("a", {}, timeout=SOON)).payload["from"] == "a"
            await until(lambda: not runtime.stats().peers)
            for attempt in (runtime.send("a", {}), runtime.ask("a", {})):
                with pytest.raises(MessageRoutingError, match=f"'a' .*{process}"):
                    await attempt


async def test_an_agent_that_is_not_done_comes_back_with_its_worker(
    bus: LocalBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a ping was answered while its node had retired it, and not yet said goodbye."""
    log, heard, hear = Log(), [], vars(Runtime)["_on_event"]

    def spy(runtime: Runtime, event: Any) -> None:
        hear(runtime, event)
        if isinstance(event, Received) and isinstance(event.message, Pong):
            heard.append(event)

    monkeypatch.setattr(Runtime, "_on_event", spy)
    root = Supervisor("root", [Scripted("b")], backoff_base=0.0)
    root.add_remote_child("w1", heartbeat_interval=0.05)
    async with Runtime(root, **bus.options()) as runtime:
        async with Worker(mortals(log, 1), process="w", **bus.options()) as worker:
            await until(lambda: "w1 [in a worker] RUNNING" in runtime.print_tree())
            detach = worker.components.bus.detach

            async def linger(name: str) -> None:
                await detach(name)
                heard.clear()
                await until(lambda: len(heard) >= 2)

            worker.components.bus.detach = linger  # type: ignore[method-assign]
        assert "STOPPED" not in runtime.print_tree()
        async with Worker(mortals(log, 1), process="w", **bus.options()):
            await runtime.send("w1", {"do": "crash"})
            await log.until("start w1", 3)
            assert runtime.failure is None


# --- identity -------------------------------------------------------------------------------------


async def test_a_second_agent_of_a_name_is_refused_and_the_error_names_both_nodes(
    bus: LocalBus,
) -> None:
    first, second = (Worker([Scripted("a", echo)], process=p, **bus.options()) for p in ("x", "y"))
    async with primary(bus, Scripted("b"), remote=("a",)) as runtime, first:
        with pytest.raises(IdentityError, match="agent 'a'.*'x'.*'y'"):
            await second.start()
        assert await second.wait_until_stopped() == 1
        assert (await runtime.ask("a", {}, timeout=SOON)).payload["from"] == "a"
        assert first.failure is None


async def test_an_agent_of_the_primarys_name_is_refused(bus: LocalBus) -> None:
    async with primary(bus, Scripted("a", echo)) as runtime:
        with pytest.raises(IdentityError, match="agent 'a'.*'supervisor'"):
            await Worker([Scripted("a")], **bus.options()).start()
        assert (await runtime.ask("a", {}, timeout=SOON)).payload["from"] == "a"


async def test_of_two_that_claim_a_name_at_once_exactly_one_stays(bus: LocalBus) -> None:
    async with primary(bus, Scripted("b"), remote=("a",)) as runtime:
        rivals = [Worker([Scripted("a", echo)], process=p, **bus.options()) for p in "xy"]
        ends = await asyncio.gather(*(each.start() for each in rivals), return_exceptions=True)
        try:
            assert sum(isinstance(end, IdentityError) for end in ends) == 1
            assert sum(end is None for end in ends) == 1
            assert (await runtime.ask("a", {}, timeout=SOON)).payload["from"] == "a"
        finally:
            for each in rivals:
                await each.stop()


async def test_a_second_process_of_a_name_is_refused_while_the_first_answers(
    bus: LocalBus,
) -> None:
    first = Worker([Scripted("a", echo)], process="w", **bus.options())
    async with primary(bus, Scripted("b"), remote=("a",)) as runtime, first:
        with pytest.raises(IdentityError, match="process name 'w' is taken"):
            await Worker([Scripted("c")], process="w", **bus.options()).start()
        assert (await runtime.ask("a", {}, timeout=SOON)).payload["from"] == "a"


async def test_a_worker_called_like_the_primary_is_refused(bus: LocalBus) -> None:
    async with primary(bus, Mortal("b", Log())):
        with pytest.raises(IdentityError, match="process name 'supervisor' is taken"):
            await Worker([Scripted("a")], process="supervisor", **bus.options()).start()
