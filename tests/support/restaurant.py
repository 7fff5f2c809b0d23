"""Restaurant: the system of the pages on brokers, whose logins have permissions of their own.

The primary `restaurant` hosts `front` and `till`, the worker `kitchen` hosts `oven` and `fridge`,
and a client asks as `guest`. `front` asks `fridge` and `oven`, which asks `till`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Self, TypeAlias

from civitas import AgentProcess, Message, Runtime, Supervisor, Worker
from civitas.client import Client
from civitas.errors import CivitasError

_MANY: Final = 300
"""Messages, which are more than a window (256) has room for: they need credit."""

_ASK: Final = 5.0
"""Seconds for the questions of agents."""

_PAUSE: Final = 0.05

Options: TypeAlias = Callable[[str], dict[str, Any]]
"""Returns the options of the transport for a login."""


class Front(AgentProcess):
    """Passes on to the oven what a guest wants; told to burn, each agent fails, once."""

    async def handle(self, message: Message) -> Message | None:
        if message.type == "burn":
            await self.send("oven", {}, "burn")
            await self.send("fridge", {}, "burn")
            raise ValueError("burnt")
        if message.type == "many":
            for _ in range(_MANY):
                await self.send("oven", {}, "many")
        if message.type != "bake":
            return None
        await self.ask("fridge", {}, timeout=_ASK)
        return self.reply((await self.ask("oven", {}, "bake", timeout=_ASK)).payload)


class Oven(AgentProcess):
    """Asks the till."""

    async def handle(self, message: Message) -> Message | None:
        if message.type == "burn":
            await self.send("till", {}, "burn")
            raise ValueError("burnt")
        if message.type == "many":
            await self.send("till", {}, "many")
            return None
        return self.reply((await self.ask("till", {}, timeout=_ASK)).payload)


class Counter(AgentProcess):
    """Counts what it is sent."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.count = 0

    async def handle(self, message: Message) -> Message | None:
        if message.type == "burn":
            raise ValueError("burnt")
        self.count += 1
        return self.reply({"count": self.count})


class Restaurant:
    """The three nodes, as `async with Restaurant(...) as restaurant`.

    Attributes:
        primary: the node of `restaurant`.
        kitchen: the worker.
        guest: the client.

    Args:
        options: the options of the transport for each login.
        limit: seconds for each step; a system on loopback takes hundredths of one.
    """

    def __init__(self, options: Options, limit: float) -> None:
        root = Supervisor(
            "root", [Front("front"), Counter("till")], backoff_base=0.01, max_restarts=9
        )
        for name in ("oven", "fridge"):
            root.add_remote_child(name)
        self._options = options
        self._limit = limit
        self.primary = Runtime(root, **options("restaurant"))
        self.kitchen = self._new_kitchen()
        self.guest = Client(connect_timeout=limit, **options("guest"))

    async def __aenter__(self) -> Self:
        try:
            for node in (self.kitchen, self.primary, self.guest):
                await self.within(node.start())
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in (self.guest, self.kitchen, self.primary):
            await node.stop()

    async def order(self) -> None:
        """See that a guest's question is answered soon, which needs all agents."""
        async with asyncio.timeout(self._limit):
            while True:
                with suppress(CivitasError):  # while a part of it is restarted
                    await self.guest.ask("front", {}, "bake", timeout=self._limit)
                    return
                await asyncio.sleep(_PAUSE)

    async def change_kitchens(self) -> None:
        """Stop the worker, see that the others hear of it, and start another one."""
        await self.kitchen.stop()
        await self.until(lambda: "kitchen" not in self.guest.nodes().values())
        self.kitchen = self._new_kitchen()
        await self.within(self.kitchen.start())

    async def within(self, work: Awaitable[object]) -> None:
        """Await something for a step's time."""
        async with asyncio.timeout(self._limit):
            await work

    async def until(self, look: Callable[[], bool]) -> None:
        """Look until what is seen is so, for a step's time."""
        async with asyncio.timeout(self._limit):
            while not look():
                await asyncio.sleep(_PAUSE)

    def _new_kitchen(self) -> Worker:
        agents = [Oven("oven"), Counter("fridge")]
        return Worker(agents, process="kitchen", **self._options("kitchen"))


async def see_it_work(
    options: Options, limit: float, settled: Callable[[], bool] = lambda: True
) -> None:
    """See that all works that a system does: raises AssertionError, CivitasError or TimeoutError.

    Args:
        options: the options of the transport for each login.
        limit: seconds for each step.
        settled: whether what is kept elsewhere is as it should be after each agent has failed.
    """
    async with Restaurant(options, limit) as restaurant:
        primary, guest = restaurant.primary, restaurant.guest
        await restaurant.order()
        for _ in range(_MANY):
            await restaurant.within(guest.send("front", {}))
        await guest.send("front", {}, "many")
        await restaurant.order()
        await guest.send("front", {}, "burn")
        await restaurant.order()
        await restaurant.until(settled)
        assert not [each for each in await guest.stats(limit) if "error" in each]
        await restaurant.change_kitchens()
        await restaurant.order()
        await guest.stop()
        await restaurant.until(lambda: len(primary.stats().peers) == 1)
        await primary.stop()
        await restaurant.until(lambda: not restaurant.kitchen.stats().peers)
