"""Ours: agents in two processes (`primary` and `worker`), on core NATS or on JetStream.

A third one (`passing`) hosts an agent that is away as soon as it ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from typing import Any

import nats

from benchmarks.child import obey
from benchmarks.crew import PAYLOAD, TIMEOUT, Asker, Bench, Echo, Sender, Sink, Source
from civitas import AgentProcess, Runtime, Supervisor, Worker, envelope


async def capture(runtime: Runtime, url: str, prefix: str) -> list[tuple[str, str]]:
    """Return subject and frame (in hex) of a question, of its answer, and of a message."""
    client = await nats.connect(url)
    try:
        spied = await client.subscribe(f"{prefix}.>")
        probe = f"{prefix}._probe.spy"
        await client.publish(probe)  # a flush would prove nothing: its PING overtakes
        while (await spied.next_msg(TIMEOUT)).subject != probe:
            pass
        taken: list[tuple[str, str]] = []
        await runtime.ask("far", PAYLOAD)
        await runtime.send("sink", PAYLOAD)
        while len(taken) < 3:
            message = await spied.next_msg(TIMEOUT)
            if envelope.open(message.data).kind != envelope.KIND_SYSTEM:
                taken.append((message.subject, message.data.hex()))
    finally:
        await client.close()
    await runtime.ask("sink", {})
    return taken


async def _primary(options: dict[str, Any]) -> None:
    agents = Supervisor("root", [Asker("asker"), Sender("sender"), Source("source")])
    async with Runtime(agents, transport="nats", **options) as runtime:
        spy = partial(capture, runtime, options["nats_servers"], options["nats_subject_prefix"])
        await obey({**Bench(runtime).commands, "capture": spy})


async def _host(process: str, agents: list[AgentProcess], options: dict[str, Any]) -> None:
    async with Worker(agents, transport="nats", process=process, **options):
        await obey({})


def main(role: str, settings: str) -> None:
    """Be one of the processes until the parent closes the pipe."""
    options = json.loads(settings)
    if role == "primary":
        asyncio.run(_primary(options))
    elif role == "worker":
        asyncio.run(_host(role, [Echo("far"), Sink("sink")], options))
    else:
        asyncio.run(_host(role, [Echo("away")], options))


if __name__ == "__main__":
    main(*sys.argv[1:])
