"""Topologies of our own simulations: strategies, nested supervisors, two or three workers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

from civitas import AgentProcess, ErrorAction, Message
from civitas.errors import CivitasError
from civitas.process import Retry

STRATEGIES = ("ONE_FOR_ONE", "ONE_FOR_ALL", "REST_FOR_ONE")
FAST = {
    "heartbeat_interval": 0.5,
    "heartbeat_timeout": 0.3,
    "missed_heartbeats_threshold": 3,
}
SEND_TIMEOUT = 1.0
"""Seconds: an agent that sends to one that has gone is to be asked again before a test is over."""

NEXT = {"l": "a", "a": "c", "c": "m"}
"""To whom an agent passes on some of its messages."""


class Worker(AgentProcess):
    """Answers, and passes every third message on."""

    async def handle(self, message: Message) -> Message | None:
        following = NEXT.get(self.name)
        if following is not None and message.payload.get("n", 0) % 3 == 0:
            try:
                await self.send(following, {"n": message.payload["n"], "by": self.name})
            except CivitasError:
                self.state["refused"] = self.state.get("refused", 0) + 1
        return self.reply({"by": self.name})


class Unhurried(Worker):
    """A worker some of whose messages take longer than later ones."""

    async def handle(self, message: Message) -> Message | None:
        await asyncio.sleep(0.01 * (message.payload.get("n", 0) % 4))
        return await super().handle(message)


class Ticking(Worker):
    """A worker with timers and a background task, some of whose messages fail, and are retried."""

    async def on_start(self) -> None:
        self.every(0.25, {}, "tick")
        self.every(1.0, {}, "long tick")
        self.after(random.uniform(0.0, 1.0), {"n": 1}, "later")
        self.background(self.poll())

    async def handle(self, message: Message) -> Message | None:
        if message.type == "later":
            self.after(random.choice((0.0, 0.05, 0.7)), message.payload, "later")
            if random.random() < 0.3:
                self.background(asyncio.sleep(random.uniform(0.0, 2.0)), name="short")
                self.every(0.02, {}, "never").cancel()
        elif message.type == "long tick":
            await asyncio.sleep(random.choice((0.0, 0.01, 0.4)))
        if random.random() < 0.05:
            raise ConnectionError("busy")
        if message.type == "tick":
            return None
        return await super().handle(message)

    async def on_error(self, error: Exception, message: Message) -> ErrorAction | Retry:
        return random.choice(
            (
                ErrorAction.ESCALATE,
                ErrorAction.SKIP,
                ErrorAction.RETRY,
                self.retry(after=random.choice((0.0, 0.05, 0.5))),
            )
        )

    async def poll(self) -> None:
        """Send and ask beside the handlers, as long as this object lives."""
        try:
            while True:
                await asyncio.sleep(random.choice((0.0, 0.1, 0.6)))
                try:
                    await self.send(NEXT.get(self.name, "l"), {"n": 1, "by": "poll"})
                    await self.ask(NEXT.get(self.name, "l"), {"n": 1}, timeout=0.5)
                except (CivitasError, TimeoutError):
                    await asyncio.sleep(0.1)
                if random.random() < 0.02:
                    raise ConnectionError("the other end has closed it")
        finally:
            await asyncio.sleep(random.choice((0.0, 0.05)))


CLASSES = {"worker": Worker, "unhurried": Unhurried, "ticking": Ticking}


def agent(name: str, process: str | None = None) -> dict[str, Any]:
    block: dict[str, Any] = {"name": name, "type": "worker", "shutdown_timeout": 5.0, **FAST}
    if process is not None:
        block["process"] = process
    return {"agent": block}


def policy(numbers: random.Random) -> dict[str, Any]:
    return {
        "max_restarts": numbers.choice((3, 20, 1000)),
        "restart_window": numbers.choice((5.0, 60.0)),
        "backoff": numbers.choice(("CONSTANT", "EXPONENTIAL")),
        "backoff_base": numbers.choice((0.0, 0.05, 0.3)),
        "backoff_max": 2.0,
    }


def hosts(numbers: random.Random) -> dict[str, str]:
    """Return which worker process has which agent."""
    found = {"a": "w1", "b": "w1", "c": "w2", "d": "w3", "e": "w3"}
    if numbers.random() < 0.4:
        del found["d"], found["e"]
    return found


def flat(numbers: random.Random) -> dict[str, Any]:
    """One supervisor over all agents."""
    remote = [agent(name, process) for name, process in hosts(numbers).items()]
    strategy = numbers.choice(STRATEGIES)
    children = [agent("l"), *remote, agent("m")]
    root = {"name": "root", "strategy": strategy, **policy(numbers), "children": children}
    return {"send_timeout": SEND_TIMEOUT, "supervision": root}


def narrow(numbers: random.Random) -> dict[str, Any]:
    """One supervisor over agents whose mailboxes take less than what may be on its way to them."""
    topology = flat(numbers)
    for child in topology["supervision"]["children"]:
        child["agent"]["mailbox_size"] = numbers.choice((1, 3, 1000))
    return topology


def concurrent(numbers: random.Random) -> dict[str, Any]:
    """One supervisor over agents that have several messages in hand at once."""
    topology = flat(numbers)
    for child in topology["supervision"]["children"]:
        child["agent"]["type"] = "unhurried"
        child["agent"]["concurrency"] = numbers.choice((1, 2, 5))
    return topology


def ticking(
    plain: Callable[[random.Random], dict[str, Any]],
) -> Callable[[random.Random], dict[str, Any]]:
    """Return what makes a topology of agents with timers, background tasks and retries."""

    def topology(numbers: random.Random) -> dict[str, Any]:
        made = plain(numbers)
        made["supervision"]["max_restarts"] = 1000  # they crash often
        for block in _agents(made["supervision"]):
            block["type"] = "ticking"
            block["concurrency"] = numbers.choice((1, 1, 3))
            block["max_retries"] = numbers.choice((0, 1, 3))
            block["retry_delay"] = numbers.choice((0.0, 0.05, 0.5))
            block["retry_backoff"] = numbers.choice(("CONSTANT", "LINEAR", "EXPONENTIAL"))
        return made

    return topology


def _agents(supervisor: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for child in supervisor["children"]:
        if "agent" in child:
            yield child["agent"]
        else:
            child["supervisor"]["max_restarts"] = 1000
            yield from _agents(child["supervisor"])


def nested(numbers: random.Random) -> dict[str, Any]:
    """Two supervisors below the root, the agents of each worker divided between them."""
    settings = policy(numbers)
    groups: list[dict[str, Any]] = [
        {"name": name, "strategy": numbers.choice(STRATEGIES), **settings, "children": [agent(own)]}
        for name, own in (("one", "l"), ("two", "m"))
    ]
    for index, (name, process) in enumerate(hosts(numbers).items()):
        groups[index % 2]["children"].append(agent(name, process))
    children = [{"supervisor": group} for group in groups]
    root = {"name": "root", **policy(numbers), "children": children}
    return {"send_timeout": SEND_TIMEOUT, "supervision": root}
