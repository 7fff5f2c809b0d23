"""Guards: what agents take from the machine is virtual, or is refused with a reason."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime as dates
import multiprocessing
import os
import queue
import random
import secrets
import select
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from time import monotonic, sleep, time_ns
from typing import Any

import pytest

from civitas import AgentProcess, Message
from civitas.testing import simulation as sim
from civitas.testing.simulation.run import REFUSED, RunOutcome, Scenario, run

pytestmark = pytest.mark.slow

SINGLE = {"supervision": {"name": "root", "children": [{"agent": {"name": "a", "type": "it"}}]}}
EPOCH = 1_800_000_000
"""Where the wall clock of a simulation begins: in January 2027."""


def played(work: Callable[[], Any], seed: int = 1) -> RunOutcome:
    """Have an agent do something, once."""

    class Doing(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            result = work()
            if asyncio.iscoroutine(result):
                await result
            return self.reply({})

    async def once(system: sim.System) -> None:
        async with system.load("a", rate=0.5):
            await system.storm(seconds=4)

    return run(Scenario(once, SINGLE, sim.Faults(), {"it": Doing}), seed)


REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "thread": (lambda: threading.Thread(target=print).start(), "a thread can't be simulated"),
    "timer": (lambda: threading.Timer(1, print).start(), "a thread can't be simulated"),
    "pool": (lambda: concurrent.futures.ThreadPoolExecutor().submit(print), "a thread"),
    "event": (lambda: threading.Event().wait(0.01), "a wait for a thread can't be simulated"),
    "queue": (lambda: queue.Queue().get(timeout=0.01), "a wait for a thread can't be simulated"),
    "process": (lambda: subprocess.run(["true"], check=True), "a process can't be simulated"),
    "shell": (lambda: os.system("true"), "a process can't be simulated"),
    "fork": (lambda: os.fork(), "a process can't be"),  # noqa: PLW0108 - looked up when called
    "multiprocessing": (
        lambda: multiprocessing.get_context("spawn").Process().start(),
        "a process can't be simulated",
    ),
    "asyncio process": (
        lambda: asyncio.create_subprocess_exec("true"),
        "`loop.subprocess_exec`, which waits in real time, can't be simulated",
    ),
    "connection": (lambda: socket.create_connection(("127.0.0.1", 1)), "a host's name can't be"),
    "asyncio connection": (
        lambda: asyncio.open_connection("localhost", 1),
        "`loop.create_connection`, which waits in real time, can't be simulated",
    ),
    "pair": (lambda: socket.socketpair()[0].recv(1), "a socket can't be simulated"),
    "select": (
        lambda: select.select([], [], [], 0.01),
        "a wait for sockets can't be simulated",
    ),
    "signal": (
        lambda: asyncio.get_running_loop().add_signal_handler(10, print),
        "`loop.add_signal_handler`",
    ),
    "input": (lambda: input("?"), "to read standard input can't be simulated"),
    "stdin": (lambda: sys.stdin.readline(), "to read standard input"),  # noqa: PLW0108 - as above
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("what", REFUSALS)
def test_what_waits_in_real_time_fails_the_run_with_what_to_do_instead(what: str) -> None:
    work, text = REFUSALS[what]
    began = time.monotonic()
    found = dict(played(work).broken)
    assert text in found[REFUSED]
    assert "can't be simulated: " in found[REFUSED]
    assert f"{__file__}:" in found[REFUSED], "the place is named"
    assert time.monotonic() - began < 5.0


def test_a_refusal_that_an_agent_survives_fails_the_run_too() -> None:
    def survived() -> None:
        try:
            subprocess.run(["true"], check=False)
        except RuntimeError:
            return

    assert REFUSED in played(survived).rules


def test_a_test_itself_is_refused_what_waits_in_real_time() -> None:
    async def connects(system: sim.System) -> None:
        await asyncio.open_connection("localhost", 1)

    outcome = run(Scenario(connects, SINGLE, sim.Faults(), {"it": AgentProcess}), 1)
    assert "can't be simulated" in outcome.error


def observed(look: Callable[[], Any], seed: int = 1) -> Any:
    """Return what an agent sees; it sees the same whenever the seed runs."""
    seen: list[list[Any]] = []
    for _ in range(2):
        seen.append([])
        outcome = played(lambda: seen[-1].append(look()), seed)
        assert outcome.summary() == ""
    assert seen[0] == seen[1] != []
    return seen[0][0]


@pytest.mark.parametrize(
    "look",
    [
        lambda: (time.time(), time.time_ns(), time_ns()),
        lambda: (datetime.now(UTC), datetime.now(), datetime.today(), dates.datetime.now(UTC)),
        lambda: (date.today(), dates.date.today(), time.localtime()[:6], time.gmtime()[:6]),
        lambda: (time.monotonic(), monotonic(), time.perf_counter(), time.monotonic_ns()),
    ],
    ids=["time", "datetime", "date", "monotonic"],
)
def test_clocks_are_virtual_under_whatever_name(look: Callable[[], Any]) -> None:
    observed(look)


def test_the_time_of_day_is_the_same_in_every_way_to_ask_for_it() -> None:
    seen = observed(lambda: (time.time(), time_ns() / 1e9, datetime.now(UTC).timestamp()))
    assert seen == pytest.approx([seen[0]] * 3, abs=1e-3)
    assert 0 <= seen[0] - EPOCH < 60


def test_a_date_that_is_made_in_a_simulation_is_one() -> None:
    def look() -> bool:
        made = datetime(2020, 1, 2, tzinfo=UTC)
        return isinstance(made, datetime) and isinstance(made, date) and made < datetime.now(UTC)

    assert observed(look) is True
    assert type(datetime(2020, 1, 2, tzinfo=UTC)) is datetime


@pytest.mark.parametrize(
    "look",
    [
        random.random,
        lambda: random.Random().random(),
        lambda: random.SystemRandom().random(),
        lambda: (secrets.token_hex(), os.urandom(4)),
        uuid.uuid4,
    ],
    ids=["random", "Random", "SystemRandom", "secrets", "uuid"],
)
def test_random_numbers_come_from_the_seed(look: Callable[[], Any]) -> None:
    assert observed(look, 1) != observed(look, 2)


def test_a_sleep_under_whatever_name_takes_no_real_time() -> None:
    began = time.monotonic()
    assert observed(lambda: (sleep(20.0), time.sleep(20.0))) == (None, None)
    assert time.monotonic() - began < 5.0


def test_what_is_done_in_a_thread_takes_virtual_time_and_does_not_hold_up_the_loop() -> None:
    seen: list[tuple[str, float]] = []

    async def look() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        loop.call_later(1.0, lambda: seen.append(("other", loop.time() - began)))
        await asyncio.to_thread(time.sleep, 3.0)
        seen.append(("thread", loop.time() - began))

    assert played(look).summary() == ""
    assert [name for name, _ in seen[:2]] == ["other", "thread"]
    assert [took for _, took in seen[:2]] == pytest.approx([1.0, 3.0], abs=0.1)


def test_after_a_run_everything_is_as_it_was() -> None:
    def now() -> tuple[Any, ...]:
        named = time.time, time.sleep, sleep, threading.Thread.start, datetime, input, sys.stdin
        return *named, set(vars(socket.socket)), random.getstate()

    before = now()
    played(lambda: None)
    assert now() == before
    assert abs(time.time() - EPOCH) > 100
