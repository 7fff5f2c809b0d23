"""`civitas bench` measures what it says it does: in process here, between processes in e2e."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor
from civitas.cli.app import app
from civitas.cli.bench.agents import EchoAgent, SinkAgent
from civitas.cli.bench.measuring import BenchEffort, SizeResult, measured
from civitas.cli.bench.output import changed, write_results
from civitas.cli.bench.system import BenchSystem, Names, StreamResult

NAMES = Names("bench-1", "bench-1-worker", "bench-1-echo", "bench-1-sink")
EFFORT = BenchEffort(rounds=1, seconds=0.001)
TOPOLOGY = "supervision: {name: root, children: [{agent: {name: a, type: not.There}}]}\n"


class Forgetful(SinkAgent):
    """Loses every second message."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._came = 0

    async def handle(self, message: Message) -> None:
        self._came += message.type == "message"
        if message.type != "message" or self._came % 2:
            await super().handle(message)


@asynccontextmanager
async def system_of(sink: AgentProcess, durable: bool = False) -> AsyncIterator[BenchSystem]:
    tree = Supervisor("root", [EchoAgent(NAMES.echo), sink])
    async with Runtime(tree) as runtime:
        yield BenchSystem(runtime, NAMES, durable=durable, lost_after=0.05)


async def results(largest: int | None = None) -> list[SizeResult]:
    async with system_of(SinkAgent(NAMES.sink)) as system:
        return [each async for each in measured(system, EFFORT, largest, lambda _: None)]


async def test_each_size_has_times_and_a_rate_and_nothing_is_lost() -> None:
    found = await results()
    assert [each.bytes for each in found] == [100, 10 << 10, 1 << 20]
    for each in found:
        assert each.ask_p50
        assert each.ask_p99
        assert 0 < each.ask_p50 <= each.ask_p99
        assert each.rate
        assert each.lost == 0


async def test_a_size_that_the_transport_does_not_take_is_skipped_with_the_reason() -> None:
    *_, last = await results(largest=100_000)
    assert last == SizeResult(1 << 20, skipped="max_message_bytes of this transport is 100,000")


@pytest.mark.parametrize("durable", [False, True])
async def test_messages_that_never_come_are_counted_as_lost(durable: bool) -> None:
    async with system_of(Forgetful(NAMES.sink), durable) as system:
        assert await system.stream(10, 20) == StreamResult(0.0, 10)
        assert await system.stream(10, 20) == StreamResult(0.0, 10)


async def test_the_sink_answers_when_it_has_counted_enough_whichever_comes_first() -> None:
    async with Runtime(Supervisor("root", [SinkAgent("sink")])) as runtime:
        asked = asyncio.create_task(runtime.ask("sink", {"count": 3}, "until"))
        for _ in range(3):
            await runtime.send("sink", {})
        assert (await asked).payload == {"count": 3}
        assert (await runtime.ask("sink", {"count": 2}, "until")).payload == {"count": 3}


def test_names_are_others_each_time() -> None:
    assert not set(Names.random()) & set(Names.random())


def test_a_note_says_which_options_are_other_ones() -> None:
    assert changed({"a": 1, "b": 2}, {"a": 1, "b": 3}) == "b: 3"


def test_the_table_has_a_column_for_reasons_only_where_there_is_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_results([SizeResult(100, 310.4, 2500.0, 41_000.4)])
    assert capsys.readouterr().out.splitlines() == [
        "message  ask p50  ask p99   one-way  lost",
        "100 B     310 us  2.50 ms  41,000/s     0",
    ]
    write_results([SizeResult(1 << 20, skipped="too large")])
    assert "skipped: too large" in capsys.readouterr().out


def test_the_command_measures_within_one_process_and_imports_no_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "topology.yaml").write_text(TOPOLOGY)
    file = str(tmp_path / "topology.yaml")
    app(["bench", file, "--quick", "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert (found["transport"], found["processes"]) == ("in_process", 1)
    assert [each["lost"] for each in found["sizes"]] == [0, 0, 0]
