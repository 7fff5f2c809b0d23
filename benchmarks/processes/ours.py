"""Ours: agents in two processes (`primary` and `worker`), or all in one (`alone`)."""

from __future__ import annotations

import asyncio
import statistics
import sys
from time import perf_counter
from typing import Any, Final

import zmq

from benchmarks.processes.child import obey
from civitas import AgentProcess, Message, Runtime, Supervisor, Worker, envelope
from civitas.errors import MessageRoutingError

TIMEOUT: Final = 30.0
PAYLOAD: Final = {"n": 1, "text": "hello"}


class Echo(AgentProcess):
    """Answers with what it was asked."""

    async def handle(self, message: Message) -> Message:
        return self.reply(message.payload)


class Sink(AgentProcess):
    """Counts, and tells who asks how many came since it was last asked."""

    count = 0

    async def handle(self, message: Message) -> Message | None:
        if message.reply_to is None:
            self.count += 1
            return None
        count, self.count = self.count, 0
        return self.reply({"count": count})


class Asker(AgentProcess):
    """Asks another agent many times, one after the other."""

    async def handle(self, message: Message) -> Message:
        agent, seconds = message.payload["agent"], []
        for _ in range(message.payload["count"]):
            began = perf_counter()
            await self.ask(agent, PAYLOAD, timeout=TIMEOUT)
            seconds.append(perf_counter() - began)
        return self.reply({"p50": statistics.median(seconds) * 1e6})


class Source(AgentProcess):
    """Sends as fast as `send` returns, then waits until all of it is handled."""

    async def handle(self, message: Message) -> Message:
        count = message.payload["count"]
        began = perf_counter()
        for _ in range(count):
            await self.send("sink", PAYLOAD)
        answer = await self.ask("sink", {}, timeout=TIMEOUT)
        each = (perf_counter() - began) / count * 1e6
        return self.reply({"each": each, "lost": count - answer.payload["count"]})


class Bench:
    """What a parent has a runtime do."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def ask(self, agent: str, count: int) -> float:
        """Ask an agent; return the median in microseconds."""
        answer = await self._runtime.ask("asker", {"agent": agent, "count": count})
        return float(answer.payload["p50"])

    async def stream(self, count: int) -> float:
        """Send to the sink; return the microseconds for each message. None may be lost."""
        answer = await self._runtime.ask("source", {"count": count}, timeout=TIMEOUT)
        if answer.payload["lost"]:
            raise RuntimeError(f"{answer.payload['lost']} messages of {count} were lost")
        return float(answer.payload["each"])

    async def answered(self, agent: str) -> None:
        """Return as soon as an agent that is about to start has answered."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                try:
                    await self._runtime.ask(agent, PAYLOAD)
                except MessageRoutingError:  # the one before it is gone, and it is not there yet
                    await asyncio.sleep(0.001)
                else:
                    return

    async def capture(self, sub_addr: str) -> list[list[str]]:
        """Return topic and frame, in hex, of a question, of its answer, and of a message."""
        with zmq.Context() as context, context.socket(zmq.SUB) as spy:
            spy.connect(sub_addr)
            for topic in ("far\0", "_reply.", "sink\0"):
                spy.subscribe(topic)
            taken: list[list[str]] = []
            while len(taken) < 3:  # until the subscriptions are in place
                taken.clear()
                await self._runtime.ask("far", PAYLOAD)
                await self._runtime.send("sink", PAYLOAD)
                while spy.poll(50):
                    parts = spy.recv_multipart()
                    if envelope.open(parts[1]).kind != envelope.KIND_SYSTEM:
                        taken.append([part.hex() for part in parts])
            await self._runtime.ask("sink", {})
            return taken


async def _primary(transport: str, options: dict[str, Any]) -> None:
    agents = [Asker("asker"), Source("source"), Echo("near")]
    async with Runtime(Supervisor("root", agents), transport=transport, **options) as runtime:
        bench = Bench(runtime)
        await obey(
            {
                "ask": bench.ask,
                "stream": bench.stream,
                "answered": bench.answered,
                "capture": bench.capture,
            }
        )


async def _worker(options: dict[str, Any]) -> None:
    async with Worker([Echo("far"), Sink("sink")], transport="zmq", process="worker", **options):
        await obey({})


def main(role: str, *addresses: str) -> None:
    """Be one of the processes until the parent closes the pipe."""
    options = dict(zip(("zmq_pub_addr", "zmq_sub_addr"), addresses, strict=False))
    if role == "worker":
        asyncio.run(_worker(options))
    else:
        asyncio.run(_primary("zmq" if role == "primary" else "in_process", options))


if __name__ == "__main__":
    main(*sys.argv[1:])
