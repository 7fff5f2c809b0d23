"""Code as users write it; `mypy --strict` has nothing to say about it (test_typing)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from msgspec import Struct
from pydantic import BaseModel

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor, message, on
from civitas.client import Client
from civitas.worker import Worker


class Question(TypedDict):
    """A payload with a fixed form."""

    text: str
    tags: list[str]


class Answering(AgentProcess):
    """Overrides every hook, with the types of the base."""

    state: dict[str, int]

    def __init__(self, name: str, limit: float = 5.0, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.limit = limit
        self.state = {}

    async def on_start(self) -> None:
        self.state["started"] = 1

    async def handle(self, message: Message) -> Message:
        question: Question = {"text": message.payload["text"], "tags": []}
        shared: Mapping[str, object] = {"seen": 1}
        await self.send("log", question)
        await self.send("log", shared, message_type="shared")
        await self.broadcast("log_*", question)
        answer = await self.ask("oracle", question, timeout=self.limit)
        text: str = answer.payload["text"]
        return self.reply(Question(text=text, tags=[]))

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        return ErrorAction.SKIP

    async def on_stop(self) -> None:
        self.state.clear()
        await self.stop()


class Silent(AgentProcess):
    """Answers nothing, and keeps what it likes where it likes."""

    state = "idle"
    connect: int = 3

    async def handle(self, message: Message) -> None:
        self.state = message.type
        self.stop()

    def configure(self, path: str) -> list[str]:
        return [path]


class Derived(AgentProcess):
    """Has its state as a property."""

    @property
    def state(self) -> frozenset[str]:
        return frozenset({self.name})


@dataclass
class Field(AgentProcess):
    """Has its state as a field."""

    label: str
    state: int = 0

    def __post_init__(self) -> None:
        super().__init__(self.label)


class Slotted(AgentProcess):
    """Has its state in a slot."""

    __slots__ = ("state",)
    state: bytes


class Ordinary(AgentProcess):
    """Uses the state as it comes."""

    async def handle(self, message: Message) -> Message | None:
        self.state["count"] = self.state.get("count", 0) + 1
        self.state = {"count": 0}
        return None


async def main(worker: Worker, question: Question, shared: Mapping[str, object]) -> str:
    """Talk to agents from outside."""
    agents = [Answering("a", mailbox_size=5), Silent("b"), Derived("c"), Field("d")]
    async with Runtime(Supervisor("root", agents)) as runtime:
        for node in (runtime, worker):
            await node.send("a", question)
            await node.broadcast("*", shared)
            answer = await node.ask("a", question, timeout=None)
        return answer.sender


@message("book.v1")
@dataclass(frozen=True, kw_only=True)
class Book:
    """What a customer wants."""

    cents: int


class Receipt(BaseModel):
    """What a customer gets."""

    cents: int


class Cancel(Struct):
    """What a customer no longer wants."""

    number: int


class Cashier(AgentProcess):
    """Handles messages by their classes, and answers with models of all shapes."""

    @on(Book)
    async def book(self, book: Book, message: Message) -> Receipt | Message:
        await self.broadcast("log_*", book)
        receipt = await self.ask("till", book, reply=Receipt)
        return receipt if receipt.cents else self.reply(Receipt(cents=0))

    @on(Cancel)
    async def cancel(self, cancel: Cancel, message: Message) -> None:
        later = self.defer()
        await later.reply(Receipt(cents=cancel.number))

    @on(Question)
    async def answer(self, question: Question, message: Message) -> Question:
        other = await self.ask("oracle", question, "Question", 5.0, reply=Question)
        return Question(text=other["text"], tags=question["tags"])

    async def on_unhandled(self, message: Message) -> Message | None:
        return self.reply({}) if message.reply_to else None


async def customer(worker: Worker, runtime: Runtime, client: Client) -> int:
    """Ask for an object of a class, or for the message."""
    cents = 0
    for node in (runtime, worker, client):
        await node.send("cashier", Cancel(number=1))
        receipt = await node.ask("cashier", Book(cents=250), timeout=5.0, reply=Receipt)
        answer = await node.ask("cashier", Book(cents=250))
        cents += receipt.cents + len(answer.payload)
    return cents
