"""A pipeline of language models: a planner, workers, a critic, and one agent that calls the model.

That agent is a service. It alone has the client, so it alone keeps the rate limit, waits while the
vendor is busy, and is restarted with a fresh client when a call hangs. The planner keeps the budget
of each question. `FakeModel` stands for a vendor: put the client of yours in its place.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from itertools import cycle
from typing import Any

from civitas import AgentProcess, CivitasError, ErrorAction, Message
from civitas.process import Retry

MOST = 40
"""Tokens that one call may cost."""


class BusyError(Exception):
    """The vendor takes no call now."""


class GivenUpError(Exception):
    """A prompt is not completed: the budget is spent, or nobody answers."""


class FakeModel:
    """A slow client. Of its calls, `faults` find a busy vendor, and as many a dead connection."""

    def __init__(self, faults: float) -> None:
        self.faults, self.hangs = faults, False

    async def complete(self, prompt: str) -> dict[str, Any]:
        """Return the text for a prompt, empty where the model refuses, and what it has cost."""
        chance = random.random()
        if chance < self.faults:
            raise BusyError("too many requests")
        self.hangs |= chance > 1 - self.faults
        if self.hangs:  # and so does each later call of this client
            await asyncio.Event().wait()
        await asyncio.sleep(random.uniform(0.1, 0.5))
        task, _, text = prompt.partition(": ")
        answers = {
            "plan": "\n".join(text.split(" and ")),
            "write": "" if "secret" in text else f"This is all about {text}.",
            "judge": random.choice(["good", "good", "good", "bad"]),
        }
        return {"text": answers[task], "tokens": len(f"{prompt} {answers[task]}".split())}


class Model(AgentProcess):
    """Calls the model for all others, at most `rate` times a second."""

    def __init__(self, name: str, rate: float = 10.0, faults: float = 0.05) -> None:
        super().__init__(name, concurrency=8, handle_timeout=5.0, shutdown_timeout=1.0)
        self.interval, self.faults = 1 / rate, faults

    async def on_start(self) -> None:
        """Make a fresh client. The last one may have called just now."""
        self.client = FakeModel(self.faults)
        self.next = asyncio.get_running_loop().time() + self.interval

    async def handle(self, message: Message) -> Message:
        """Wait for a turn, and call the model."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self.next)
        self.next = turn + self.interval
        await asyncio.sleep(turn - now)
        return self.reply(await self.client.complete(message.payload["prompt"]))

    async def on_error(self, error: Exception, message: Message) -> ErrorAction | Retry:
        """Wait for a busy vendor. A call that hangs is a TimeoutError: only a restart helps."""
        return self.retry(after=2.0) if isinstance(error, BusyError) else ErrorAction.ESCALATE


class Worker(AgentProcess):
    """Has prompts completed for others, again when the model has failed. So does the critic."""

    def __init__(self, name: str) -> None:
        super().__init__(name, concurrency=4, max_retries=5)

    async def handle(self, message: Message) -> Message:
        """Ask the model."""
        return self.reply((await self.ask("model", message.payload, timeout=20.0)).payload)

    async def on_error(self, error: Exception, message: Message) -> ErrorAction | Retry:
        """Ask again, later each time: the model is restarted meanwhile."""
        again = isinstance(error, CivitasError | TimeoutError)
        return self.retry(after=1.0 + message.attempt) if again else ErrorAction.ESCALATE


class Planner(AgentProcess):
    """Has a question divided, and each part written and judged.

    Args:
        name: the agent's name.
        workers: names of the agents that plan and write.
        budget: tokens for one question.
        rounds: how often a part is written when the critic is not content.
    """

    def __init__(self, name: str, workers: list[str], budget: int = 800, rounds: int = 3) -> None:
        super().__init__(name, concurrency=4)
        self.workers, self.budget, self.rounds = cycle(workers), budget, rounds

    async def handle(self, message: Message) -> Message:
        """Answer a question. Parts that are refused, or cost too much, are left out."""
        left = [self.budget]
        plan = await self.complete(left, f"plan: {message.payload['question']}")
        parts = plan["text"].splitlines()
        texts = await asyncio.gather(*(self.write(left, part) for part in parts))
        left_out = [part for part, text in zip(parts, texts, strict=True) if not text]
        answer = {"answer": " ".join(filter(None, texts)), "left_out": left_out}
        return self.reply({**answer, "tokens": self.budget - left[0]})

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        """Give up a question for which there is not even a plan, or that is none."""
        known = isinstance(error, GivenUpError | KeyError)
        return ErrorAction.SKIP if known else ErrorAction.ESCALATE

    async def write(self, left: list[int], part: str) -> str:
        """Return the best text for a part that there are tokens for; empty for none."""
        text = ""
        with suppress(GivenUpError):
            for _round in range(self.rounds):
                text = (await self.complete(left, f"write: {part}"))["text"] or text
                if not text:  # refused
                    break
                if (await self.complete(left, f"judge: {text}", "critic"))["text"] == "good":
                    break
        return text

    async def complete(self, left: list[int], prompt: str, agent: str = "") -> dict[str, Any]:
        """Have a prompt completed, by another worker when one has failed."""
        if left[0] < MOST:
            raise GivenUpError("the budget is spent")
        left[0] -= MOST  # others ask meanwhile
        for _try in range(3):
            with suppress(CivitasError, TimeoutError):
                asked = agent or next(self.workers)
                answer = await self.ask(asked, {"prompt": prompt}, timeout=60.0)
                left[0] += MOST - int(answer.payload["tokens"])
                return answer.payload
            await asyncio.sleep(2.0)
        raise GivenUpError(f"nobody answers: {prompt}")
