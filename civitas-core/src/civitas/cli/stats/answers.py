"""Answers: what nodes tell of themselves and of others, as values of known types. No I/O.

An answer comes from another process, perhaps of another version. What it lacks, or has with another
type, is the default here; what it has besides is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

_CENTURIES: Final = 1e10
"""Seconds that nothing has lasted: such a number is none."""


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """What a node tells of an agent of its own, or its supervisor of one elsewhere.

    The fields are those of `AgentStats` and `RemoteAgentStats`; `since` is None where a node does
    not tell it.
    """

    name: str = ""
    process: str = ""
    status: str = ""
    state: str = ""
    since: float | None = None
    restart_in: float | None = None
    failure: str = ""
    stuck: float = 0.0
    mailbox_depth: int = 0
    handled: int = 0
    errors: int = 0
    restarts: int = 0
    busy: float = 0.0
    in_hand: str = ""
    in_hand_id: str = ""
    in_hand_for: float | None = None
    in_hand_count: int = 0
    concurrency: int = 1
    retries: int = 0
    timers: int = 0
    ticks: int = 0
    ticks_swallowed: int = 0
    background_tasks: int = 0

    @property
    def word(self) -> str:
        """Its state; a node of an earlier version tells its status alone."""
        words = {"INITIALIZING": "starting", "STOPPED": "done"}
        return self.state or words.get(self.status, self.status.lower())


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What a node tells of another one, which is there."""

    process: str = ""
    node: str = ""
    role: str = ""
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GoneAnswer:
    """What a node tells of another one, which has gone."""

    process: str = ""
    died: bool = False
    reason: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True)
class CrashAnswer:
    """What a node tells of the last crash of an agent; `seconds` is how long ago that was."""

    agent: str = ""
    text: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node tells; with an `error` it has told nothing."""

    process: str = ""
    node: str = ""
    role: str = ""
    error: str = ""
    state: str = "running"
    stalled: float = 0.0
    sent: int = 0
    delivered: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    silent: dict[str, float] = field(default_factory=dict)
    instruments: dict[str, dict[str, int]] = field(default_factory=dict)
    agents: tuple[AgentAnswer, ...] = ()
    elsewhere: tuple[AgentAnswer, ...] = ()
    peers: tuple[PeerAnswer, ...] = ()
    gone: tuple[GoneAnswer, ...] = ()
    crashes: tuple[CrashAnswer, ...] = ()

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> NodeAnswer:
        """Read what a node, or the client in its stead, has told."""
        return _read(cls, told)


T = TypeVar("T", NodeAnswer, AgentAnswer, PeerAnswer, GoneAnswer, CrashAnswer)


def _read(kind: type[T], told: Mapping[str, Any]) -> T:
    known: dict[str, Any] = {}
    for each in fields(kind):
        value = _value(str(each.type), told.get(each.name))
        if value is not None:
            known[each.name] = value
    return kind(**known)


def _value(hint: str, value: Any) -> Any:
    """Return a value that has the type of a field; None for another one."""
    if hint in _RECORDS:
        return tuple(_read(_RECORDS[hint], each) for each in _listed(value) if _is_map(each))
    match hint:
        case "str" | "bool" | "int":
            return value if type(value).__name__ == hint else None
        case "float" | "float | None":
            return _seconds(value)
        case "tuple[str, ...]":
            return tuple(each for each in _listed(value) if isinstance(each, str))
        case "dict[str, int]":
            return _numbers(value, int)
        case "dict[str, float]":
            return _numbers(value, float)
        case "dict[str, dict[str, int]]":
            items = value.items() if _is_map(value) else ()
            return {str(key): _numbers(counts, int) for key, counts in items}
    raise TypeError(f"no field has the type {hint}")


_RECORDS: Final[Mapping[str, Any]] = {
    "tuple[AgentAnswer, ...]": AgentAnswer,
    "tuple[CrashAnswer, ...]": CrashAnswer,
    "tuple[PeerAnswer, ...]": PeerAnswer,
    "tuple[GoneAnswer, ...]": GoneAnswer,
}


def _seconds(value: Any) -> float | None:
    is_number = type(value) in {int, float} and 0 <= value < _CENTURIES
    return float(value) if is_number else None


def _numbers(value: Any, kind: type) -> dict[str, Any]:
    items = value.items() if _is_map(value) else ()
    return {str(key): number for key, number in items if type(number) is kind}


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else ()


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)
