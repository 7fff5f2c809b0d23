"""Refusals: what the permissions of this process's login forbid.

A server refuses a message or a subscription by an error that names the subject, and nothing else
happens: whoever sent it hears nothing (nats-py 2.16 gives the error to `error_cb` alone).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final

from civitas.errors import AccessDeniedError
from civitas_nats.client import RefusedError

_RANDOM: Final = re.compile(r"[0-9a-f]{16,}|\.\d+")
"""Parts of a subject that differ from process to process, and from message to message."""

STREAM_NAMES: Final = "$JS.API.STREAM.NAMES"
"""A request that every start makes, and can do without: see `jetstream.catching`."""

_MOST: Final = 100
"""Causes that are logged; subjects are named by agents, of which there may be any number."""


class Refusals:
    """Logs what the servers refuse this process, once for each cause, and knows what is refused.

    Args:
        logger: where it is noted.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._logged: set[str] = set()
        self._lifetime: object = None
        self._denied: dict[str, AccessDeniedError] = {}

    def take(self, error: RefusedError, denied: str | None, lifetime: object) -> None:
        """Note that a subscription, or a message, was refused.

        Args:
            error: the server's words.
            denied: the subject that `check` is to raise it for, if any.
            lifetime: differs for each connection.
        """
        reason = AccessDeniedError(
            f"the server refuses what this process needs: {error}; see the permissions of its login"
        )
        cause = _RANDOM.sub("*", str(error))
        if error.subject == STREAM_NAMES:
            self._logger.debug("%s", reason)
        elif cause not in self._logged and len(self._logged) < _MOST:
            self._logged.add(cause)
            self._logger.error("%s", reason)
        if lifetime != self._lifetime:
            self._denied.clear()
            self._lifetime = lifetime
        if denied is not None:
            self._denied[denied] = reason

    def forget(self, subject: str) -> None:
        """Forget that a subject was refused: it is asked for again."""
        self._denied.pop(subject, None)

    def check(self, subjects: Iterable[str], lifetime: object) -> None:
        """See that none of these subjects was refused on the present connection.

        Raises:
            AccessDeniedError: one was.
        """
        if lifetime == self._lifetime and self._denied:
            for subject in subjects:
                if subject in self._denied:
                    raise self._denied[subject]
