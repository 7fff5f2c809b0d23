"""NodeLog: what a node logs of others: who joined, whom it refused, that it found no primary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from civitas._cluster.config import unbelieved
from civitas._cluster.events import Objected, Settled
from civitas._cluster.protocol import NodeInfo
from civitas.errors import logger_of

logger = logger_of("civitas.node")

_SHOWN: Final = 8
"""Agents of a node that a line of the log names at most."""

_REFUSED: Final = 100
"""Process names that were refused, and are logged, at most."""


class NodeLog:
    """The lines that one node logs of others."""

    def __init__(self) -> None:
        self._refused: set[str] = set()

    def joined(self, info: NodeInfo) -> None:
        """Log that a node can be reached, unless it is a client."""
        if info.role != "client":
            logger.info("%s joined: %s", info, _shown(list(info.agents)))

    def refused(self, objected: Objected) -> None:
        """Log it once for each process name, since a refused node may try again."""
        name = objected.info.process
        if name not in self._refused and len(self._refused) < _REFUSED:
            self._refused.add(name)
            logger.warning("refused %s: %s", objected.info, objected.reason)

    def settled(self, settled: Settled, dropped: Mapping[str, int]) -> None:
        """Log that no primary was found, where that is so, and why that may be."""
        if not settled.alone:
            return
        doubt = unbelieved(dropped)
        if doubt:
            logger.warning("no primary was found: %s", doubt)
        else:
            logger.info("no primary was found yet: going on without one")


def _shown(agents: list[str]) -> str:
    more = f" and {len(agents) - _SHOWN:,} more" if len(agents) > _SHOWN else ""
    return ", ".join(agents[:_SHOWN]) + more or "no agents"
