"""Findings: what a test may look at, and what fails it when its block ends."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Final

from civitas.errors import AbortError, TaskFailedError, describe, logger_of
from civitas.messages import Message
from civitas.testing.simulation.errors import refusals


class HarnessError(AssertionError):
    """What a test awaited of its agents has not come, or they have done what no test expects."""


@dataclass(frozen=True, slots=True)
class Crash:
    """One crash of an agent.

    Attributes:
        agent: its name.
        error: what it has raised.
        at: when, in seconds since the beginning of the harness.
    """

    agent: str
    error: BaseException
    at: float

    def __str__(self) -> str:
        return f"agent {self.agent!r} crashed at {self.at:g} s: {describe(self.error)}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that was not delivered.

    Attributes:
        message: the message, or its frame where that could not be read.
        reason: why not.
    """

    message: Message | bytes
    reason: str


class Findings:
    """What has happened in one harness.

    Attributes:
        crashes: all of them, in order.
        dead_letters: all of them, in order.
        busy_at_the_end: agents that had something to do when the block ended.
    """

    def __init__(self) -> None:
        self.crashes: list[Crash] = []
        self.dead_letters: list[DeadLetter] = []
        self.busy_at_the_end: frozenset[str] = frozenset()
        self._expected: set[int] = set()
        """Numbers of crashes that the test knows of."""
        self._mistakes: list[tuple[str, BaseException | None]] = []
        self._refused = len(refusals)

    def crashed(self, agent: str, error: Exception, at: float) -> None:
        """Take note of a crash."""
        raised = error.raised if isinstance(error, AbortError) else error
        if agent in self.busy_at_the_end:  # the test has ended in the middle of its work
            self._expected.add(len(self.crashes))
        self.crashes.append(Crash(agent, raised, at))

    def lost(self, message: Message | bytes, reason: str) -> None:
        """Take note of a dead letter."""
        self.dead_letters.append(DeadLetter(message, reason))

    def mistake(self, text: str, error: BaseException | None = None) -> None:
        """Take note of what is to fail the test."""
        self._mistakes.append((text, error))

    def expect(self, error: type[BaseException], match: str | None, agent: str | None) -> Crash:
        """Return the first crash of this kind that was not expected before.

        Raises:
            HarnessError: there is none.
        """
        for number, crash in enumerate(self.crashes):
            if (
                number not in self._expected
                and (isinstance(crash.error, error) or isinstance(_raised(crash.error), error))
                and (agent is None or crash.agent == agent)
                and (match is None or re.search(match, str(crash.error)))
            ):
                self._expected.add(number)
                return crash
        whose = "no agent has" if agent is None else f"agent {agent!r} has not"
        like = "" if match is None else f" that matches {match!r}"
        others = "".join(f"\n  {each}" for each in self._unexpected()) or " none"
        raise HarnessError(
            f"{whose} crashed with {error.__name__}{like}; other crashes that were not expected:"
            f"{others}"
        )

    def problems(self) -> list[tuple[str, BaseException | None]]:
        """Return what fails the test: each in words, with its cause."""
        found: list[tuple[str, BaseException | None]] = [
            (str(crash), crash.error) for crash in self._unexpected()
        ]
        found += self._mistakes
        found += [(text, None) for text in refusals[self._refused :]]
        return found

    def error(self) -> HarnessError | None:
        """Return the error that fails the test; None if nothing does."""
        found = self.problems()
        if not found:
            return None
        texts = [text for text, _ in found]
        hint = ""
        unexpected = self._unexpected()
        if unexpected:
            kind = type(unexpected[0].error).__name__
            hint = f"\nIf the test means a crash to happen: h.expect_crash({kind})"
        error = HarnessError("\n".join(texts) + hint)
        error.__cause__ = next((cause for _, cause in found if cause is not None), None)
        return error

    def _unexpected(self) -> list[Crash]:
        return [c for number, c in enumerate(self.crashes) if number not in self._expected]


def _raised(error: BaseException) -> BaseException | None:
    """Return what a background task has raised, where that is the crash."""
    return error.__cause__ if isinstance(error, TaskFailedError) else None


class StopErrors(logging.Handler):
    """While it is entered, errors that agents log when they are stopped are findings."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(logging.ERROR)
        self._findings = findings

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of one, unless the test has ended in the middle of that agent's work."""
        about = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if about in self._findings.busy_at_the_end:
            return
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage()
        self._findings.mistake(text if error is None else f"{text}: {describe(error)}", error)

    def __enter__(self) -> None:
        _LOGGER.addHandler(self)

    def __exit__(self, *_: object) -> None:
        _LOGGER.removeHandler(self)


_LOGGER: Final = logger_of("civitas.agent")
