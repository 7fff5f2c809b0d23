"""Fakes: agents of a harness that stand for others, and answer as the test says."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from civitas._bus.arguments import kind_of
from civitas.errors import ConfigurationError, ErrorAction, UnansweredError, describe
from civitas.messages import Message
from civitas.process import AgentProcess, Deferred
from civitas.testing.agents.findings import Findings
from civitas.transport.tasks import cancel_task, start_task

FakeAnswer: TypeAlias = (
    "Mapping[str, Any] | Callable[[Message], Mapping[str, Any] | None] "
    "| Callable[[Message], Awaitable[Mapping[str, Any] | None]]"
)
"""What a fake answers: a payload, or a function of the message that returns one, may be async.

What the function raises, the asker gets as an AgentError. None is no answer.
"""


class Fake:
    """What one fake is to answer; it outlives the agent objects that do."""

    def __init__(self, name: str, answer: FakeAnswer, findings: Findings) -> None:
        self.name = name
        self._findings = findings
        self.set_answer(answer)

    def set_answer(self, answer: FakeAnswer) -> None:
        """Answer so from now on.

        Raises:
            ConfigurationError: it is neither a mapping nor a function.
        """
        given: object = answer
        if isinstance(given, AgentProcess):
            raise ConfigurationError(
                f"the fake {self.name!r} is an agent: give it to harness(...) beside the others"
            )
        if not isinstance(given, Mapping) and (isinstance(given, type) or not callable(given)):
            raise ConfigurationError(
                f"the fake {self.name!r} is a dict, which is its answer, or a function of a "
                f"message that returns one, not {kind_of(given)}"
            )
        self._answer = answer

    def answer(self, message: Message) -> Any:
        """Return the answer to a message, or an awaitable of it."""
        return self._answer if isinstance(self._answer, Mapping) else self._answer(message)

    def check(self, answer: object) -> Mapping[str, Any] | None:
        """Return an answer if it is one.

        Raises:
            TypeError: it is none.
        """
        if answer is None or isinstance(answer, Mapping):
            return answer
        raise FakeAnswerError(f"it returned {kind_of(answer)}; a fake returns a dict, or None")

    def raised(self, error: BaseException, message: Message) -> None:
        """Take note of what it has raised, unless it is for the asker and nobody else."""
        what = f"the fake {self.name!r} raised on a message {message.type!r}: {describe(error)}"
        if isinstance(error, AssertionError | FakeAnswerError) or not isinstance(error, Exception):
            self._findings.mistake(what, error)
        elif message.reply_to is None:
            self._findings.mistake(f"{what}; nobody has asked, so nobody has got it", error)

    def broken(self, error: BaseException) -> None:
        """Take note that it could not give an answer, such as one that can't be sent."""
        self._findings.mistake(f"the fake {self.name!r} could not answer: {error}", error)


class FakeAnswerError(TypeError):
    """A fake has returned what is no answer."""


class FakeAgent(AgentProcess):
    """An agent that answers as the test says, each message as soon as it comes.

    An async answer is worked out in a task of its own, so it delays no other.
    """

    def __init__(self, name: str, fake: Fake) -> None:
        super().__init__(name, mailbox_size=1_000_000)
        self._fake = fake
        self._answering: set[asyncio.Task[None]] = set()

    async def handle(self, message: Message) -> Message | None:
        """Answer it, now or later."""
        try:
            answer = self._fake.answer(message)
            if not inspect.isawaitable(answer):
                payload = self._fake.check(answer)
                return None if payload is None else self.reply(payload)
        except BaseException as error:
            self._fake.raised(error, message)
            raise
        work = self._answer_later(answer, message, self.defer())
        task = start_task(work, name=f"fake {self.name}", failed=self._failed)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return None

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        """Let the asker have the error."""
        return ErrorAction.SKIP

    async def on_stop(self) -> None:
        """End the answers that nobody will get."""
        for task in list(self._answering):
            cancel_task(task)
        if self._answering:
            await asyncio.wait(self._answering)

    async def _answer_later(
        self, answer: Awaitable[object], message: Message, later: Deferred
    ) -> None:
        try:
            payload = self._fake.check(await answer)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - it is what the asker gets
            self._fake.raised(error, message)
            if not later.done:
                await later.fail(error)
            return
        if later.done:
            return
        if payload is None and message.reply_to is not None:
            why = f"its answer to a message {message.type!r} is None"
            await later.fail(UnansweredError(self.name, why))
        else:
            await later.reply({} if payload is None else payload)

    def _failed(self, error: BaseException) -> None:
        self._fake.broken(error)
