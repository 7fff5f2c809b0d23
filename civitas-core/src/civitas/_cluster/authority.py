"""Authority: who may say what: the rule of each message that nodes say to each other. No I/O.

Theory. A frame of the network says who has sent it, and its body says something about a node or its
agents. Whether that is believed is decided here, and nowhere else, before anything is done about
it. Each message has one rule, of three parts: about whom it may speak; at which address it is taken
(what concerns one node only at that node's own address, so that a broker's permissions can mean
something); and from whom it is believed. A *member* is a node that was met under names that nobody
else has; a *missing* one was, and is silent.

    message            | about whom               | taken at      | believed from
    -------------------+--------------------------+---------------+------------------------------
    Hello              | its sender               | everyone, own | anyone
    Welcome, Refused   | its sender               | own           | anyone
    Changed            | its sender               | everyone, own | anyone; a stranger's says only
                       |                          |               | that it is there
    Contested          | the receiver             | own           | anyone
    Admitted, Missed   | its sender               | own           | a member
                       | agents of the receiver   | own           | the primary (also a Welcome)
    Left               | its sender               | everyone      | anyone
                       | another node             | everyone      | the primary
    Fenced             | who receives it          | own           | a member, or a missing one
    Ping               | its sender               | own           | anyone
    Pong, Crashed      | its sender, and agents   | own           | a member
                       | of it                    |               |
    Command            | agents of the receiver   | own           | the primary
    Query              | the receiver             | own           | a member
    Result, Counters   | a call of the receiver   | own           | a member: that which was called
    Piece              | as the message that it is a part of

Two things stand before these rules, since they are about frames: what a fenced node says is
answered with `Fenced`, and what comes of a node after its goodbye was overtaken by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from civitas._cluster.protocol import (
    Admitted,
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

    ANYONE = auto()
    KNOWN = auto()
    """A member, or a missing node."""
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
    missing: bool = False
    """Whether it was a member, and is silent."""


RULES: Final[Mapping[type, Rule]] = {
    Hello: Rule(Address.BOTH, Believed.ANYONE),
    Welcome: Rule(Address.OWN, Believed.ANYONE),
    Refused: Rule(Address.OWN, Believed.ANYONE),
    Contested: Rule(Address.OWN, Believed.ANYONE),
    Changed: Rule(Address.BOTH, Believed.ANYONE),
    Admitted: Rule(Address.OWN, Believed.MEMBER),
    Missed: Rule(Address.OWN, Believed.MEMBER),
    Left: Rule(Address.EVERYONE, Believed.ANYONE),
    Fenced: Rule(Address.OWN, Believed.KNOWN),
    Ping: Rule(Address.OWN, Believed.ANYONE),
    Pong: Rule(Address.OWN, Believed.MEMBER),
    Crashed: Rule(Address.OWN, Believed.MEMBER),
    Command: Rule(Address.OWN, Believed.PRIMARY),
    Query: Rule(Address.OWN, Believed.MEMBER),
    Result: Rule(Address.OWN, Believed.MEMBER),
    Counters: Rule(Address.OWN, Believed.MEMBER),
    Piece: Rule(Address.BOTH, Believed.ANYONE),
}


def taken(message: ControlMessage, *, to_everyone: bool) -> bool:
    """Return whether a message is taken at the address by which it came."""
    where = RULES[type(message)].taken_at
    return where is Address.BOTH or to_everyone == (where is Address.EVERYONE)


def believed(message: ControlMessage, speaker: Speaker) -> bool:
    """Return whether a message is believed of the node that sent it."""
    if not _may_speak(RULES[type(message)].believed_from, speaker):
        return False
    match message:
        case Hello(info=info) | Welcome(info=info) | Refused(info=info) | Changed(info=info):
            return info.key == speaker.key
        case Left():
            # Of another node only the primary says that it has gone: it alone pings all of them.
            return message.node == speaker.node or speaker.role == "primary"
        case _:
            return True


def _may_speak(needed: Believed, speaker: Speaker) -> bool:
    match needed:
        case Believed.ANYONE:
            return True
        case Believed.KNOWN:
            return speaker.role is not None or speaker.missing
        case Believed.MEMBER:
            return speaker.role is not None
        case Believed.PRIMARY:
            return speaker.role == "primary"
