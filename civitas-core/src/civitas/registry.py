"""LocalRegistry: which names exist, and at which address of the transport each one is."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase
from typing import NamedTuple

from civitas.errors import ConfigurationError
from civitas.messages import name_problem


class RoutingEntry(NamedTuple):
    """Where an agent is. `is_local` tells whether this node hosts it."""

    name: str
    address: str
    is_local: bool


class LocalRegistry:
    """The names that this node can send to."""

    def __init__(self) -> None:
        self._entries: dict[str, RoutingEntry] = {}

    def register(self, name: str, address: str | None = None, *, is_local: bool = True) -> None:
        """Add a name.

        Args:
            name: the agent's name.
            address: its address on the transport; the name itself when left out.
            is_local: whether this node hosts the agent.

        Raises:
            ConfigurationError: the name can't be one, or is taken.
        """
        problem = name_problem(name)
        if problem is not None:
            raise ConfigurationError(f"{name!r} can't be an agent's name: {problem}")
        if name in self._entries:
            raise ConfigurationError(
                f"there is already an agent called {name!r}; names are unique in a system"
            )
        self._entries[name] = RoutingEntry(name, address or name, is_local)

    def deregister(self, name: str) -> None:
        """Remove a name; removing one that is not there does nothing."""
        self._entries.pop(name, None)

    def lookup(self, name: str) -> RoutingEntry | None:
        """Return where the agent of that name is, or None."""
        return self._entries.get(name)

    def lookup_all(self, pattern: str) -> list[RoutingEntry]:
        """Return the entries whose names match a shell pattern (`*`, `?`, `[...]`), in order."""
        return [e for e in list(self._entries.values()) if fnmatchcase(e.name, pattern)]

    def has(self, name: str) -> bool:
        """Return whether the name is registered."""
        return name in self._entries

    def all_names(self) -> list[str]:
        """Return all names, in the order of their registration."""
        return list(self._entries)

    def similar(self, name: str) -> str | None:
        """Return the registered name that is most like `name`, for an error message."""
        close = difflib.get_close_matches(name, self._entries, n=1)
        return close[0] if close else None
