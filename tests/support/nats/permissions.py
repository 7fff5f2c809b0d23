"""Permissions of the page on NATS: read from its text, and put into the configuration of a server.

So what is proved is what the page says.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from support.nats.server import NatsServer

PAGE: Final = Path(__file__).parents[3] / "docs" / "nats.md"
VERBS: Final = ("publish", "subscribe")

_BLOCK: Final = r'^```text title="{}"\n((?:.*\n)*?)```$'
_USER: Final = re.compile(
    r"user: (\w+).*?publish: \[(.*?)\n *\].*?subscribe: \[(.*?)\n *\]", re.DOTALL
)
_OWN: Final = re.compile(r"\bcivitas(?=\.)|^_INBOX\.\w+|\bAGENCY(?=[._]|$)")
"""What is a system's own in a subject, where several share a server."""

_REFUSED: Final = re.compile(
    r'(?:"\S+/user:(?P<user>[^" ]+)" - )?(?P<verb>Publish|Subscription) Violation - '
    r'(?:User "(?P<old_user>.+?)", )?Subject "(?P<subject>.+?)"'
)
"""A line of the log: 2.9.10 names the user behind the verb, 2.15.1 before it."""
_LINE: Final = re.compile(r'^ *"([^"]+)"(?: *#.*)?$', re.MULTILINE)


class Line(NamedTuple):
    """A line of the permissions of a user."""

    user: str
    verb: str
    subject: str


@dataclass(frozen=True)
class User:
    """A login and what it may do."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    def without(self, line: Line) -> User:
        """Return the same user without a line, if it is one of hers."""
        if line.user != self.name:
            return self
        left = tuple(each for each in getattr(self, line.verb) if each != line.subject)
        return replace(self, **{line.verb: left})

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


def lines_of(users: Mapping[str, User]) -> list[Line]:
    """Return every line of these users."""
    return [Line(user.name, *line) for user in users.values() for line in user.lines()]


def moved(user: User, suffix: str) -> User:
    """Return a user of a system of its own, whose names all have a suffix."""

    def change(subject: str) -> str:
        return _OWN.sub(rf"\g<0>{suffix}", subject)

    parts = (tuple(map(change, lines)) for lines in (user.publish, user.subscribe))
    return User(f"{user.name}{suffix}", *parts)


def refusals(server: NatsServer) -> dict[str, set[str]]:
    """Return what a server has refused, by user."""
    found: dict[str, set[str]] = {}
    for line in _REFUSED.finditer(server.log):
        user = line["user"] or line["old_user"]
        found.setdefault(user, set()).add(f"{line['verb']} {line['subject']}")
    return found


async def was_refused(server: NatsServer, user: str, within: float = 1.0) -> bool:
    """Return whether a server has refused a user anything; its log may come after its error."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while user not in refusals(server):
        if loop.time() > end:
            return False
        await asyncio.sleep(0.02)
    return True


def authorization(users: Iterable[User]) -> str:
    """Return the part of a server's configuration for these users; their password is `x`."""
    return f"authorization {{ users: [ {', '.join(map(_user, users))} ] }}"


def _user(user: User) -> str:
    parts = (f"{verb}: {_permission(getattr(user, verb))}" for verb in VERBS)
    return f"{{ user: {user.name}, password: x, permissions: {{ {', '.join(parts)} }} }}"


def _permission(subjects: Iterable[str]) -> str:
    """Return a list for a configuration; an empty one would permit everything."""
    allowed = ", ".join(f'"{each}"' for each in subjects)
    return f"[{allowed}]" if allowed else '{ deny: ">" }'
