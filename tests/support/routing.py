"""Builders for tests of routes: waiting tasks, a route whose window is full, a table."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from civitas._bus.routes import RemoteRoute
from civitas._bus.routing_table import RoutingTable
from civitas._bus.windows import WINDOW
from civitas.registry import LocalRegistry

LONG = 30.0
SHORT = 0.01


async def turns(count: int = 5) -> None:
    """Let every task that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def started(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start something and return when it waits."""
    task = asyncio.create_task(work)
    await turns()
    return task


async def used_up(windowed: bool = True) -> RemoteRoute:
    """Return a route whose window is full."""
    route = RemoteRoute("agent", "01" * 8, "worker", windowed=windowed)
    for number in range(1, WINDOW + 1):
        assert await route.number(LONG) == number
    return route


def table(*, durable: bool = False) -> RoutingTable:
    return RoutingTable(LocalRegistry(), durable=durable)


def there(routes: RoutingTable, name: str) -> RemoteRoute:
    route = routes.get(name)
    assert route is not None
    return route


async def ask(route: RemoteRoute, answer: asyncio.Future[str]) -> str:
    with route.requesting():
        return await answer
