"""Protocol: what nodes say to each other, typed, and the one codec that makes and checks the bytes.

A message travels as a frame of kind 2 whose body is a msgpack array: the message's name and the map
of its fields. What does not fit the types of its fields raises DeserializationError. An unknown
field is passed over, and one with a default may be missing, so that nodes of neighbouring versions
understand each other.

Two groups of messages travel by two transports of a node: control messages by that of the control
plane, about who belongs to the system; data messages by that of the agents' messages, about the
routes that these take. A group is taken at its own addresses only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from typing import Any, Final, TypeAlias, get_args, get_type_hints

import msgpack

from civitas import envelope
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import DeserializationError, FrameError, describe
from civitas.messages import RESERVED_PREFIX, name_problem

EVERYONE: Final = f"{RESERVED_PREFIX}nodes"
"""Address at which every node listens."""

LARGEST_FRAME: Final = 1024 * 1024
"""Bytes of a system frame at most; what is larger travels in pieces."""

_FORMAT: Final = "msgpack"

AgentStates: TypeAlias = Mapping[str, tuple[str, int]]
"""Status and incarnation (how often it was started) of each agent, by name."""


def control_address(node: str) -> str:
    """Return the address of one node's control plane."""
    return f"{RESERVED_PREFIX}node.{node}"


def data_address(node: str) -> str:
    """Return the address at which a node listens on its data transport."""
    return f"{RESERVED_PREFIX}data.{node}"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a node announces of itself. `node` is its id in hex; `role` primary, worker or client.

    A later start has a greater `generation`. `settled`: it has found the others; until then its
    names are only claimed. `leaving`: it stops, and takes no new messages. `revision` grows by one
    with each change. A node never loses an agent; `agents` are all, or those that have changed.
    """

    node: str
    generation: int
    process: str
    role: str
    agents: AgentStates = field(default_factory=dict)
    settled: bool = False
    leaving: bool = False
    revision: int = 0

    @property
    def header(self) -> NodeInfo:
        """All but the agents."""
        return replace(self, agents={})

    @property
    def key(self) -> bytes:
        """The 12 bytes that this node's frames have for node id and generation."""
        return bytes.fromhex(self.node) + self.generation.to_bytes(4, "big")

    def __str__(self) -> str:
        """Return how logs and errors name the node."""
        return f"process {self.process!r} (node {self.node[:8]})"


# --- control messages -----------------------------------------------------------------------------


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
    """My route to you is proved: my agents can reach yours.

    `done`, of the primary: agents of yours that have said in another node that they are done, so
    they are not to be started.
    """

    done: tuple[str, ...] = ()


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
    """Are you there? `patience` is how long this primary stays silent at most, in seconds.

    `offset` is by how many seconds your clock is ahead of mine, where that was measured.
    """

    sequence: int
    patience: float
    offset: float | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """I am. `stalled` is for how many seconds the node's event loop has been blocked.

    `agents` are those whose state it has not announced. `clock` is the node's, in epoch seconds;
    None of one that does not say.
    """

    sequence: int
    agents: AgentStates
    stalled: float
    clock: float | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """To everyone, or to who has missed it: what has changed of me since a revision of mine.

    A beacon is one in which nothing has changed: it says that I am there, and at which revision.
    """

    info: NodeInfo
    since: int = 0


@dataclass(frozen=True, slots=True)
class Missed:
    """I know you as you were at a revision, and have missed something: what has changed since?"""

    since: int


@dataclass(frozen=True, slots=True)
class Left:
    """To everyone: a node has gone: by itself, or (then it is fenced) declared dead."""

    node: str
    generation: int
    reason: str
    fenced: bool


@dataclass(frozen=True, slots=True)
class Crashed:
    """To the primary: an agent of mine has crashed. `incarnation`: how often it had been started.

    `redelivered`: the transport had given the message before on which it crashed.
    """

    agent: str
    incarnation: int
    error_type: str
    error_text: str
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """From the primary: `start`, `stop` or `finish` an agent; or `supervise` it yourself.

    `incarnation` is the last one that the primary knows of. It is to be stopped, or followed by a
    new one; where there is a later one already, nothing is to be done. An agent that is to be
    finished was done before, in another node. One that no tree names is the node's to supervise.
    """

    number: int
    verb: str
    agent: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command: how the agent is now.

    `status` is empty when the command was not carried out; `error` says why, or why it crashed.
    """

    number: int
    error: str
    status: str = ""
    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """What are your counters?"""

    number: int


@dataclass(frozen=True, slots=True)
class Counters:
    """The answer to a query."""

    number: int
    counters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the frame of a message that is larger than a frame may be; see `pieces`."""

    number: int
    index: int
    count: int
    data: bytes


_Belonging: TypeAlias = Hello | Welcome | Admitted | Refused | Fenced | Changed | Missed | Left
_Watching: TypeAlias = Ping | Pong | Crashed
_Calling: TypeAlias = Command | Result | Query | Counters
ControlMessage: TypeAlias = _Belonging | _Watching | _Calling | Piece


# --- data messages --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Probe:
    """Answer by this way. `fresh`: whether the numbers of my frames to your agents begin anew.

    `last`: the probe follows my last frames, so its answer says that these have come.
    """

    fresh: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """The answer to a probe; `last` as in the probe."""

    last: bool = False


@dataclass(frozen=True, slots=True)
class Credit:
    """Your frames to an agent of mine are accounted for up to a number."""

    agent: str
    number: int


@dataclass(frozen=True, slots=True)
class Unused:
    """A number of my frames to an agent of yours is that of none: it is not lost."""

    agent: str
    number: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """An agent of mine takes no more (an empty name: none does): send no more, and say `Ended`."""

    agent: str


@dataclass(frozen=True, slots=True)
class LastNumber:
    """My last frame to an agent of yours, which takes no more, has this number."""

    agent: str
    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """I send no more to an agent of yours (an empty name: to any); all last numbers are told."""

    agent: str


DataMessage: TypeAlias = Probe | ProbeAnswer | Credit | Unused | Leaving | LastNumber | Ended


# --- the codec ------------------------------------------------------------------------------------

CONTROL: Final[Mapping[str, Any]] = {kind.__name__: kind for kind in get_args(ControlMessage)}
DATA: Final[Mapping[str, Any]] = {kind.__name__: kind for kind in get_args(DataMessage)}


def encode(message: ControlMessage | DataMessage, origin: Origin) -> bytes:
    """Make the frame of a message."""
    values = [type(message).__name__, message]
    body = msgpack.packb(values, default=_values, unicode_errors="backslashreplace")
    return envelope.seal(body, _FORMAT, origin, kind=KIND_SYSTEM)


def _values(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in _names(message.__class__)}


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


def decode(
    frame: bytes, kinds: Mapping[str, Any] = CONTROL, limit: int = LARGEST_FRAME
) -> tuple[Origin, Any]:
    """Return who sent a message, and the message: one of `kinds`, `CONTROL` or `DATA`.

    Raises:
        FrameError: the bytes are no system frame, or more than `limit`.
        DeserializationError: its body is no such message.
    """
    if len(frame) > limit:
        raise FrameError(f"a system frame of {len(frame):,} bytes is more than {limit:,}")
    opened = envelope.open(frame)
    if opened.kind != KIND_SYSTEM or opened.serializer != _FORMAT:
        raise FrameError("only frames of kind 2 in msgpack belong on a system address")
    try:
        name, values = msgpack.unpackb(opened.body)
        message = _read(kinds[name], values)
    except Exception as error:
        raise DeserializationError(f"no message: {describe(error)}") from error
    return Origin(opened.node, opened.generation), message


def _read(kind: Any, values: dict[str, Any]) -> Any:
    """Make a message of its fields, each checked against its declared type."""
    return kind(
        **{
            name: read(values[name])
            for name, read, needed in _readers(kind)
            if needed or name in values
        }
    )


@cache
def _readers(kind: Any) -> list[tuple[str, Callable[[Any], Any], bool]]:
    """Return name, reader of the value, and whether it is required, for each field."""
    hints = get_type_hints(kind)
    return [
        (each.name, _READERS[hints[each.name]], each.default is MISSING) for each in fields(kind)
    ]


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{value!r:.80} is not {kind.__name__}")
        return value

    return read


_text: Final = _exactly(str)
_whole: Final = _exactly(int)


def _number(value: Any) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):
        raise TypeError(f"{value!r:.80} is no number")
    return float(value)


def _read_info(value: Any) -> NodeInfo:
    info: NodeInfo = _read(NodeInfo, value)
    if len(info.node) != 16 or len(info.key) != 12:
        raise ValueError(f"{info.node!r} is no node id")
    return info


def _read_agents(value: Any) -> dict[str, tuple[str, int]]:
    for name in value:
        problem = name_problem(name)
        if problem is not None:
            raise ValueError(f"{name!r:.80} can't be an agent's name: {problem}")
    return {name: (_text(state), _whole(count)) for name, (state, count) in value.items()}


_READERS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    bool: _exactly(bool),
    bytes: _exactly(bytes),
    float: _number,
    float | None: lambda value: None if value is None else _number(value),
    int: _whole,
    str: _text,
    tuple[str, ...]: lambda value: tuple(map(_text, value)),
    AgentStates: _read_agents,
    Mapping[str, Any]: _exactly(dict),
    NodeInfo: _read_info,
}
