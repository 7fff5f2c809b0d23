"""An order pipeline: a desk takes orders, a cashier charges them, and a shipper ships them.

Where messages are at least once, a process may die at any time: a message that it has not handled
to the end comes again. So each agent keeps a book of its own, and a step whose order is in the book
is not done a second time. Only the message to the next agent is sent again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from civitas import AgentProcess, ErrorAction, Message
from civitas.errors import MessageRoutingError


class Book:
    """The orders that have come so far, in a file: it is there when a process has died.

    Args:
        file: where it is; it is made when it is not there.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.file)) as book, book:
            book.execute("CREATE TABLE IF NOT EXISTS entries (name TEXT UNIQUE, cents INTEGER)")

    def enter(self, order: str, cents: int) -> bool:
        """Enter an order; return whether it is new. One that is there stays as it is."""
        with closing(sqlite3.connect(self.file)) as book, book:
            done = book.execute("INSERT OR IGNORE INTO entries VALUES (?, ?)", (order, cents))
            return done.rowcount == 1

    def orders(self) -> list[tuple[str, int]]:
        """Return all orders, each with its cents, in the order of their coming."""
        with closing(sqlite3.connect(self.file)) as book:
            return book.execute("SELECT name, cents FROM entries ORDER BY rowid").fetchall()


class Desk(AgentProcess):
    """Takes orders, and says how many are done.

    Args:
        name: the agent's name.
        book: the file of the shipped orders.
    """

    def __init__(self, name: str, book: str) -> None:
        super().__init__(name)
        self.file = book

    async def on_start(self) -> None:
        """Open the book."""
        self.book = Book(self.file)

    async def handle(self, message: Message) -> Message | None:
        """Take an order, note that one is shipped, or tell how things stand."""
        if message.type == "shipped":
            self.book.enter(message.payload["order"], message.payload["cents"])
            return None
        if message.type == "status":
            orders = self.book.orders()
            return self.reply({"shipped": len(orders), "cents": sum(cents for _, cents in orders)})
        order = {
            "order": str(message.payload.get("order", message.id)),  # the same when it comes again
            "cents": int(message.payload["cents"]),
        }
        await self.send("cashier", order, "order")
        shipped = order["order"] in dict(self.book.orders())
        return self.reply({"taken": order["order"], "shipped": shipped})

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        """Refuse an order that makes no sense, and one that can't be handed on."""
        if isinstance(error, KeyError | TypeError | ValueError | MessageRoutingError):
            return ErrorAction.SKIP
        return ErrorAction.ESCALATE


class Step(AgentProcess):
    """Does one thing to each order, once, and hands it on.

    Args:
        name: the agent's name.
        book: the file of the orders with which it is done.
        then: the agent that gets them next.
        seconds: how long the step takes.
    """

    said = ""
    """The type of the message to the next agent."""

    def __init__(self, name: str, book: str, then: str, seconds: float = 0.05) -> None:
        super().__init__(name)
        self.file = book
        self.then = then
        self.seconds = seconds

    async def on_start(self) -> None:
        """Open the book."""
        self.book = Book(self.file)

    async def handle(self, message: Message) -> None:
        """Do the step unless the book has it, and hand the order on in any case."""
        order, cents = message.payload["order"], message.payload["cents"]
        await asyncio.sleep(self.seconds)  # the work: no effect before the entry
        if self.book.enter(order, cents):
            print(f"{self.said} {order}", flush=True)
        await self.send(self.then, {"order": order, "cents": cents}, self.said)


class Cashier(Step):
    """Charges orders: the entry in its book is the charge.

    A payment provider keeps such a book itself: give it the order's id as its idempotency key.
    """

    said = "charged"


class Shipper(Step):
    """Ships orders that are charged: the entry in its book is the parcel."""

    said = "shipped"
