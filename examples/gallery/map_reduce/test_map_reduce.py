"""Map-reduce under faults: each question has the right answer, whoever has died meanwhile."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents import Mapper, Reducer
from civitas import AgentProcess, Message
from civitas.errors import AgentError
from civitas.testing import harness
from civitas.testing import simulation as sim

HERE = Path(__file__).parent
LOGS = str(HERE / "logs")
ERRORS = {
    file.name: Counter(re.findall(" ERROR (.*)", file.read_text()))
    for file in (HERE / "logs").iterdir()
}
ALL_ERRORS = sum(ERRORS.values(), Counter[str]())


class Customer(AgentProcess):
    """Asks for the errors again and again; a late or a wrong answer is an error of its own."""

    async def handle(self, message: Message) -> None:
        """Ask once. The reducer itself may crash: then the answer is an error, at once."""
        try:
            answer = await self.ask("reducer", {"folder": LOGS}, timeout=60.0)
        except AgentError:
            return
        read = (found for name, found in ERRORS.items() if name not in answer.payload["failed"])
        assert answer.payload["errors"] == sum(read, Counter[str]())


def with_customer(_numbers: random.Random) -> dict[str, Any]:
    """Return the topology with one agent more, in a process that has no faults of its own."""
    topology: dict[str, Any] = yaml.safe_load((HERE / "topology.yaml").read_text())
    tree = topology["supervision"]
    tree["max_restarts"] = 100  # a storm is worse than a bad day
    tree["children"].append({"agent": {"name": "customer", "type": "customer"}})
    for child in tree["children"][1:5]:
        child["agent"] |= {"heartbeat_interval": 1.0, "heartbeat_timeout": 0.5}
    return topology


# --8<-- [start:faults]
def every_answer_is_right_and_in_time(system: sim.System) -> Iterator[str]:
    """Look for errors of the customer."""
    for each in system.history.handlings:
        if each.agent == "customer" and each.outcome in {"AssertionError", "TimeoutError"}:
            yield f"the answer to question {each.message.payload['n']} is wrong, or too late"


@sim.test(
    topology=with_customer,
    agent_classes={"customer": Customer},
    seeds=20,
    faults=sim.Faults(
        crash=True, kill=True, stop=True, partition=True, pause=True, slow_handle=True
    ),
    invariants=[every_answer_is_right_and_in_time],
)
async def test_a_question_is_answered_whoever_dies_meanwhile(system: sim.System) -> None:
    """Ask while mappers crash, and their processes die and come back."""
    async with system.load("customer", rate=2, senders=["supervisor"]):
        await system.storm(seconds=20)
    await system.calm(within=120)
    assert len(system.history.answered("reducer")) >= 10


# --8<-- [end:faults]


async def test_a_file_is_handed_out_again_when_its_mapper_fails() -> None:
    """Let one of two mappers fail each time: the other one has to read all files."""

    def failing(message: Message) -> dict[str, int]:
        raise OSError(f"no disk for {message.payload['file']}")

    async with harness(
        Reducer("reducer", ["good", "bad"]), Mapper("good"), fakes={"bad": failing}
    ) as h:
        answer = await h.ask("reducer", {"folder": LOGS})
        assert answer.payload == {"files": 8, "errors": ALL_ERRORS, "failed": {}}
        assert h.sent("bad")


async def test_a_file_that_no_mapper_can_read_is_named_in_the_answer(tmp_path: Path) -> None:
    """Give the reducer a file that is gone when it is read."""
    (tmp_path / "gone.log").symlink_to(tmp_path / "nowhere")
    reducer = Reducer("reducer", ["mapper"], tries=3)
    async with harness(reducer, Mapper("mapper")) as h:
        answer = await h.ask("reducer", {"folder": str(tmp_path)})
        assert list(answer.payload["failed"]) == ["gone.log"]


async def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    """Ask about an empty folder, and then about another one."""
    async with harness(Reducer("reducer", ["mapper"]), Mapper("mapper")) as h:
        with pytest.raises(AgentError, match="no logs"):
            await h.ask("reducer", {"folder": str(tmp_path)})
        assert (await h.ask("reducer", {"folder": LOGS})).payload["files"] == 8
