"""What a proxy does on a system that lacks what Linux has; run in a process of its own."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

from support.zmq import Process, frame_of, options_for, started, within
from support.zmtp import RawPeer, message

MEBIBYTE = 1 << 20
_HAS_COUNTERS = sys.platform == "linux" and hasattr(socket, "TCP_INFO")


async def scenario(addresses: dict[str, str]) -> None:
    """Forward, close who sends what is no subscription, and don't limit what waits."""
    options = options_for(max_queue_bytes=MEBIBYTE, **addresses)
    first, second = Process(options, primary=True), Process(options)
    [inbox] = await first.listen("agent")
    async with started(first, second):
        with RawPeer(options.sub_addr, alive=True) as slow, RawPeer(options.sub_addr) as hostile:
            slow.send(message(b"\1agent"))
            hostile.send(message(b"\1agent"), message(b"\2neither"))
            frame = frame_of(bytes(MEBIBYTE // 10))
            for number in range(1, 100):
                await second.transport.publish("agent", frame)
                await inbox.first(number)
            await within(asyncio.to_thread(until_closed, hostile))
            if not addresses and not _HAS_COUNTERS:
                assert not slow.is_closed()
    assert [*first.failures, *second.failures, *first.drops, *second.drops] == []


def until_closed(peer: RawPeer) -> None:
    """Read until the proxy has closed a connection."""
    while not peer.is_closed():
        pass


def main() -> None:
    """Run it at `tcp://`, or with files in a folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    files = {"pub_addr": f"ipc://{folder}/pub", "sub_addr": f"ipc://{folder}/sub"}
    asyncio.run(scenario(files if folder else {}))
