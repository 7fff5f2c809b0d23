"""Notes: what a transport reports to the node that made it, which here is a test."""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import signature

from civitas.errors import logger_of
from civitas.messages import PRIMARY
from civitas.plugins import TransportContext


class Notes:
    """Takes the place of a node, and keeps what its transport reports.

    Attributes:
        dropped: each frame that can't be delivered, with the reason.
        link: "down" and "up", in the order of the calls.
        reasons: why the link was down, each time.
        context: what the transport is made with.
    """

    def __init__(self, *, is_primary: bool, control: bool, fenced: set[bytes]) -> None:
        self.dropped: list[tuple[str, bytes]] = []
        self.link: list[str] = []
        self.reasons: list[str] = []
        self.context = TransportContext(
            process=PRIMARY if is_primary else "worker",
            is_primary=is_primary,
            node=os.urandom(8).hex(),
            logger=logger_of("civitas.conformance"),
            dropped=lambda reason, frame: self.dropped.append((reason, frame)),
            link_down=self._down,
            link_up=lambda: self.link.append("up"),
            fenced=fenced,
            control=control,
        )

    def _down(self, reason: str) -> None:
        self.link.append("down")
        self.reasons.append(reason)

    @property
    def is_up(self) -> bool:
        """Whether the last report on the link was that it is back."""
        return self.link[-1:] == ["up"]

    @property
    def is_down(self) -> bool:
        """Whether the last report on the link was that it is lost."""
        return self.link[-1:] == ["down"]


def takes_context(make_transport: Callable[..., object]) -> bool:
    """Return whether what makes transports takes a `context` by that name."""
    try:
        return "context" in signature(make_transport).parameters
    except (TypeError, ValueError):  # nothing is known of some callables that are not Python
        return False
