"""The counters of a node as OpenMetrics, read by another project's parser."""

from __future__ import annotations

import asyncio

from civitas import ErrorAction, Runtime
from civitas._node.health.metrics import exposition
from support.agents import Gate, Scripted, echo, fail, until
from support.probing import Probed, made, probe, running, samples


async def scraped(runtime: Runtime) -> Probed:
    return await asyncio.to_thread(probe, runtime.health_url, "/metrics")


def of(agent: str) -> tuple[tuple[str, str], ...]:
    return (("agent", agent),)


async def test_the_counters_are_those_of_stats():
    gate = Gate()
    agents = Scripted("a", echo), Scripted("b", gate), Scripted("c", fail)
    async with running(*agents, supervision={"max_restarts": 9, "backoff_base": 0.0}) as runtime:
        for _ in range(3):
            await runtime.ask("a", {"secret": "4242"})
        for _ in range(4):
            await runtime.send("b", {})
        await gate.entered.wait()
        await runtime.send("c", {})
        await until(lambda: runtime.stats().restarts == 1)
        status, text, kind = await scraped(runtime)
        stats, found = runtime.stats(), samples(text)
        gate.opened.set()
    assert (status, kind) == (
        200,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )
    assert text.endswith("# EOF\n")
    assert "4242" not in text
    for agent in stats.agents:
        assert found["civitas_agent_handled_total"][of(agent.name)] == agent.handled
        assert found["civitas_agent_errors_total"][of(agent.name)] == agent.errors
        assert found["civitas_agent_restarts_total"][of(agent.name)] == agent.restarts
        assert found["civitas_agent_queued"][of(agent.name)] == agent.mailbox_depth
    assert found["civitas_agent_handled_total"][of("a")] == 3
    assert found["civitas_agent_queued"][of("b")] == 3
    assert found["civitas_agent_errors_total"][of("c")] == 1
    assert found["civitas_messages_sent_total"][()] == stats.sent
    assert found["civitas_messages_delivered_total"][()] == stats.delivered
    assert found["civitas_node_info"][("role", "primary"),] == 1
    assert found["civitas_ready"][()] == 1


async def test_timers_background_tasks_and_retries_are_counted_of_agents_that_have_them():
    async def begin(agent, message):
        if message.type == "begin":
            agent.background(asyncio.Event().wait())
            agent.after(0, {}, "tick")
        if message.type == "tick" and message.attempt == 0:
            raise ValueError("no good")

    agents = Scripted("a", begin, ErrorAction.RETRY), Scripted("b")
    async with running(*agents) as runtime:
        await runtime.send("a", {}, "begin")
        await until(lambda: runtime.stats().agents[0].handled == 2)
        found = samples((await scraped(runtime)).text)
    assert found["civitas_agent_ticks_total"] == {of("a"): 1}
    assert found["civitas_agent_ticks_swallowed_total"] == {of("a"): 0}
    assert found["civitas_agent_background_tasks"] == {of("a"): 1}
    assert found["civitas_agent_retries_total"] == {of("a"): 1, of("b"): 0}


async def test_what_was_dropped_and_lost_is_counted_by_reason_and_by_agent():
    async with running(Scripted("a")) as runtime:
        bus = runtime.components.bus
        bus.dead_letters.record('a "reason" with \\ and\na line', b"frame", "detail 4242")
        assert bus.accounting is None or bus.accounting.lost == {}
        found = samples((await scraped(runtime)).text)
    reason = (("reason", 'a "reason" with \\ and\na line'),)
    assert found["civitas_messages_dropped_total"] == {reason: 1}


async def test_names_are_escaped():
    name = "it's\"née"
    async with running(Scripted("a"), Scripted(name)) as runtime:
        found = samples((await scraped(runtime)).text)
    assert set(found["civitas_agent_queued"]) == {of("a"), of(name)}


async def test_a_large_count_is_written_whole():
    agent = Scripted("a")
    async with running(agent) as runtime:
        runtime._slots["a"].counts.handled = 123_456_789_012  # noqa: SLF001 - as after a month
        text = (await scraped(runtime)).text
    assert 'civitas_agent_handled_total{process="supervisor",agent="a"} 123456789012\n' in text


async def test_it_answers_before_the_start_has_ended_and_to_head():
    started = asyncio.Event()

    class Slow(Scripted):
        async def on_start(self) -> None:
            await started.wait()

    runtime = made(Slow("a"))
    starting = asyncio.create_task(runtime.start())
    await until(lambda: bool(runtime.health_url))
    found = samples((await scraped(runtime)).text)
    assert found["civitas_agent_running"][of("a")] == found["civitas_ready"][()] == 0
    started.set()
    await starting
    head = await asyncio.to_thread(probe, runtime.health_url, "/metrics", "HEAD")
    assert (head.status, head.text) == (200, "")
    await runtime.stop()


async def test_without_metrics_there_is_no_such_page():
    async with running(Scripted("a"), metrics=False) as runtime:
        assert (await scraped(runtime)).status == 404
        assert "/metrics" not in (await asyncio.to_thread(probe, runtime.health_url, "/")).text


async def test_many_agents_are_written_in_pieces_between_which_others_have_a_turn():
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with running(*(Scripted(f"agent-{n}") for n in range(1000))) as runtime:
        counting = asyncio.create_task(count())
        text = await exposition(runtime._watch._vitals, 0.0, is_ready=True)  # noqa: SLF001
        counting.cancel()
    assert len(samples(text.decode())["civitas_agent_handled_total"]) == 1000
    assert turns >= 10
