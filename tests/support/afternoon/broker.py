"""Broker: the exchange of the local bus, at a port of the loopback interface.

python -m support.afternoon.broker PORT
"""

from __future__ import annotations

import asyncio
import sys

from support.local_bus.broker import OUTGOING_LIMIT, Connection, Exchange


async def _serve(port: int) -> None:
    exchange = Exchange(OUTGOING_LIMIT)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(exchange), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
