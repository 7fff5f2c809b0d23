"""The pipeline under faults: each question is answered within its budget, though calls hang."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents import BusyError, Model, Planner, Worker
from civitas import AgentProcess, CivitasError, Message
from civitas.errors import AgentError
from civitas.testing import harness
from civitas.testing import simulation as sim

BUDGET = 150
PARTS = {"tea", "coffee", "a secret"}


class Customer(AgentProcess):
    """Asks a question, and checks what is promised of each answer."""

    async def handle(self, message: Message) -> None:
        """Ask once; while processes die, an error is an answer, too."""
        question = {"question": " and ".join(sorted(PARTS))}
        try:
            answer = (await self.ask("planner", question, timeout=300.0)).payload
        except CivitasError:
            return
        written = {part for part in PARTS if f"all about {part}." in answer["answer"]}
        assert written | set(answer["left_out"]) == PARTS
        assert "a secret" not in written
        assert answer["tokens"] <= BUDGET


def with_customer(_numbers: random.Random) -> dict[str, Any]:
    """Return the topology with a customer, a small budget, and a client with more faults."""
    topology: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("topology.yaml").read_text())
    tree = topology["supervision"]
    service, *_workers, planner = tree["children"]
    planner["agent"]["config"]["budget"] = BUDGET
    (model,) = service["supervisor"]["children"]
    model["agent"]["config"]["faults"] = 0.1
    service["supervisor"]["max_restarts"] = tree["max_restarts"] = 100
    tree["children"].append({"agent": {"name": "customer", "type": "customer", "concurrency": 8}})
    return topology


# --8<-- [start:faults]
def each_answer_keeps_what_is_promised(system: sim.System) -> Iterator[str]:
    """Look for errors of the customer."""
    for each in system.history.handlings:
        if each.agent == "customer" and each.outcome in {"AssertionError", "TimeoutError"}:
            yield f"question {each.message.payload['n']}: {each.outcome}"


@sim.test(
    topology=with_customer,
    agent_classes={"customer": Customer},
    seeds=10,
    faults=sim.Faults(crash=True, kill=True, stop=True, partition=True, pause=True),
    invariants=[each_answer_keeps_what_is_promised],
)
async def test_questions_are_answered_within_their_budget(system: sim.System) -> None:
    """Ask while the model hangs, agents crash, and processes die and come back."""
    async with system.load("customer", rate=0.5, senders=["supervisor"]):
        await system.storm(seconds=30)
    await system.calm(within=300)
    before = len(system.history.answered("planner"))
    async with system.load("customer", rate=0.5, senders=["supervisor"]):
        await asyncio.sleep(30)
    await system.calm(within=300)
    assert len(system.history.answered("planner")) - before >= 5


# --8<-- [end:faults]


async def test_calls_keep_the_rate() -> None:
    """Ask six times at once: with two calls a second the last one begins after three."""
    async with harness(Model("model", rate=2.0, faults=0.0)) as h:
        await asyncio.gather(*(h.ask("model", {"prompt": "write: tea"}) for _ in range(6)))
        assert 3.0 < h.now < 3.6


async def test_a_busy_vendor_is_asked_again_after_a_while() -> None:
    """Let the vendor be busy once."""
    async with harness(Model("model", faults=0.0)) as h:
        complete = h.agent.client.complete

        async def busy_once(prompt: str) -> dict[str, Any]:
            h.agent.client.complete = complete  # type: ignore[method-assign]
            raise BusyError(prompt)

        h.agent.client.complete = busy_once  # type: ignore[method-assign]
        answer = await h.ask("model", {"prompt": "write: tea"})
        assert answer.payload["text"] == "This is all about tea."
        assert h.now > 2.0


async def test_a_client_that_hangs_is_made_anew_and_the_prompt_is_completed() -> None:
    """Let the connection be dead: the model crashes, and its asker asks the fresh one."""
    async with harness(Worker("worker"), Model("model", faults=0.0)) as h:
        hanging = h.agents["model"]
        assert isinstance(hanging, Model)
        hanging.client.hangs = True
        answer = await h.ask("worker", {"prompt": "write: tea"})
        assert answer.payload["text"] == "This is all about tea."
        assert h.agents["model"] is not hanging
        h.expect_crash(TimeoutError)


async def test_a_budget_is_kept_and_a_refused_part_is_left_out() -> None:
    """Let each call cost 30 tokens: with 100 there are a plan, a text and its judgement."""

    def dear(message: Message) -> dict[str, Any]:
        task, _, text = message.payload["prompt"].partition(": ")
        return {
            "text": text.replace(" and ", "\n") if task == "plan" else f"A {text}.",
            "tokens": 30,
        }

    workers = {"worker": dear, "critic": dear}
    async with harness(Planner("planner", ["worker"], budget=100), fakes=workers) as h:
        answer = await h.ask("planner", {"question": "tea and coffee"})
        assert answer.payload == {"answer": "A tea.", "left_out": ["coffee"], "tokens": 90}
        with pytest.raises(AgentError, match="question"):
            await h.ask("planner", {})
