"""Memory: what a system that has nothing to do keeps of the messages it had. On every transport."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from civitas import AgentProcess, Message
from support.agents import until

SIZE = 900_000
"""Bytes of a payload: more than a system allocates for other reasons."""


class Echo(AgentProcess):
    """Answers with what it was sent, and keeps nothing."""

    async def handle(self, message: Message) -> Message | None:
        return self.reply(message.payload) if message.reply_to else None


def kept() -> int:
    """Return how many payloads are in memory that were allocated since the tracing began."""
    gc.collect()
    return round(tracemalloc.get_traced_memory()[0] / SIZE)


async def nothing_is_kept() -> None:
    """Wait until no payload is in memory."""
    try:
        await until(lambda: not kept())
    except TimeoutError:
        largest = tracemalloc.take_snapshot().statistics("traceback")[: kept()]
        places = "\n\n".join("\n".join(each.traceback.format()[-8:]) for each in largest)
        raise AssertionError(
            f"{kept()} payloads are kept, that were allocated at\n{places}"
        ) from None


async def ask(system: Any, agent: str, data: bytes) -> None:
    await system.ask(agent, {"data": data})


async def send(system: Any, agent: str, data: bytes) -> None:
    await system.send(agent, {"data": data})
    await system.ask(agent, {"n": 1})


@pytest.mark.parametrize("work", [ask, send])
async def test_an_idle_system_keeps_no_message(system: Any, work: Any) -> None:
    data = bytes(SIZE)
    async with system(Echo("a"), Echo("b")) as s:
        await work(s, "a", data)  # a buffer that packs the next ones stays
        await work(s, "b", data)
        tracemalloc.start(12)
        try:
            await work(s, "a", data)
            await work(s, "b", data)
            await nothing_is_kept()
        finally:
            tracemalloc.stop()
