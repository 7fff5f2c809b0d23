"""Crashes: the last crash of each agent that a node has heard of, with its text and its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from civitas import _platform as platform
from civitas.errors import NodeLostError, RemoteCrashError, describe, printable

_MOST: Final = 200
"""Agents whose last crash is kept, at most: those that have crashed last."""

_LONGEST: Final = 1_000
"""Bytes of a text at most."""


@dataclass(frozen=True, slots=True)
class CrashStats:
    """The last crash of an agent.

    Attributes:
        agent: its name.
        text: type and text of the error.
        seconds: how long ago that was.
    """

    agent: str
    text: str
    seconds: float


class _Crash(NamedTuple):
    text: str
    at: float


class Crashes:
    """The last crash of each agent, of this node or of others; it may be read in any thread."""

    def __init__(self) -> None:
        self._crashes: dict[str, _Crash] = {}

    def add(self, agent: str, error: Exception) -> None:
        """Take note that an agent has crashed."""
        self._crashes.pop(agent, None)
        self._crashes[agent] = _Crash(crash_text(error, _LONGEST), platform.monotonic())
        if len(self._crashes) > _MOST:
            del self._crashes[next(iter(self._crashes))]

    def stats(self) -> tuple[CrashStats, ...]:
        """Return them, the latest last."""
        now = platform.monotonic()
        return tuple(
            CrashStats(agent, crash.text, max(now - crash.at, 0.0))
            for agent, crash in self._crashes.copy().items()
        )


def crash_text(error: Exception, limit: int) -> str:
    """Return type and text of a crash in at most so many bytes."""
    told = isinstance(error, RemoteCrashError | NodeLostError)  # its text has all of it
    return printable(describe(error).text if told else str(describe(error)), limit)
