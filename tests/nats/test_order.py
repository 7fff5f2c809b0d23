"""Frames of many senders in one process keep the order in which they were published."""

from __future__ import annotations

import asyncio
import itertools

from support.nats.nodes import Node, frame_of, until

LARGE = "." * 200_000
SENDERS = 30
FRAMES_OF_EACH = 6


async def test_nobody_overtakes_a_sender_that_waits_for_the_socket(server) -> None:
    numbers = itertools.count()
    arrived: list[int] = []

    async def take(frame: bytes) -> None:
        arrived.append(int(frame.rpartition(b" ")[2]))

    async with Node(server.url) as far, Node(server.url) as near:
        await far.transport.subscribe("far", take)
        await far.transport.wait_ready()

        async def send() -> None:
            for _ in range(FRAMES_OF_EACH):
                await near.transport.publish("far", frame_of(f"{LARGE} {next(numbers)}"))

        await asyncio.gather(*(send() for _ in range(SENDERS)))
        await until(lambda: len(arrived), lambda count: count == SENDERS * FRAMES_OF_EACH)
    assert arrived == sorted(arrived)
