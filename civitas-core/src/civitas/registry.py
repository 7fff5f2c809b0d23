"""LocalRegistry: the names that a node can send to; the node's routes are its entries."""

from __future__ import annotations

from fnmatch import fnmatchcase

from civitas.errors import ConfigurationError
from civitas.messages import name_problem
from civitas.plugins.similar import closest


class RoutingEntry:
    """Where an agent is.

    Attributes:
        name: the agent's name.
        address: its address on the transport.
        is_local: whether this node hosts it.
    """

    __slots__ = ("address", "is_local", "name")

    def __init__(self, name: str, address: str, is_local: bool) -> None:
        self.name = name
        self.address = address
        self.is_local = is_local

    def __repr__(self) -> str:
        where = "here" if self.is_local else "elsewhere"
        return f"<{type(self).__name__} {self.name!r} at {self.address!r}, {where}>"


class LocalRegistry:
    """The names that a node can send to.

    The table is the node's only record of where an agent is: the bus adds its routes here, each of
    which is an entry (`civitas._bus.routes`).
    """

    def __init__(self) -> None:
        self.entries: dict[str, RoutingEntry] = {}
        """By name, in the order of their registration."""

    def register(self, name: str, address: str | None = None, *, is_local: bool = True) -> None:
        """Add a name.

        Args:
            name: the agent's name.
            address: its address on the transport; the name itself when left out.
            is_local: whether this node hosts the agent.

        Raises:
            ConfigurationError: the name can't be one, or is taken.
        """
        self.add(RoutingEntry(name, address or name, is_local))

    def add(self, entry: RoutingEntry) -> None:
        """Add an entry under its name.

        Raises:
            ConfigurationError: the name can't be one, or is taken.
        """
        name = entry.name
        problem = name_problem(name)
        if problem is not None:
            raise ConfigurationError(f"{name!r} can't be an agent's name: {problem}")
        if name in self.entries:
            raise ConfigurationError(
                f"there is already an agent called {name!r}; names are unique in a system"
            )
        self.entries[name] = entry

    def deregister(self, name: str) -> None:
        """Remove a name; removing one that is not there does nothing."""
        self.entries.pop(name, None)

    def lookup(self, name: str) -> RoutingEntry | None:
        """Return where the agent of that name is, or None."""
        return self.entries.get(name)

    def lookup_all(self, pattern: str) -> list[RoutingEntry]:
        """Return the entries whose names match a shell pattern (`*`, `?`, `[...]`), in order."""
        return [e for e in list(self.entries.values()) if fnmatchcase(e.name, pattern)]

    def has(self, name: str) -> bool:
        """Return whether the name is registered."""
        return name in self.entries

    def all_names(self) -> list[str]:
        """Return all names, in the order of their registration."""
        return list(self.entries)

    def similar(self, name: str) -> str | None:
        """Return the registered name that is most like `name`, for an error message."""
        return closest(name, self.entries)
