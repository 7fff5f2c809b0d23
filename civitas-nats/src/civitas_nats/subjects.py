"""Subjects: names that Civitas has on NATS servers: subjects, consumers and streams. No I/O."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX

_TOKEN: Final = re.compile(r"[^\s.*>\0]+")
_STREAM: Final = re.compile(r"[^\s.*>/\\\0]+")
_LONGEST_NAME: Final = 255
_LONGEST_STREAM: Final = 250
"""Bytes; the stream of dead letters appends a suffix to the name."""
_LONGEST_PREFIX: Final = 250
_LONGEST_INBOX: Final = 100
_RESERVED: Final = ("$", "_")
"""What subjects that NATS keeps for itself begin with: $SYS, $JS, _INBOX, _R_."""


class Subjects:
    """Maps addresses to subjects.

    An agent's name is one token, so `<prefix>.*` matches all agents and nothing else: system and
    reply addresses are more than one. A dot in a name is written as a slash, which no name can
    have: so the slash needs no escape, and a name without dots is its own token.

    Args:
        prefix: what all subjects begin with, such as `civitas.agent`.
    """

    def __init__(self, prefix: str) -> None:
        self.all_agents: Final = f"{prefix}.*"
        self._prefix = f"{prefix}."

    def of(self, address: str) -> str:
        """Return the subject of an address."""
        if "." in address and is_agent(address):
            address = address.replace(".", "/")
        return self._prefix + address

    def has(self, subject: str) -> bool:
        """Return whether a subject is that of an address."""
        return subject.startswith(self._prefix)

    def agent_of(self, subject: str) -> str:
        """Return the address of a subject; that of an agent is its name."""
        return subject.removeprefix(self._prefix).replace("/", ".")


def is_agent(address: str) -> bool:
    """Return whether an address is that of an agent; only messages to agents are ever stored."""
    return not address.startswith((RESERVED_PREFIX, REPLY_PREFIX))


def consumer_name(agent: str) -> str:
    """Return the name of an agent's consumer: the agent's name, with '.', '%' and '=' escaped.

    A server refuses a '.', and a '%' makes it write wrong subjects for acknowledgements
    (nats-server 2.9.10), so they are written as in quoted-printable (RFC 2045). Different agents
    have different consumers; a name that is too long is replaced by a hash.
    """
    name = agent.replace("=", "=3D").replace("%", "=25").replace(".", "=2E")
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"=-{blake2b(agent.encode(), digest_size=16).hexdigest()}"


def check_prefix(prefix: str) -> str:
    """Return a prefix of subjects after checking it: tokens with dots between them.

    Raises:
        ValueError: it is not that, or it is among the subjects that NATS keeps for itself.
    """
    if not _fits(prefix, _LONGEST_PREFIX) or not all(
        _TOKEN.fullmatch(token) for token in prefix.split(".")
    ):
        raise ValueError(
            f"{prefix!r} can't begin a subject: write tokens with dots between them, such as"
            f" civitas.agent, without whitespace, '*' and '>'; at most {_LONGEST_PREFIX} bytes"
        )
    if prefix.startswith(_RESERVED):
        raise ValueError(f"{prefix!r} is among the subjects that NATS keeps for itself")
    return prefix


def check_inbox(prefix: str) -> str:
    """Return what inboxes begin with after checking it: tokens of ASCII with dots between them.

    nats-py (2.16) finds the answer to a request by the length of this prefix, which it measures in
    bytes on the one side and in characters on the other.

    Raises:
        ValueError: it is not that, or it is among the subjects of the servers themselves.
    """
    fits = prefix.isascii() and _fits(prefix, _LONGEST_INBOX)
    if not fits or not all(_TOKEN.fullmatch(token) for token in prefix.split(".")):
        raise ValueError(
            f"{prefix!r} can't begin an inbox: write tokens of ASCII with dots between them, such"
            f" as _INBOX.kitchen, without whitespace, '*' and '>'; at most {_LONGEST_INBOX} bytes"
        )
    if prefix.startswith("$"):
        raise ValueError(f"{prefix!r} is among the subjects that servers keep for themselves")
    return prefix


def overlap(one: str, other: str) -> bool:
    """Return whether the subjects behind one prefix are among those behind another."""
    one, other = f"{one}.", f"{other}."
    return one.startswith(other) or other.startswith(one)


def check_stream(name: str) -> str:
    """Return the name of a stream after checking it.

    Raises:
        ValueError: a server would refuse it.
    """
    if not _STREAM.fullmatch(name) or not _fits(name, _LONGEST_STREAM):
        raise ValueError(
            f"{name!r} can't name a stream: it has at most {_LONGEST_STREAM} bytes, and no"
            " whitespace and none of . * > / \\"
        )
    return name


def _fits(text: str, size: int) -> bool:
    """Return whether a text is printable and has at most so many bytes."""
    return text.isprintable() and len(text.encode()) <= size
