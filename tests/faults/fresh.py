"""Run as a program: fresh nodes, each of which has itself sent a message as soon as it is ready.

Arguments: the options of the transport as JSON, the console's port, and the agents' names. They
end when the standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from civitas import Worker
from crew import Subject


async def have_sent(port: int, name: str) -> None:
    """Have the console of another process send the agent a message."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    order = {"verb": "send", "to": name, "payload": {"note": name}, "timeout": 30.0}
    writer.write(json.dumps(order).encode() + b"\n")
    told = json.loads(await reader.readline())
    writer.close()
    sys.stdout.write(f"{name} {told.get('error', 'sent')}\n")
    sys.stdout.flush()


async def live(transport: dict[str, Any], port: int, name: str, told: asyncio.Event) -> None:
    """Be a node, from its start to its stop."""
    async with Worker([Subject(name)], transport=transport):
        await have_sent(port, name)
        await told.wait()


async def main() -> None:
    """Be all the nodes."""
    transport, port, *names = sys.argv[1:]
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, told.set)
    await asyncio.gather(*(live(json.loads(transport), int(port), name, told) for name in names))
    loop.remove_reader(sys.stdin)


asyncio.run(main())
