"""Permissions of the page on Redis: read from its text, and put into the configuration of a server.

So what is proved is what the page says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[3] / "docs" / "redis.md"

_BLOCK: Final = re.compile(r'^```text title="users.acl"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_SECRET: Final = ">SECRET"
_OWN: Final = "civitas:"


def users() -> dict[str, str]:
    """Return the rules of each user that the page shows."""
    [text] = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    found = dict(re.findall(r"^user (\w+) on (.*)$", text, re.MULTILINE))
    assert len(found) == len(text.splitlines())
    return found


def without_each(rules: str) -> list[str]:
    """Return the rules as often as there are channels and commands in them, each without one."""
    found = re.finditer(r" [&+][^ )]+|(?<=\()[&+][^ )]+ ", rules)
    return [rules[: each.start()] + rules[each.end() :] for each in found]


def moved(rules: str, prefix: str) -> str:
    """Return the rules for the channels of another prefix."""
    return rules.replace(_OWN, prefix)


def settings(given: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return lines of a server's configuration for users with rules; their password is `x`."""
    return {f"user {name}": f"on {rules.replace(_SECRET, '>x')}" for name, rules in given}
