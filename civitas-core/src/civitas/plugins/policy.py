"""The policy: two environment variables say which plugins may be imported at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from civitas.plugins.catalog import Candidate, Reference, normalise

ALLOW_SETTING: Final = "CIVITAS_PLUGINS"
DENY_SETTING: Final = "CIVITAS_DISABLE_PLUGINS"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the two settings say.

    An entry is the name of a plugin, the name of a distribution, or `distribution:name`; it holds
    for transports and for serializers.

    Attributes:
        allowed: entries of `CIVITAS_PLUGINS`; `None` when it is not set, so that all are allowed.
            Set but empty, it allows the built-ins alone, which it never excludes.
        denied: entries of `CIVITAS_DISABLE_PLUGINS`. They outweigh the allowed ones, and a
            built-in that is named here is disabled too.
    """

    allowed: tuple[str, ...] | None = None
    denied: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Policy:
        """Read the settings."""
        allowed = environment.get(ALLOW_SETTING)
        denied = _entries(environment.get(DENY_SETTING, ""))
        return cls(None if allowed is None else _entries(allowed), denied)

    def objection(self, candidate: Candidate) -> str | None:
        """Say which setting disables the candidate; `None` when it may be imported."""
        for entry in self.denied:
            if _matches(entry, candidate):
                return f"{DENY_SETTING} (its entry {entry!r})"
        if self.allowed is None or candidate.builtin:
            return None
        if any(_matches(entry, candidate) for entry in self.allowed):
            return None
        listed = ", ".join(map(repr, self.allowed))
        allowed = f"{listed} and the built-ins" if listed else "the built-ins alone"
        return f"{ALLOW_SETTING} (it allows {allowed})"

    def idle_entries(self, candidates: Iterable[Candidate]) -> list[tuple[str, str]]:
        """Return (setting, entry) for each entry that fits none of the candidates: a typo?"""
        candidates = list(candidates)
        settings = ((ALLOW_SETTING, self.allowed or ()), (DENY_SETTING, self.denied))
        return [
            (setting, entry)
            for setting, entries in settings
            for entry in entries
            if not any(_matches(entry, candidate) for candidate in candidates)
        ]


def _entries(text: str) -> tuple[str, ...]:
    return tuple(entry for part in text.split(",") if (entry := part.strip()))


def _matches(entry: str, candidate: Candidate) -> bool:
    return Reference.parse(entry).fits(candidate) or normalise(entry) == candidate.owner
