"""Subjects: where an address is on the servers, and what may name a stream. Pure."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX

_TOKEN: Final = re.compile(r"[^\s.*>\0]+")
_STREAM: Final = re.compile(r"[^\s.*>/\\\0]+")
_LONGEST_NAME: Final = 255
_LONGEST_STREAM: Final = 250
"""Bytes, so that there is room for what the stream of dead letters has at its end."""
_LONGEST_PREFIX: Final = 250
_RESERVED: Final = ("$", "_")
"""What the servers' own subjects begin with: $SYS, $JS, _INBOX, _R_."""


class Subjects:
    """Maps addresses to subjects.

    An agent's address is one token, so `<prefix>.*` is all agents and nothing else: system and
    reply addresses have a dot in them.

    Args:
        prefix: what all subjects begin with, such as `civitas.agent`.
    """

    def __init__(self, prefix: str) -> None:
        self.all_agents: Final = f"{prefix}.*"
        self._begin = f"{prefix}."

    def of(self, address: str) -> str:
        """Return the subject of an address."""
        return self._begin + address

    def address(self, subject: str) -> str:
        """Return the address whose subject this is."""
        return subject.removeprefix(self._begin)


def is_agent(address: str) -> bool:
    """Return whether an address is that of an agent: only those are ever stored."""
    return not address.startswith((RESERVED_PREFIX, REPLY_PREFIX))


def consumer_name(agent: str) -> str:
    """Return the name of an agent's consumer: the agent's own, but for two signs.

    A '%' in it makes a server write nonsense into the subjects of acknowledgements (nats-server
    2.9.10), so '%' and '=' are written as in quoted-printable (RFC 2045). Different agents have
    different consumers.
    """
    name = agent.replace("=", "=3D").replace("%", "=25")
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"=-{blake2b(agent.encode(), digest_size=16).hexdigest()}"


def check_prefix(prefix: str) -> str:
    """Return the beginning of subjects; it is made of tokens with dots between them.

    Raises:
        ValueError: it is not, or it is among the servers' own subjects.
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


def check_stream(name: str) -> str:
    """Return the name of a stream.

    Raises:
        ValueError: a server would not take it.
    """
    if not _STREAM.fullmatch(name) or not _fits(name, _LONGEST_STREAM):
        raise ValueError(
            f"{name!r} can't name a stream: it has at most {_LONGEST_STREAM} bytes, and no"
            " whitespace and none of . * > / \\"
        )
    return name


def _fits(text: str, size: int) -> bool:
    """Return whether a text can be sent, in at most so many bytes."""
    return text.isprintable() and len(text.encode()) <= size
