"""Reading a changelog in the form of Keep a Changelog, and what is wrong with it for a release."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from packaging.version import InvalidVersion, Version

GROUPS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""The headings that a section may have, in the form's own words."""

_HEADING: Final = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<rest>.*))?$", re.MULTILINE)
_GROUP: Final = re.compile(r"^### (.+)$", re.MULTILINE)
_ENTRY: Final = re.compile(r"^- \S", re.MULTILINE)
_DATED: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?: \[YANKED\])?")


@dataclass(frozen=True)
class Section:
    """What a changelog says of one version.

    Attributes:
        name: the version, or "Unreleased".
        dated: when it was released; `None` if it has not been.
        body: the text below its heading.
    """

    name: str
    dated: date | None
    body: str

    @property
    def version(self) -> Version | None:
        """The version; `None` where the heading has none."""
        try:
            return Version(self.name)
        except InvalidVersion:
            return None

    @property
    def is_empty(self) -> bool:
        """Whether there is no entry."""
        return _ENTRY.search(self.body) is None


def sections(text: str) -> list[Section]:
    """Return the sections of a changelog, the newest first as they stand there."""
    headings = list(_HEADING.finditer(text))
    ends = [*(each.start() for each in headings[1:]), len(text)]
    return [
        Section(each["name"], _date(each["rest"] or ""), text[each.end() : end])
        for each, end in zip(headings, ends, strict=True)
    ]


def form_problems(text: str, version: Version) -> list[str]:
    """Return what is wrong at any time: a version without a section, headings of no meaning."""
    found = sections(text)
    problems = [
        f"[{each.name}] has a group {group!r}; there are {', '.join(GROUPS)}"
        for each in found
        for group in _GROUP.findall(each.body)
        if group not in GROUPS
    ]
    dates = [each.dated for each in found if each.dated is not None]
    if dates != sorted(dates, reverse=True):
        problems.append("its sections are not in order, the newest first")
    if version not in [each.version for each in found]:
        problems.append(f"it has no section [{version}]")
    return problems


def release_problems(text: str, version: Version, today: date) -> list[str]:
    """Return what is wrong when this version is to be released today."""
    problems = form_problems(text, version)
    found = sections(text)
    mine = next((each for each in found if each.version == version), None)
    if mine is None:
        return problems
    if mine.dated is None:
        problems.append(f"its section [{version}] has no date; the heading ends in a day: {today}")
    elif mine.dated > today:
        problems.append(f"its section [{version}] is of a day to come, {mine.dated}")
    if mine.is_empty:
        problems.append(f"its section [{version}] says nothing")
    above = found[: found.index(mine)]
    problems += [f"[{each.name}] stands above [{version}]" for each in above if not each.is_empty]
    return problems


def _date(text: str) -> date | None:
    match = _DATED.fullmatch(text.strip())
    if match is None:
        return None
    try:
        return date.fromisoformat(match[1])
    except ValueError:
        return None
