"""World: virtual time, processes, and the same run for the same seed."""

from __future__ import annotations

import asyncio
import time

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor, Worker
from civitas import _platform as platform
from civitas.components import build_component_set
from civitas.errors import ConfigurationError
from civitas.testing.simulation.errors import SimulationError, StuckError
from civitas.testing.simulation.world import World, installed

ROUNDS = 20


class Echo(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        return self.reply({"n": message.payload["n"]})


def primary_and_two_workers(seed: int, *, at_least_once: bool = False) -> tuple[int, str]:
    """Ask agents of three processes in turn; return how many answers came, and the digest."""
    world = World(seed)

    def wiring(process: str) -> dict[str, object]:
        options = {"type": "simulation", "at_least_once": at_least_once}
        primary = process == "supervisor"
        components = build_component_set(options, process=process, is_primary=primary)
        return {"components": components}

    async def primary() -> int:
        root = Supervisor("root", [Echo("local")])
        root.add_remote_child("one")
        root.add_remote_child("two")
        async with Runtime(root, **wiring("supervisor")) as runtime:  # type: ignore[arg-type]
            names = ["local", "one", "two"] * ROUNDS
            return len([await runtime.ask(name, {"n": 1}) for name in names])

    async def worker(process: str, agent: str) -> None:
        await Worker([Echo(agent)], process=process, **wiring(process)).start()  # type: ignore[arg-type]

    async def test() -> int:
        asking = world.process("supervisor").spawn(primary())
        world.process("w1").spawn(worker("w1", "one"))
        world.process("w2").spawn(worker("w2", "two"))
        while not asking.done():
            await asyncio.sleep(0.1)
        return asking.result()

    with installed(world):
        return world.run(test()), world.digest


@pytest.mark.parametrize("at_least_once", [False, True])
def test_a_runtime_and_two_workers_talk_and_a_seed_gives_one_run(at_least_once: bool) -> None:
    runs = [primary_and_two_workers(seed, at_least_once=at_least_once) for seed in (1, 1, 2)]
    assert [answers for answers, _ in runs] == [3 * ROUNDS] * 3
    assert runs[0] == runs[1] != runs[2]


def test_time_passes_only_when_nothing_is_left_to_do() -> None:
    world = World(1)

    async def test() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time() - began

    began = time.monotonic()
    with installed(world):
        assert world.run(test(), limit=100_000) == pytest.approx(86_400, abs=0.01)
    assert time.monotonic() - began < 10


def test_a_wait_that_can_not_end_is_an_error() -> None:
    world = World(1)
    with installed(world), pytest.raises(StuckError, match="nothing will ever happen"):
        world.run(asyncio.Event().wait())


def test_a_test_that_takes_too_long_is_an_error() -> None:
    world = World(1)
    with installed(world), pytest.raises(StuckError, match="within 60 s"):
        world.run(asyncio.sleep(61), limit=60)


def test_a_killed_process_has_no_turn_and_no_finally_block_of_it_runs() -> None:
    world, said = World(1), []

    async def work() -> None:
        try:
            while True:
                said.append("turn")
                await asyncio.sleep(1)
        finally:
            said.append("finally")

    async def test() -> list[str]:
        victim = world.process("victim")
        victim.spawn(work())
        await asyncio.sleep(2.5)
        victim.kill()
        await asyncio.sleep(10)
        return list(said)

    with installed(world):
        assert world.run(test()) == ["turn"] * 3


def test_a_paused_process_goes_on_where_it_was_and_finds_that_time_has_passed() -> None:
    world = World(1)

    async def work() -> float:
        began = platform.monotonic()
        await asyncio.sleep(1)
        return platform.monotonic() - began

    async def test() -> float:
        victim = world.process("victim")
        working = victim.spawn(work())
        await asyncio.sleep(0.5)
        victim.pause()
        await asyncio.sleep(5)
        assert not working.done()
        victim.resume()
        await asyncio.sleep(0.1)
        return working.result()

    with installed(world):
        assert world.run(test()) == pytest.approx(5.5, abs=0.01)


def test_a_process_has_clocks_of_its_own() -> None:
    world = World(1)

    async def read() -> tuple[float, float]:
        return platform.wall(), platform.monotonic()

    async def test() -> list[float]:
        one, other = world.process("one"), world.process("other")
        other.wall_offset = 30.0
        other.drift(1.01)
        await asyncio.sleep(100)
        tasks = one.spawn(read()), other.spawn(read())
        await asyncio.sleep(0.1)
        (wall, steady), (other_wall, other_steady) = (task.result() for task in tasks)
        return [other_wall - wall, other_steady - steady]

    with installed(world):
        assert world.run(test()) == pytest.approx([31.0, 1.0], abs=0.01)


def test_a_blocked_thread_of_a_process_does_not_hold_up_another() -> None:
    world, turns = World(1), []

    async def tick(name: str) -> None:
        while True:
            await asyncio.sleep(1)
            turns.append((name, round(world.now - 1000, 1)))

    async def test() -> None:
        process = world.process("p")
        process.spawn(tick("main"))
        process.add_loop("other").create_task(tick("other"))
        await asyncio.sleep(0.5)
        process.block(2.0)
        await asyncio.sleep(3.1)

    with installed(world):
        world.run(test())
    assert [at for name, at in turns if name == "other"] == [1.0, 2.0, 3.0]
    assert [at for name, at in turns if name == "main"] == [2.5, 3.5]


def test_a_call_in_an_executor_takes_virtual_time() -> None:
    world = World(1)
    with installed(world):
        assert world.run(asyncio.to_thread(lambda: 42)) == 42


async def connect() -> None:
    await asyncio.open_connection("localhost", 1)


async def execute() -> None:
    await asyncio.create_subprocess_exec("true")


@pytest.mark.parametrize("wait", [connect, execute])
def test_what_waits_in_real_time_is_refused(wait: object) -> None:
    world = World(1)
    with installed(world), pytest.raises(SimulationError, match="can't be simulated"):
        world.run(wait())  # type: ignore[operator]


def test_outside_of_a_simulation_its_transport_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="in a simulation only"):
        build_component_set("simulation")


def test_what_a_thread_does_after_a_long_computation_comes_after_it_everywhere() -> None:
    world, seen = World(1), []

    async def compute(other: asyncio.AbstractEventLoop) -> None:
        world.sleep(3.0)
        other.call_soon_threadsafe(lambda: seen.append(round(world.now - 1000)))

    async def test() -> None:
        process = world.process("p")
        process.spawn(compute(process.add_loop("other")))
        await asyncio.sleep(5.0)

    with installed(world):
        world.run(test())
    assert seen == [3]
