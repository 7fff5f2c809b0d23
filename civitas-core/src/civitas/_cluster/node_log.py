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


class NodeLog:
    """The lines that one node logs of others."""

    def __init__(self) -> None:
        self._refused: str | None = None

    def joined(self, info: NodeInfo) -> None:
        """Log that a node can be reached, unless it is a client."""
        if info.role != "client":
            logger.info("%s joined: %s", info, _shown(list(info.agents)))

    def refused(self, objected: Objected) -> None:
        """Log it, once in a row for one process name, since a refused node tries again."""
        if objected.info.process != self._refused:
            self._refused = objected.info.process
            logger.warning("refused %s: %s", objected.info, objected.reason)

    def impersonated(self) -> None:
        """Log that others heard a goodbye of this node that it has not said."""
        logger.warning(
            "somebody has said goodbye in the name of this node, which stays: whoever reaches its "
            "transport can; a cluster_key prevents it"
        )

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
