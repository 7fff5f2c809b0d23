"""Two machines with a cable between them: agents on both, and a cable that is pulled."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, Running
from support.machines import Machine, NotPossibleHereError, two_machines
from support.nats.server import NatsServer

pytestmark = pytest.mark.slow

EXAMPLE = "examples.distributed"
TOPOLOGY = {
    "supervision": {
        "name": "shop",
        "children": [
            {"agent": {"name": "desk", "type": f"{EXAMPLE}.Desk"}},
            {
                "agent": {
                    "name": "press",
                    "type": f"{EXAMPLE}.Press",
                    "process": "worker",
                    "heartbeat_interval": 1.0,
                    "heartbeat_timeout": 1.0,
                }
            },
        ],
    },
}
ROOT = Path(__file__).parents[2]


class Shop:
    """The example with its desk on one machine and its press on another.

    Args:
        folder: where the topology is.
        options: those of the transport.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self._file = folder / "topology.yaml"
        block = {"type": "nats", "ping_interval": 0.3, **options}
        self._file.write_text(json.dumps({"transport": block, **TOPOLOGY}))
        self._running: list[Running] = []

    def run(self, machine: Machine, *arguments: str) -> Running:
        """Run a process of it on a machine; return when it runs."""
        running = self._start(machine, "run", *arguments)
        running.until("running: ")
        return running

    def ask(self, machine: Machine, **payload: str) -> dict[str, Any]:
        """Ask the desk from a machine."""
        running = self._start(machine, "ask", "desk", json.dumps(payload))
        assert running.wait() == 0, running.err
        answer: dict[str, Any] = json.loads("".join(running.out))
        return answer

    def asked_until(self, machine: Machine, *words: str) -> None:
        """Ask the desk from a machine until these words are printed."""
        printed = ""
        while not all(word in printed for word in words):
            printed = "".join(self.ask(machine)["printed"])

    def close(self) -> None:
        """Kill what is left of it."""
        for running in self._running:
            running.close()

    def _start(self, machine: Machine, verb: str, *arguments: str) -> Running:
        program, *begin = machine.command(str(COMMAND), verb, *arguments)
        places = [f"--topology={self._file}"] + [f"--app-dir={ROOT}"] * (verb == "run")
        running = Running([*begin, *places], ROOT, dict(os.environ), Path(program))
        self._running.append(running)
        return running


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    with ExitStack() as stack:
        try:
            both = stack.enter_context(two_machines())
        except NotPossibleHereError as error:
            pytest.skip(str(error))
        yield both


@pytest.mark.parametrize("jetstream", [False, True], ids=["core", "jetstream"])
def test_agents_on_two_machines_work_together_also_after_the_cable_was_pulled(
    tmp_path: Path, machines: tuple[Machine, Machine], jetstream: bool
) -> None:
    here, there = machines
    wanted = ["one", "two", "three"] if jetstream else ["one", "three"]
    with NatsServer(tmp_path / "server", machine=here, jetstream=True) as server:
        shop = Shop(tmp_path, servers=server.url, jetstream=jetstream)
        try:
            worker = shop.run(there, "--process=worker")
            primary = shop.run(here)
            primary.until("process 'worker'")
            shop.ask(here, print="one")
            shop.asked_until(there, "one")
            there.cut()
            worker.until("the connection to the servers is lost")
            primary.until("has gone: ")
            if jetstream:
                shop.ask(here, print="two")  # kept until there is a press again
            there.mend()
            assert worker.wait() == 1  # it was taken for dead, and hears of it
            shop.run(there, "--process=worker")
            primary.wait_for(lambda: primary.count("joined: press") > 1, "the press")
            shop.ask(here, print="three")
            shop.asked_until(here, *wanted)
        finally:
            shop.close()
