"""Standing: what a node knows of its own place among the others."""

from __future__ import annotations

from collections.abc import Callable

from civitas._cluster.config import LinkState
from civitas._cluster.events import Event, Evicted


class Standing:
    """Read in any thread, also while the event loop of the node is blocked.

    Attributes:
        joined: whether its names are its own.
        evicted: why it can't stay in the system; empty while it can.
        control_link: whether the control plane's transport is connected, where it has its own.
        on_look: called twice a second or so, in the event loop, so that the node can look at what
            no event reports.
    """

    def __init__(self) -> None:
        self.joined = False
        self.evicted = ""
        self.control_link = LinkState()
        self.on_look: Callable[[], None] = _nothing

    def noting(self, report: Callable[[Event], None]) -> Callable[[Event], None]:
        """Return a `report` that takes note here first: the node's event loop may be blocked."""

        def note(event: Event) -> None:
            if isinstance(event, Evicted):
                self.evicted = event.reason
            report(event)

        return note


def _nothing() -> None: ...
