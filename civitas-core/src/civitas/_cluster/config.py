"""ClusterConfig: what binds a node's transports to its place among other nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from civitas import _platform as platform
from civitas._signing.settings import NOT_AUTHENTICATED, SIGNED_FRAME, Signing
from civitas.errors import crash_of, describe, logger_of
from civitas.messages import PRIMARY
from civitas.plugins import Capabilities
from civitas.transport import Transport

logger = logger_of("civitas.node")

UNBELIEVED: Final = (SIGNED_FRAME, NOT_AUTHENTICATED)
"""Reasons for which frames of nodes with another key are dropped."""

MakeControl: TypeAlias = Callable[
    [Callable[[str], None], Callable[[], None], Callable[[str, bytes], None]], Transport
]
"""Makes the control plane's own transport, given its `link_down` and `link_up`, and what counts a
frame that is not believed."""

Guard: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Makes the context for calls of a transport at the start: their errors name the plugin."""


def random_name(role: str) -> str:
    """Return a process name that nobody else has."""
    return f"{role}-{platform.random_bytes(4).hex()}"


def unbelieved(dropped: Mapping[str, int]) -> str:
    """Return what stands in the way of frames that came, in words; empty where nothing does."""
    counts = [f"{reason} ({dropped[reason]:,})" for reason in UNBELIEVED if dropped.get(reason)]
    if not counts:
        return ""
    return (
        f"frames came that this node can't believe: {', '.join(counts)}; all nodes of a system "
        f"need the same cluster_key"
    )


def signed_control(
    transport: Transport, signing: Signing, dropped: Callable[[str, bytes], None]
) -> Transport:
    """Return the control plane's own transport, with its frames signed where there is a key."""
    if signing.key is None:
        return transport
    from civitas.transport.signed_transport import SignedTransport  # which few have a use for

    return SignedTransport(transport, signing.key, dropped=dropped)


class LinkState:
    """Whether a node's data transport is connected, as it reports by `link_down` and `link_up`."""

    def __init__(self) -> None:
        self.on_up: Callable[[], None] | None = None
        """Called when the connection is back; the cluster proves its routes again."""
        self.reason = ""
        """Why there is no connection, in the transport's words; empty while there is."""

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
    """What binds a node's transports to its place among other nodes.

    A process name that was chosen at random begins with `role`, which is empty where a name was
    given. The guards name the plugin in errors of a transport while the node starts: `guard` for
    the node's own, `guard_control` for that of the control plane.
    """

    process: str = PRIMARY
    capabilities: Capabilities | None = None  # None: made by hand, and claims nothing
    make_control: MakeControl | None = None  # None: no plugin to make it, or no use for it
    fenced: set[bytes] = field(default_factory=set)  # nodes whose frames the transport refuses
    link_state: LinkState = field(default_factory=LinkState)
    role: str = ""
    guard: Guard = nullcontext
    guard_control: Guard = nullcontext
    authenticated: bool = False
    """Whether control frames are signed: what has no valid signature does not come here."""
    on_failure: Callable[[Exception], None] | None = None
    """Called, in any thread, when the node can't go on; the node sets it."""

    def rename(self) -> None:
        """Choose another process name, unless it was given."""
        if self.role:
            self.process = random_name(self.role)

    @property
    def crosses_processes(self) -> bool:
        """Whether the transport says that it reaches other processes."""
        return self.capabilities is not None and self.capabilities.cross_process

    @property
    def stays_here(self) -> bool:
        """Whether the transport says that it stays within its process."""
        return self.capabilities is not None and not self.capabilities.cross_process

    @property
    def durable(self) -> bool:
        """Whether the transport is at-least-once: it gives a frame again until it is processed."""
        return self.capabilities is not None and self.capabilities.at_least_once

    def signed(
        self, transport: Transport, signing: Signing, dropped: Callable[[str, bytes], None]
    ) -> Transport:
        """Return the node's transport, with its frames signed where `signing` says so.

        `dropped` is called with (reason, frame) for each frame that is refused.

        Raises:
            ConfigurationError: it declares no capabilities.
        """
        if not signing.applies_to(self.capabilities):
            return transport
        from civitas._cluster.protocol import data_address  # neither of which is loaded for all
        from civitas.transport.signed_transport import SignedTransport

        signing.check(getattr(transport, "capabilities", None))
        assert signing.key is not None
        signed = SignedTransport(
            transport,
            signing.key,
            everything=signing.everything,
            probes_at=data_address(""),
            dropped=dropped,
        )
        self.capabilities, self.authenticated = signed.capabilities, True
        return signed

    def failed(self, error: BaseException) -> None:
        """Log, in any thread, that something of the node has ended unexpectedly, and end it."""
        logger.critical("%s; this node ends", describe(error).text, exc_info=error)
        if self.on_failure is not None:
            self.on_failure(crash_of(error))
