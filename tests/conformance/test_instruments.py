"""Instruments that are right pass the kit: one that does little, and one that does much."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextvars import ContextVar
from typing import Any

import pytest

from civitas import Message
from civitas.testing import InstrumentConformance

current: ContextVar[str | None] = ContextVar("current", default=None)


class Census:
    """Counts what is sent."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()

    def sending(self, message: Message) -> None:
        self.sent[message.recipient] += 1


class Execution:
    """Sets what a handler's own code sees as the current message."""

    def __init__(self, tracer: Tracer, role: str) -> None:
        self.tracer, self.role = tracer, role

    def __enter__(self) -> None:
        self.token = current.set(self.role)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        current.reset(self.token)
        self.tracer.waiting.append((self.role, "" if error is None else type(error).__name__))


class Tracer:
    """Has all methods, and a task of its own."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[str, str]] = deque(maxlen=100)
        self.task: asyncio.Task[None] | None = None

    async def start(self, node: Any) -> None:
        self.task = asyncio.create_task(self.drain())

    async def drain(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.waiting.clear()

    async def stop(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def sending(self, message: Message) -> None:
        """Look at it."""

    def handling(self, role: str, message: Message) -> Execution:
        return Execution(self, role)

    def dead_letter(self, item: Message | bytes, reason: str) -> None:
        self.waiting.append((reason, ""))

    def crashed(self, agent: str, error: BaseException) -> None:
        self.waiting.append((agent, repr(error)))

    def restarted(self, agent: str) -> None:
        self.waiting.append((agent, ""))


class TestCensus(InstrumentConformance):
    @pytest.fixture
    def make_instrument(self):
        return Census


class TestTracer(InstrumentConformance):
    @pytest.fixture
    def make_instrument(self):
        return Tracer
