"""Authority: who may say what: the rule of each message that nodes say to each other. No I/O.

Theory. A frame of the network says who has sent it, and its body says something about a node or its
agents. Whether that is believed is decided here, and nowhere else, before anything is done about
it. Each message has one rule, of three parts: about whom it may speak; at which address it is taken
(what concerns one node only at that node's own address, so that a broker's permissions can mean
something); and from whom it is believed.

A *member* is a node that has proved that it hears what is said to it (`proofs`), under names that
nobody else has; a *missing* one was a member, and is silent; any other is a *stranger*. What a
stranger says without a proof says only that somebody is there: a hello is answered with a
challenge, anything else that is not in vain with a hello. The proof of a hello is the cookie that
the stranger was given; that of any other message is the nonce that everyone hears.

    message            | about whom               | taken at      | believed from
    -------------------+--------------------------+---------------+------------------------------
    Hello              | its sender               | everyone, own | a member, or with a proof
    Challenge          | the receiver             | own           | a member, or with a proof
    Welcome            | its sender               | own           | a member, or with a proof
    Refused            | names of its sender      | own           | the same; but see below
    Contested          | names of the receiver    | own           | the same
    Changed            | its sender, and agents   | everyone, own | a member
                       | that nobody else has     |               |
    Admitted, Missed   | its sender               | own           | a member
                       | agents of the receiver   | own           | the primary (also a Welcome)
    Left               | its sender, and agents   | everyone      | a member, or who was, or
                       | that were done there     |               | claims a name
                       | another node             | everyone      | the primary
    Fenced             | who receives it          | own           | the primary; but see below
    Ping               | its sender               | own           | the same
    Pong, Crashed      | agents that its sender   | own           | a member
                       | has announced            |               |
    Pong               | agents that were done    | own           | a node that has gone: it was
                       | where its sender was     |               | fenced, or it departed
    Command            | agents of the receiver   | own           | the primary
    ... to restart one | of the receiver's tree   | own           | a member
    Query              | the receiver             | own           | a member
    Result, Counters   | a call of the receiver   | own           | a member: that which was called
    Piece              | as the message that it is a part of; of a stranger with a proof

Two messages can end a node: a refusal by the older holder of one of its names, and `Fenced`. A
settled node in touch with the others has no reason to believe either: whoever has its name came
later. So they count only where the node may be *cut off*: it has no primary above it, or not long
ago it had none, or its link was lost, or it stood still. An earlier primary may have declared it
dead, unheard by this node and by the next primary: then only the others know that it is fenced. A
node that searches counts those who refuse it only when the primary that has let it in knows them,
or when no primary has (`naming`). Where control frames carry a MAC, no member is false, and they
always count.

There is one primary: who comes as a second one is refused, as for a name that is taken.

Two things stand before these rules, since they are about frames: what a fenced node says is
answered with `Fenced`, and what comes of a node after its goodbye was overtaken by it, but for a
hello: if that node lives, somebody else has said the goodbye, and it can prove so. Of both one
thing is taken all the same: which of its agents were done (`finished_agents`).
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from civitas._cluster.protocol import (
    RESTART,
    Admitted,
    Challenge,
    Changed,
    Command,
    Contested,
    ControlMessage,
    Counters,
    Crashed,
    Fenced,
    Hello,
    Left,
    Missed,
    Piece,
    Ping,
    Pong,
    Query,
    Refused,
    Result,
    Welcome,
)


class Address(Enum):
    """At which address a message is taken."""

    OWN = auto()
    EVERYONE = auto()
    BOTH = auto()


class Believed(Enum):
    """From whom a message is believed."""

    PROVED = auto()
    """A member, or by a proof."""
    KNOWN = auto()
    """A member, one that was, or will be when the holder of its name is gone, or by a proof."""
    MEMBER = auto()
    PRIMARY = auto()


class Rule(NamedTuple):
    """The rule of one message. Whom it may be about is the second part of `believed`."""

    taken_at: Address
    believed_from: Believed


class Speaker(NamedTuple):
    """The node whose frame it is, as this node knows it."""

    node: str
    key: bytes
    """Its id and generation."""
    role: str | None
    """That of a member; None of any other node."""
    known: bool = False
    """Whether it is missing, or claims a name."""
    process: str | None = None
    """Its process name, of a member."""
    proved: bool = False
    """Whether the message has a proof of this node's."""
    agents: Container[str] = ()
    """Those that it has announced, of a member."""


RULES: Final[Mapping[type, Rule]] = {
    Hello: Rule(Address.BOTH, Believed.PROVED),
    Challenge: Rule(Address.OWN, Believed.PROVED),
    Welcome: Rule(Address.OWN, Believed.PROVED),
    Refused: Rule(Address.OWN, Believed.PROVED),
    Contested: Rule(Address.OWN, Believed.PROVED),
    Changed: Rule(Address.BOTH, Believed.MEMBER),
    Admitted: Rule(Address.OWN, Believed.MEMBER),
    Missed: Rule(Address.OWN, Believed.MEMBER),
    Left: Rule(Address.EVERYONE, Believed.KNOWN),
    Fenced: Rule(Address.OWN, Believed.KNOWN),
    Ping: Rule(Address.OWN, Believed.KNOWN),
    Pong: Rule(Address.OWN, Believed.MEMBER),
    Crashed: Rule(Address.OWN, Believed.MEMBER),
    Command: Rule(Address.OWN, Believed.PRIMARY),
    Query: Rule(Address.OWN, Believed.MEMBER),
    Result: Rule(Address.OWN, Believed.MEMBER),
    Counters: Rule(Address.OWN, Believed.MEMBER),
    Piece: Rule(Address.BOTH, Believed.PROVED),
}


def taken(message: ControlMessage, *, to_everyone: bool) -> bool:
    """Return whether a message is taken at the address by which it came."""
    where = RULES[type(message)].taken_at
    return where is Address.BOTH or to_everyone == (where is Address.EVERYONE)


def believed(message: ControlMessage, speaker: Speaker) -> bool:
    """Return whether a message is believed of the node that sent it."""
    needed = RULES[type(message)].believed_from
    if isinstance(message, Command) and message.verb == RESTART:
        needed = Believed.MEMBER  # who may send to an agent may have it begin anew
    if not _may_speak(needed, speaker):
        return False
    match message:
        case Hello(info=info) | Welcome(info=info) | Refused(info=info) | Changed(info=info):
            is_stranger = speaker.role is None
            unchanged = is_stranger or (info.role, info.process) == (speaker.role, speaker.process)
            return info.key == speaker.key and unchanged
        case Left():
            # Of another node only the primary says that it has gone: it alone pings all of them.
            own = message.node == speaker.node and not message.fenced
            return own or speaker.role == "primary"
        case Pong(agents=agents):
            return all(name in speaker.agents for name in agents)
        case Crashed(agent=agent):
            return agent in speaker.agents
        case _:
            return True


def _may_speak(needed: Believed, speaker: Speaker) -> bool:
    match needed:
        case Believed.PROVED:
            return speaker.proved or speaker.role is not None
        case Believed.KNOWN:
            return speaker.proved or speaker.known or speaker.role is not None
        case Believed.MEMBER:
            return speaker.role is not None
        case Believed.PRIMARY:
            return speaker.role == "primary"
