"""ComponentSet: transport, registry and serializer of one node, wired together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from civitas.bus import DEFAULT_SEND_TIMEOUT, MessageBus, new_origin
from civitas.dead_letters import DeadLetters
from civitas.envelope import Origin
from civitas.errors import ConfigurationError
from civitas.plugins import TransportContext
from civitas.registry import LocalRegistry
from civitas.serializer import Serializer
from civitas.transport import Transport


@dataclass
class ComponentSet:
    """What a node runs on. `bus` is made from the rest.

    Attributes:
        transport: carries the frames.
        registry: knows the addresses.
        serializer: writes the bodies of frames.
        accept: serializers whose frames are read besides.
        send_timeout: seconds that a send waits for room in a full mailbox.
        origin: the node's identity.
        dead_letters: where undeliverable messages are accounted for.
        bus: sends and receives by name.
    """

    transport: Transport
    registry: LocalRegistry
    serializer: Serializer
    accept: Iterable[Serializer] = ()
    send_timeout: float = DEFAULT_SEND_TIMEOUT
    origin: Origin = field(default_factory=new_origin)
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    bus: MessageBus = field(init=False)

    def __post_init__(self) -> None:
        self.bus = MessageBus(
            self.transport,
            self.registry,
            self.serializer,
            accept=self.accept,
            origin=self.origin,
            dead_letters=self.dead_letters,
            send_timeout=self.send_timeout,
        )


def build_component_set(
    transport: str | Mapping[str, Any] | Transport = "in_process",
    serializer: str | Serializer | None = None,
    *,
    accept_serializers: Iterable[str] = (),
    send_timeout: float = DEFAULT_SEND_TIMEOUT,
    process: str = "supervisor",
    is_primary: bool = True,
    **transport_options: Any,
) -> ComponentSet:
    """Wire a node's components.

    Args:
        transport: a plugin's name, a mapping `{"type": name, ...}` with its options, or an
            instance of any class with the methods of Transport.
        serializer: a plugin's name, or an instance; msgpack when left out.
        accept_serializers: names of serializers whose frames are read besides.
        send_timeout: seconds that a send waits for room in a full mailbox.
        process: the node's process name.
        is_primary: whether this is the primary process.
        **transport_options: options of the named transport, prefixed by its name.

    Raises:
        ConfigurationError: an option is unknown, wrong, or another transport's.
        PluginError: a plugin can't be used; the message says why and what to do.
    """
    origin = new_origin()
    dead_letters = DeadLetters()
    if isinstance(transport, str | Mapping):
        made = _make_transport(
            transport,
            transport_options,
            TransportContext(
                process=process,
                is_primary=is_primary,
                node=origin.node.hex(),
                logger=logging.getLogger("civitas.transport"),
                dropped=dead_letters.record,
            ),
        )
    elif transport_options:
        raise ConfigurationError(
            f"options {', '.join(sorted(transport_options))} were given beside a transport that "
            f"is made already; give them to its constructor"
        )
    else:
        made = transport
    return ComponentSet(
        made,
        LocalRegistry(),
        _make_serializer(serializer),
        accept=[make_serializer(name) for name in accept_serializers],
        send_timeout=send_timeout,
        origin=origin,
        dead_letters=dead_letters,
    )
