"""Agents of ours, and the very same program for the published `civitas`: it has the same API.

Roles: `alone` has all agents in one process; `primary` and `worker` are two processes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from importlib.metadata import version
from time import perf_counter
from typing import Any

from benchmarks.child import obey
from benchmarks.peers.work import PAYLOAD, TIMEOUT, check_none_lost
from benchmarks.timing import timed
from civitas import AgentProcess, Message, Runtime, Supervisor, Worker

COUNT = "count"
"""Type of the message that asks the sink how many came."""


class Echo(AgentProcess):
    """Answers with what it was asked."""

    async def handle(self, message: Message) -> Message:
        return self.reply(message.payload)


class Asker(AgentProcess):
    """Asks the echo many times, one after the other."""

    async def handle(self, message: Message) -> Message:
        async def ask() -> None:
            await self.ask("echo", PAYLOAD, timeout=TIMEOUT)

        return self.reply(await timed(message.payload["count"], ask))


class Sink(AgentProcess):
    """Counts, and tells who asks how many came since it was last asked."""

    async def on_start(self) -> None:
        self.count = 0

    async def handle(self, message: Message) -> Message | None:
        if message.type != COUNT:
            self.count += 1
            return None
        count, self.count = self.count, 0
        return self.reply({"count": count})


class Source(AgentProcess):
    """Sends to the sink as fast as it can, and waits until all of it is handled."""

    async def handle(self, message: Message) -> Message:
        count = message.payload["count"]
        began = perf_counter()
        for _ in range(count):
            await self.send("sink", PAYLOAD)
        answer = await self.ask("sink", {}, message_type=COUNT, timeout=TIMEOUT)
        each = (perf_counter() - began) / count * 1e6
        check_none_lost(count, answer.payload["count"])
        return self.reply({"each": each})


async def _run(role: str, options: dict[str, Any]) -> None:
    name = "civitas-core" if options.pop("ours") else "civitas"
    facts = {"version": version(name)}
    if role == "worker":
        worker = Worker(agents=[Echo("echo")], **options)
        await worker.start()
        try:
            await obey({}, facts)
        finally:
            await worker.stop()
        return
    near = [Echo("echo"), Sink("sink"), Source("source")] if role == "alone" else []
    runtime = Runtime(supervisor=Supervisor("root", children=[Asker("asker"), *near]), **options)
    await runtime.start()

    async def command(agent: str, count: int) -> Any:
        return (await runtime.ask(agent, {"count": count}, timeout=TIMEOUT)).payload

    async def ready() -> None:
        async with asyncio.timeout(TIMEOUT):
            while True:
                with suppress(Exception):
                    await runtime.ask("echo", PAYLOAD, timeout=0.2)
                    return
                await asyncio.sleep(0.05)

    try:
        await obey(
            {
                "ready": ready,
                "ask": lambda count: command("asker", count),
                "one_way": lambda count: command("source", count),
            },
            facts,
        )
    finally:
        await runtime.stop()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], json.loads(sys.argv[2])))
