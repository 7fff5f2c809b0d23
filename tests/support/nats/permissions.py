"""Permissions of the page on NATS: read from its text, and put into the configuration of a server.

So what is proved is what the page says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[3] / "docs" / "nats.md"
VERBS: Final = ("publish", "subscribe")

_BLOCK: Final = r'^```text title="{}"\n((?:.*\n)*?)```$'
_USER: Final = re.compile(
    r"user: (\w+) .*?publish: \[(.*?)\n *\].*?subscribe: \[(.*?)\n *\]", re.DOTALL
)
_LINE: Final = re.compile(r'^ *"([^"]+)"(?: *#.*)?$', re.MULTILINE)


@dataclass(frozen=True)
class User:
    """A login and what it may do."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    def without(self, verb: str, subject: str) -> User:
        """Return the same user with one line less."""
        lines = tuple(each for each in getattr(self, verb) if each != subject)
        return replace(self, **{verb: lines})

    def lines(self) -> list[tuple[str, str]]:
        """Return each line: the verb and the subject."""
        return [(verb, subject) for verb in VERBS for subject in getattr(self, verb)]


def users_of(title: str) -> dict[str, User]:
    """Return the users of a configuration that the page shows."""
    [text] = re.findall(_BLOCK.format(re.escape(title)), PAGE.read_text(), re.MULTILINE)
    found = {
        name: User(name, *(tuple(_LINE.findall(part)) for part in parts))
        for name, *parts in _USER.findall(text)
    }
    read = sum(len(user.lines()) for user in found.values())
    assert read == len(re.findall(r'^ *"', text, re.MULTILINE)), "a line is not read"
    return found


def authorization(users: Iterable[User]) -> str:
    """Return the part of a server's configuration for these users; their password is `x`."""
    return f"authorization {{ users: [ {', '.join(map(_user, users))} ] }}"


def _user(user: User) -> str:
    parts = (f"{verb}: [{', '.join(map(_quoted, getattr(user, verb)))}]" for verb in VERBS)
    return f"{{ user: {user.name}, password: x, permissions: {{ {', '.join(parts)} }} }}"


def _quoted(subject: str) -> str:
    return f'"{subject}"'
