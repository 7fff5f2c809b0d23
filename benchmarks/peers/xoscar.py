"""xoscar in one process (`alone`), and between two that its pool starts (`apart`).

An ask is a call of an actor's method; one way is `tell`. Apart, the asker is in the first process
of the pool and the echo in the second; they are connected as xoscar does it by default.
"""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.metadata import version
from time import perf_counter
from typing import Any

import xoscar as xo
from xoscar.backends.allocate_strategy import ProcessIndex
from xoscar.backends.router import Router

from benchmarks.child import obey
from benchmarks.peers.work import PAYLOAD, TIMEOUT, check_none_lost
from benchmarks.timing import timed


class Echo(xo.Actor):
    """Answers with what it was asked."""

    async def echo(self, payload: dict[str, Any]) -> dict[str, Any]:
        return payload

    async def process(self) -> int:
        return os.getpid()


class Asker(xo.Actor):
    """Asks the echo many times, one after the other."""

    def __init__(self, echo: Any) -> None:
        super().__init__()
        self._echo = echo

    async def ask(self, count: int) -> dict[str, float]:
        return await timed(count, lambda: self._echo.echo(PAYLOAD))

    async def way(self) -> dict[str, Any]:
        """Say by what channel the echo is reached, and in which process and event loop this is."""
        address = Router.get_instance().get_internal_address(self._echo.address)
        return {
            "scheme": (address or "tcp:").partition(":")[0],
            "processes": [os.getpid(), await self._echo.process()],
            "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
        }


class Sink(xo.Actor):
    """Counts."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    async def take(self, payload: dict[str, Any]) -> None:
        self._count += 1

    async def taken(self) -> int:
        return self._count

    async def begin(self) -> None:
        self._count = 0


class Source(xo.Actor):
    """Sends to the sink as fast as it can, and waits until all of it is handled."""

    def __init__(self, sink: Any) -> None:
        super().__init__()
        self._sink = sink

    async def one_way(self, count: int) -> dict[str, float]:
        await self._sink.begin()
        began = perf_counter()
        for _ in range(count):
            await self._sink.take.tell(PAYLOAD)
        async with asyncio.timeout(TIMEOUT):
            while (taken := await self._sink.taken()) < count:
                pass
        each = (perf_counter() - began) / count * 1e6
        check_none_lost(count, taken)
        return {"each": each}


def _note(way: dict[str, Any], apart: bool) -> str:
    """Describe the way from the asker to the echo.

    Raises:
        RuntimeError: it does not cross processes where it is to.
    """
    if not apart:
        return f"by its {way['scheme']} channel, in {way['loop']}"
    if len({os.getpid(), *way["processes"]}) != 3:
        raise RuntimeError(f"these are not two processes of a pool: {way['processes']}")
    return f"two processes of its pool, directly, by its {way['scheme']} channel, in {way['loop']}"


async def _main(role: str) -> None:
    apart = role == "apart"
    pool = await xo.create_actor_pool("127.0.0.1:0", n_process=2 if apart else 0)
    address = pool.external_address

    def at(index: int) -> dict[str, Any]:
        return {"allocate_strategy": ProcessIndex(index)} if apart else {}

    async with pool:
        echo = await xo.create_actor(Echo, address=address, **at(2))
        asker = await xo.create_actor(Asker, echo, address=address, **at(1))
        sink = await xo.create_actor(Sink, address=address, **at(2))
        source = await xo.create_actor(Source, sink, address=address, **at(1))
        await asker.ask(10)
        facts = {"version": version("xoscar"), "note": _note(await asker.way(), apart)}
        await obey({"ask": asker.ask, "one_way": source.one_way}, facts)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
