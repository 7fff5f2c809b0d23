"""Signals: what nodes tell each other on their system addresses, and the bytes for it.

A message travels as a frame of kind 2 whose body is a msgpack array: the message's name and the map
of its fields. What does not fit a message's fields raises DeserializationError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Final, TypeAlias

import msgpack

from civitas import envelope
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import DeserializationError, FrameError
from civitas.messages import RESERVED_PREFIX, name_problem

EVERYONE: Final = f"{RESERVED_PREFIX}nodes"
"""Address at which every node listens."""

_FORMAT: Final = "msgpack"


def control_address(node: str) -> str:
    """Return the address of one node's control plane."""
    return f"{RESERVED_PREFIX}node.{node}"


def data_address(node: str) -> str:
    """Return the address at which a node listens on its data transport."""
    return f"{RESERVED_PREFIX}data.{node}"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a node tells of itself.

    Attributes:
        node: its id in hex.
        generation: a later start has a greater one.
        process: its process name.
        role: primary, worker or client.
        agents: status and incarnation (how often it was started) of each of its agents.
        settled: whether it has found the others; until then its names are only claimed.
        leaving: whether it stops, and takes no new messages.
    """

    node: str
    generation: int
    process: str
    role: str
    agents: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    settled: bool = False
    leaving: bool = False

    @property
    def key(self) -> bytes:
        """The 12 bytes that this node's frames have for node id and generation."""
        return bytes.fromhex(self.node) + self.generation.to_bytes(4, "big")

    def __str__(self) -> str:
        """Return how messages call the node."""
        return f"process {self.process!r} (node {self.node[:8]})"


@dataclass(frozen=True, slots=True)
class Hello:
    """To everyone: here I am. `clock` is the sender's, in epoch seconds."""

    info: NodeInfo
    clock: float


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to a hello: who I am and whom I know. `echo` is the clock of the hello."""

    info: NodeInfo
    echo: float
    clock: float
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admitted:
    """My route to you is proved: my agents can reach yours."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Your name, or that of one of your agents, is taken."""

    info: NodeInfo
    reason: str


@dataclass(frozen=True, slots=True)
class Fenced:
    """You were superseded: your frames are refused everywhere."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? `patience` is how long this primary stays silent at most, in seconds."""

    sequence: int
    patience: float


@dataclass(frozen=True, slots=True)
class Pong:
    """I am. `stalled` tells for how many seconds the node's event loop has been blocked."""

    sequence: int
    agents: Mapping[str, tuple[str, int]]
    stalled: float


@dataclass(frozen=True, slots=True)
class Changed:
    """To everyone: what I told of myself has changed."""

    info: NodeInfo


@dataclass(frozen=True, slots=True)
class Left:
    """To everyone: a node has gone: by itself, or (then it is fenced) declared dead."""

    node: str
    generation: int
    reason: str
    fenced: bool


@dataclass(frozen=True, slots=True)
class Crashed:
    """To the primary: an agent of mine has crashed.

    Attributes:
        agent: its name.
        incarnation: how often it had been started.
        error_type: class name of its error.
        error_text: text of its error.
        redelivered: whether the transport had given the message before on which it crashed.
    """

    agent: str
    incarnation: int
    error_type: str
    error_text: str
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """From the primary: `restart` or `stop` an agent."""

    number: int
    verb: str
    agent: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command; `error` is empty when it was carried out."""

    number: int
    error: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Query:
    """Tell me your counters."""

    number: int


@dataclass(frozen=True, slots=True)
class Counters:
    """The answer to a query."""

    number: int
    counters: Mapping[str, Any]


ControlMessage: TypeAlias = (
    Hello
    | Welcome
    | Admitted
    | Refused
    | Fenced
    | Ping
    | Pong
    | Changed
    | Left
    | Crashed
    | Command
    | Result
    | Query
    | Counters
)

_KINDS: Final[Mapping[str, Callable[..., ControlMessage]]] = {
    kind.__name__: kind
    for kind in (
        Hello,
        Welcome,
        Admitted,
        Refused,
        Fenced,
        Ping,
        Pong,
        Changed,
        Left,
        Crashed,
        Command,
        Result,
        Query,
        Counters,
    )
}


def encode(message: ControlMessage, origin: Origin) -> bytes:
    """Make the frame of a signal."""
    fields_of = asdict(message)
    body = msgpack.packb([type(message).__name__, fields_of], unicode_errors="backslashreplace")
    return envelope.seal(body, _FORMAT, origin, kind=KIND_SYSTEM)


def decode(frame: bytes) -> tuple[Origin, ControlMessage]:
    """Return who sent a message, and the signal.

    Raises:
        FrameError: the bytes are no system frame.
        DeserializationError: its body is no signal.
    """
    opened = envelope.open(frame)
    if opened.kind != KIND_SYSTEM or opened.serializer != _FORMAT:
        raise FrameError("only frames of kind 2 in msgpack belong on a system address")
    try:
        name, values = msgpack.unpackb(opened.body)
        message = _KINDS[name](**_fitting(name, values))
    except Exception as error:
        raise DeserializationError(f"no message: {type(error).__name__}: {error}") from error
    return Origin(opened.node, opened.generation), message


def _fitting(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Check a message's fields against the types that the message declares.

    A field with a default may be missing: an older node does not know it.
    """
    kind: Any = _KINDS[name]
    return {
        each.name: _READERS[each.type](values[each.name])
        for each in fields(kind)
        if each.name in values or each.default is MISSING
    }


def _read_info(value: Any) -> NodeInfo:
    info = NodeInfo(
        **{each.name: _READERS[each.type](value[each.name]) for each in fields(NodeInfo)}
    )
    if len(info.node) != 16 or len(info.key) != 12:
        raise ValueError(f"{info.node!r} is no node id")
    return info


def _read_agents(value: Any) -> dict[str, tuple[str, int]]:
    for name in value:
        problem = name_problem(name)
        if problem is not None:
            raise ValueError(f"{name!r:.80} can't be an agent's name: {problem}")
    return {name: (_text(state), _whole(count)) for name, (state, count) in value.items()}


def _of(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{value!r:.80} is not {kind.__name__}")
        return value

    return read


_text: Final = _of(str)
_whole: Final = _of(int)


def _number(value: Any) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):
        raise TypeError(f"{value!r:.80} is no number")
    return float(value)


_READERS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    "NodeInfo": _read_info,
    "Mapping[str, tuple[str, int]]": _read_agents,
    "Mapping[str, Any]": _of(dict),
    "bool": _of(bool),
    "float": _number,
    "int": _whole,
    "str": _text,
    "tuple[str, ...]": lambda value: tuple(map(_text, value)),
}
