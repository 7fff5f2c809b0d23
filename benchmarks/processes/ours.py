"""Ours: agents in two processes (`primary` and `worker`), or all in one (`alone`)."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import Any

import zmq

from benchmarks.child import obey
from benchmarks.crew import PAYLOAD, Asker, Bench, Echo, Sink, Source
from civitas import Runtime, Supervisor, Worker, envelope


async def capture(runtime: Runtime, sub_addr: str) -> list[tuple[str, str]]:
    """Return topic and frame (in hex) of a question, of its answer, and of a message."""
    with zmq.Context() as context, context.socket(zmq.SUB) as spy:
        spy.connect(sub_addr)
        for topic in ("far\0", "_reply.", "sink\0"):
            spy.subscribe(topic)
        taken: list[tuple[str, str]] = []
        while len(taken) < 3:  # until the subscriptions are in place
            taken.clear()
            await runtime.ask("far", PAYLOAD)
            await runtime.send("sink", PAYLOAD)
            while spy.poll(50):
                address, frame = spy.recv_multipart()
                if envelope.open(frame).kind != envelope.KIND_SYSTEM:
                    taken.append((address.decode(), frame.hex()))
        await runtime.ask("sink", {})
        return taken


async def _primary(transport: str, options: dict[str, Any]) -> None:
    agents = [Asker("asker"), Source("source"), Echo("near")]
    async with Runtime(Supervisor("root", agents), transport=transport, **options) as runtime:
        await obey({**Bench(runtime).commands, "capture": partial(capture, runtime)})


async def _worker(options: dict[str, Any]) -> None:
    async with Worker([Echo("far"), Sink("sink")], transport="zmq", process="worker", **options):
        await obey({})


def main(role: str, *addresses: str) -> None:
    """Be one of the processes until the parent closes the pipe."""
    keys = ("zmq_pub_addr", "zmq_sub_addr", "signed_frames")
    options = dict(zip(keys, addresses, strict=False))
    if "signed_frames" in options:
        options["cluster_key"] = "the-key-of-a-benchmark"
    if role == "worker":
        asyncio.run(_worker(options))
    else:
        asyncio.run(_primary("zmq" if role == "primary" else "in_process", options))


if __name__ == "__main__":
    main(*sys.argv[1:])
