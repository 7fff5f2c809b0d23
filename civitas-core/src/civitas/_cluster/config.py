"""Wiring: what binds a node's transports to its place among other nodes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from civitas.plugins import Capabilities
from civitas.transport import Transport

PRIMARY: Final = "supervisor"
"""Process name of the node that has the supervision tree."""

MakeControl: TypeAlias = Callable[[Callable[[str], None], Callable[[], None]], Transport]
"""Makes the control plane's own transport, given its `link_down` and `link_up`."""

Guard: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Makes what calls of a transport are made in while its node starts: it says whose fault it is."""


class LinkState:
    """Where a node's data transport tells of its connection; who listens may come later."""

    def __init__(self) -> None:
        self.on_up: Callable[[], None] | None = None
        """Called when the connection is back: routes are to be proved again."""
        self.reason = ""
        """Why there is no connection, as far as the transport has told; empty while there is."""

    def down(self, reason: str) -> None:
        """Take note that the connection is lost; the transport itself has logged it."""
        self.reason = reason

    def up(self) -> None:
        """Take note that the connection is back."""
        self.reason = ""
        if self.on_up is not None:
            self.on_up()


@dataclass
class ClusterConfig:
    """What binds a node's transport to its place among other nodes.

    Attributes:
        process: the node's process name.
        capabilities: what the transport claims; None for one made by hand that claims nothing.
        make_control: makes a second transport for the control plane; None where there is no
            plugin to make it, or no use for it.
        fenced: nodes whose frames the transport refuses.
        link_state: where the transport tells of its connection.
        guard: says whose fault it is when the transport fails to start.
        guard_control: likewise of the control plane's own.
    """

    process: str = PRIMARY
    capabilities: Capabilities | None = None
    make_control: MakeControl | None = None
    fenced: set[bytes] = field(default_factory=set)
    link_state: LinkState = field(default_factory=LinkState)
    guard: Guard = nullcontext
    guard_control: Guard = nullcontext

    @property
    def durable(self) -> bool:
        """Whether the transport is at-least-once: it gives a frame again until it is processed."""
        return self.capabilities is not None and self.capabilities.at_least_once
