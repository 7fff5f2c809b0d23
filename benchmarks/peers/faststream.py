"""FastStream on NATS, between two processes: `client` asks by requests, `server` answers them."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from faststream.nats import NatsBroker

from benchmarks.child import obey
from benchmarks.peers.work import PAYLOAD, TIMEOUT
from benchmarks.timing import timed

SUBJECT = "faststream.echo"


async def _server(broker: NatsBroker) -> None:
    @broker.subscriber(SUBJECT)
    async def echo(payload: dict[str, Any]) -> dict[str, Any]:
        return payload

    async with broker:
        await broker.start()
        await obey({})


async def _client(broker: NatsBroker) -> None:
    async def ask() -> None:
        answer = await broker.request(PAYLOAD, SUBJECT, timeout=TIMEOUT)
        await answer.decode()

    async def ready() -> None:
        async with asyncio.timeout(TIMEOUT):
            while True:
                with suppress(Exception):
                    return await ask()
                await asyncio.sleep(0.05)

    async with broker:
        facts = {"version": version("faststream"), "note": "core NATS, JSON"}
        await obey({"ready": ready, "ask": lambda count: timed(count, ask)}, facts)


async def _main(role: str, url: str) -> None:
    broker = NatsBroker(url, logger=None)
    await (_server if role == "server" else _client)(broker)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
