"""A program that makes a client and a worker, forks, and reports what its children come to.

    python -m support.forking made TRANSPORT       makes them, and each child starts them
    python -m support.forking started TRANSPORT    starts the client, and each child uses it

TRANSPORT is the block of a topology, as JSON. Each child prints a line of JSON, then the parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from civitas import CivitasError, Worker
from civitas.client import Client

CHILDREN: Final = 3
ASKS: Final = 20
_PATIENCE: Final = 120
"""Seconds after which a process of this program ends by itself, whatever it is at."""


def main(mode: str, transport: dict[str, Any]) -> None:
    signal.alarm(_PATIENCE)
    client = Client(transport=transport)
    if mode == "made":
        _ended(_forked(client, Worker([], transport=transport)))
        return
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.start())
    _ended([_fork(lambda: _refused(client))])
    answer = loop.run_until_complete(client.ask("echo", {"n": 7}))
    loop.run_until_complete(client.stop())
    loop.close()
    _report(answer=answer.payload["n"])


def _forked(client: Client, worker: Worker) -> list[int]:
    """Fork children, and let them go on together when all have started."""
    started, gate = os.pipe(), os.pipe()

    async def together() -> None:
        os.write(started[1], b".")
        os.close(started[1])
        await asyncio.to_thread(os.read, gate[0], 1)

    def child(number: int) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            os.close(gate[1])
            await _ask(client, worker, number, together)

        return work

    pids = [_fork(child(number)) for number in range(CHILDREN)]
    os.close(started[1])
    while os.read(started[0], 1):
        pass
    os.close(gate[1])
    return pids


def _fork(work: Callable[[], Awaitable[None]]) -> int:
    pid = os.fork()
    if not pid:
        signal.alarm(_PATIENCE)
        try:
            asyncio.run(work())  # type: ignore[arg-type]
        finally:
            os._exit(0)
    return pid


def _ended(pids: list[int]) -> None:
    for pid in pids:
        os.waitpid(pid, 0)


async def _ask(
    client: Client, worker: Worker, child: int, together: Callable[[], Awaitable[None]]
) -> None:
    wrong, errors = 0, []
    async with client, worker:
        await together()
        for number in range(ASKS):
            try:
                answer = await client.ask("echo", {"n": [child, number]}, timeout=30.0)
                wrong += answer.payload["n"] != [child, number]
            except (CivitasError, TimeoutError) as error:
                errors.append(str(error))
        nodes = [each.components.origin.node.hex() for each in (client, worker)]
        names = [worker.process, answer.payload["sender"]]
    _report(wrong=wrong, errors=errors, nodes=nodes, names=names)


async def _refused(client: Client) -> None:
    verbs: dict[str, Callable[[], Awaitable[Any]]] = {
        "start": client.start,
        "send": lambda: client.send("echo", {}),
        "ask": lambda: client.ask("echo", {}),
        "broadcast": lambda: client.broadcast("*", {}),
        "delivered": lambda: client.delivered("echo", 1.0),
        "stats": client.stats,
        "stop": client.stop,
        "leaving": lambda: client.__aexit__(None, None, None),
        "used again": Client(components=client.components).start,
    }
    told = {}
    for name, verb in verbs.items():
        try:
            await verb()
        except CivitasError as error:
            told[name] = f"{error.code}: {error}"
    _report(told=told, verbs=list(verbs))


def _report(**values: Any) -> None:
    os.write(1, json.dumps(values).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
