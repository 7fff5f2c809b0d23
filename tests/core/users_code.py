"""Code as users write it; `mypy --strict` has nothing to say about it (test_typing)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor
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
