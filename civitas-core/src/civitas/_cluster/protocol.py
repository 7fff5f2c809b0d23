"""Protocol: what nodes say to each other, typed.

Two groups of messages travel by two transports of a node: control messages by that of the control
plane, about who belongs to the system; data messages by that of the agents' messages, about the
routes that these take. A group is taken at its own addresses only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from civitas.messages import RESERVED_PREFIX

EVERYONE: Final = f"{RESERVED_PREFIX}nodes"
"""Address at which every node listens."""

RESTART: Final = "restart"
"""What any node may command the primary to do with an agent."""

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
        return replace(self, agents={}) if self.agents else self

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
    """Here I am; without agents, unless it is the answer to a challenge, and has its `proof`.

    `clock` is the sender's, in epoch seconds; for `nonce` and `proof` see `proofs`, also below.
    """

    info: NodeInfo
    clock: float
    nonce: bytes = b""
    proof: bytes = b""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The answer to a node that I don't know: say hello again, with this cookie as the proof."""

    cookie: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to a hello: who I am and whom I know. `echo` is the clock of the hello.

    `done`, of the primary: see `Admitted`.
    """

    info: NodeInfo
    echo: float
    clock: float
    known: tuple[str, ...]
    done: tuple[str, ...] = ()
    proof: bytes = b""


@dataclass(frozen=True, slots=True)
class Admitted:
    """My route to you is proved: my agents can reach yours.

    `done`, of the primary: agents of yours that have said in another node that they are done, so
    they are not to be started.
    """

    done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contested:
    """A node that I know has a name of yours, and may be gone: wait until I know."""

    proof: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused:
    """Your name, or that of one of your agents, is taken."""

    info: NodeInfo
    reason: str
    nonce: bytes = b""
    proof: bytes = b""


@dataclass(frozen=True, slots=True)
class Fenced:
    """You were superseded: your frames are refused everywhere."""

    reason: str
    proof: bytes = b""


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
    """To everyone: a node has gone: by itself, or (then it is fenced) declared dead.

    `done`, of one that goes by itself: its agents that are done, so no other is to host them.
    """

    node: str
    generation: int
    reason: str
    fenced: bool
    done: tuple[str, ...] = ()


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

    To the primary, from any node: `restart` an agent of your tree, wherever it is.

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
    """What are your counters? With an agent of yours: for whose answer does it wait?

    A node that knows no such field tells its counters, and so nothing of the agent.
    """

    number: int
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Counters:
    """The answer to a query: counters; or `asked` and `seconds` of an agent that waits."""

    number: int
    counters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the frame of a message that is larger than a frame may be; see `pieces`.

    `proof` is that of the message.
    """

    number: int
    index: int
    count: int
    data: bytes
    proof: bytes = b""


_Meeting: TypeAlias = Hello | Challenge | Welcome | Admitted | Contested | Refused
_Belonging: TypeAlias = Fenced | Changed | Missed | Left
_Watching: TypeAlias = Ping | Pong | Crashed
_Calling: TypeAlias = Command | Result | Query | Counters
ControlMessage: TypeAlias = _Meeting | _Belonging | _Watching | _Calling | Piece


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


@dataclass(frozen=True, slots=True)
class Staying:
    """An agent of mine (an empty name: all) takes messages: `Leaving` was not from me."""

    agent: str


_Probing: TypeAlias = Probe | ProbeAnswer | Credit | Unused
DataMessage: TypeAlias = _Probing | Leaving | LastNumber | Ended | Staying
