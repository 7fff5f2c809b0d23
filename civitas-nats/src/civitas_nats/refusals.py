"""Refusals: what the permissions of this process's login forbid, logged once for each cause.

A server refuses a message or a subscription by an error that names the subject, and nothing else
happens: whoever sent it hears nothing (nats-py 2.16 gives the error to `error_cb` alone).
"""

from __future__ import annotations

import logging
import re
from typing import Final

_MARK: Final = "permissions violation"
_RANDOM: Final = re.compile(r"[0-9a-f]{16,}|\.\d+")
"""Parts of a subject that differ from process to process, and from message to message."""

_MOST: Final = 100
"""Causes that are logged; subjects are named by agents, of which there may be any number."""


class Refusals:
    """Logs what the servers refuse this process.

    Args:
        logger: where it is noted.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._known: set[str] = set()

    def take(self, problem: str) -> bool:
        """Return whether a problem of a connection is a refusal; the first of a kind is logged."""
        if _MARK not in problem.lower():
            return False
        cause = _RANDOM.sub("*", problem)
        if cause not in self._known and len(self._known) < _MOST:
            self._known.add(cause)
            self._logger.error(
                "the server refuses what this process needs: %s; see the permissions of its login",
                problem,
            )
        return True
