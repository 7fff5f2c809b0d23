"""Wiring: the components of one node, by hand, from names and options, or from a topology."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from civitas import _platform as platform
from civitas._bus.bus import DEFAULT_SEND_TIMEOUT, MessageBus
from civitas._bus.codec import new_origin
from civitas._bus.dead_letters import DeadLetters
from civitas._bus.instrument_guards import Instruments
from civitas._cluster.config import ClusterConfig, signed_control
from civitas._health.settings import HealthSettings
from civitas._signing.settings import SignedFrames, Signing, signing_of
from civitas.components.given import instrument_sources, serializer_of, transport_of
from civitas.envelope import Origin, unsigned
from civitas.errors import ConfigurationError, Location, logger_of
from civitas.messages import PRIMARY
from civitas.plugins import TransportContext
from civitas.plugins.guard import guard_start
from civitas.plugins.loader import LoadedTransport, capabilities_of, make_transport
from civitas.plugins.validation import contract_problems
from civitas.registry import LocalRegistry
from civitas.serializer import Serializer
from civitas.transport import Transport

_DATA_INSTANCE: Final = "the instance that carries the messages"
_CONTROL_INSTANCE: Final = (
    "the instance of the control plane, which has a thread and an event loop of its own"
)


@dataclass
class ComponentSet:
    """What a node runs on. `bus` is made from the rest.

    One node at a time uses a set. The identity of a node is made when it starts, by `identify`:
    what is here before is only a proposal, which serves the first node if that starts in the
    process where the set was made.

    Attributes:
        transport: carries the frames.
        registry: knows the addresses.
        serializer: writes the bodies of frames.
        accept: serializers whose frames are read besides.
        send_timeout: seconds that a send waits for room in a full mailbox.
        origin: the node's identity, or what was proposed for it.
        dead_letters: where undeliverable messages are accounted for.
        config: what binds the transport to the node's place among other nodes.
        health: where the node answers probes, if anywhere, and what it bears.
        make_transport: makes a transport for an identity; None where an instance was given.
        instruments: watch the node; they are made already.
        bus: sends and receives by name.
    """

    transport: Transport
    registry: LocalRegistry
    serializer: Serializer
    accept: Iterable[Serializer] = ()
    send_timeout: float = DEFAULT_SEND_TIMEOUT
    origin: Origin = field(default_factory=new_origin)
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    config: ClusterConfig = field(default_factory=ClusterConfig)
    health: HealthSettings = HealthSettings()
    make_transport: Callable[[Origin], Transport] | None = None
    instruments: Instruments = field(default_factory=Instruments)
    bus: MessageBus = field(init=False)

    def __post_init__(self) -> None:
        make_bus = MessageBus
        if self.instruments.have("sending"):
            from civitas._bus.watched_bus import WatchedBus  # few have a use for it

            make_bus = WatchedBus
        self.bus = make_bus(
            self.transport,
            self.registry,
            self.serializer,
            accept=self.accept,
            origin=self.origin,
            dead_letters=self.dead_letters,
            send_timeout=self.send_timeout,
            durable=self.config.durable,
            failed=self.config.failed,
            instruments=self.instruments,
        )
        self._was_used = False
        self._made_in = os.getpid()

    def identify(self, owner: str) -> None:
        """Give a node that starts in the running event loop its identity; `owner` is what it is.

        A second node gets a new node id, and so does one in a forked child: frames, answers and
        names of two nodes must not be taken for each other's. Then the transport is made anew,
        and a process name that was chosen at random. What users have configured is kept.

        Raises:
            ConfigurationError: another node uses this set; or the transport is an instance that
                was made before a fork.
            PluginError: the transport can't be made.
        """
        affinity = self.bus.affinity
        if affinity.bound:
            affinity.check()
            raise ConfigurationError(
                "another node runs with these components; make a set for each, as their messages "
                "would be taken for each other's"
            )
        if self._made_in == os.getpid() and not self._was_used:
            self.origin = new_origin(self.origin.node)
            self.bus.identify(self.origin)
        else:
            self._renew()
        self._was_used = True
        affinity.bind(owner)

    def _renew(self) -> None:
        forked = self._made_in != os.getpid()
        origin = new_origin()
        self.config.rename()
        if self.make_transport is not None:
            self.transport = self.make_transport(origin)
        elif forked and not self.config.stays_here:
            raise ConfigurationError(
                "the transport was made by hand, before this process was forked, and what it "
                "holds may be the parent's as well; make it in each process, or give its plugin's "
                "name, by which it is made anew"
            )
        self.origin = origin
        self.instruments.make(self.config.process, origin.node.hex())
        self.bus.identify(origin, self.transport)


def build_component_set(
    transport: str | Mapping[str, Any] | Transport = "in_process",
    serializer: str | Mapping[str, Any] | Serializer | None = None,
    *,
    accept_serializers: Iterable[str | Serializer] = (),
    send_timeout: float = DEFAULT_SEND_TIMEOUT,
    cluster_key: str | Iterable[str] | None = None,
    signed_frames: SignedFrames = "control",
    instruments: Iterable[str | Mapping[str, Any] | object] = (),
    process: str = PRIMARY,
    is_primary: bool = True,
    **transport_options: Any,
) -> ComponentSet:
    """Wire a node's components.

    Args:
        transport: a plugin's name, a mapping `{"type": name, ...}` with its options, or an
            instance of any class with the methods of Transport.
        serializer: a plugin's name, a mapping `{"type": name, ...}` with its options, or an
            instance; msgpack when left out.
        accept_serializers: serializers whose frames are read besides.
        send_timeout: seconds that a send waits for room in a full mailbox.
        cluster_key: the secret that all nodes of the system share, of at least 16 characters; a
            list of two while it is changed: the first signs, both verify. By default that of the
            environment variable CIVITAS_CLUSTER_KEY, if it is set. Without one nothing is signed.
        signed_frames: which frames are signed with it: those with which nodes speak to each other
            (`control`), or messages of agents as well (`all`).
        instruments: plugins' names, mappings with their options, or instances of any class with
            methods of Instrument.
        process: the node's process name.
        is_primary: whether this is the primary process.
        **transport_options: options of the named transport, prefixed by its name.

    Raises:
        ConfigurationError: an option is unknown, wrong, or another transport's.
        PluginError: a plugin can't be used; the message says why and what to do.
    """
    signing = signing_of(cluster_key, signed_frames)
    watch = Instruments(instrument_sources(instruments), is_primary=is_primary)
    origin = new_origin()
    watch.make(process, origin.node.hex())
    if isinstance(transport, str | Mapping):
        loaded, options = transport_of(transport, transport_options)
        return wire(
            loaded,
            options,
            serializer,
            accept_serializers=accept_serializers,
            send_timeout=send_timeout,
            signing=signing,
            instruments=watch,
            origin=origin,
            process=process,
            is_primary=is_primary,
        )
    _refuse_options(transport_options)
    accepted = [serializer_of(each) for each in accept_serializers]
    writer = serializer_of(serializer)
    return _by_hand(transport, writer, accepted, send_timeout, signing, process, watch, origin)


def _refuse_options(given: Mapping[str, Any]) -> None:
    """Refuse options beside a transport that was made by hand."""
    if given:
        raise ConfigurationError(
            f"{', '.join(sorted(given))}: options go to the constructor of a transport that is "
            f"made by hand"
        )


def _by_hand(
    transport: Transport,
    serializer: Serializer,
    accept: Iterable[Serializer],
    send_timeout: float,
    signing: Signing,
    process: str,
    instruments: Instruments,
    origin: Origin,
) -> ComponentSet:
    """Wire a node's components around a transport that was made by hand."""
    problems = contract_problems(transport, Transport)
    if problems:
        raise ConfigurationError(f"this is no transport: {'; '.join(problems)}")
    config = ClusterConfig(process, getattr(transport, "capabilities", None))
    signing.check(config.capabilities)
    dead_letters = DeadLetters(config.failed)
    return ComponentSet(
        config.signed(transport, signing, dead_letters.record),
        LocalRegistry(),
        serializer,
        accept=accept,
        send_timeout=send_timeout,
        origin=origin,
        dead_letters=dead_letters,
        config=config,
        instruments=instruments,
    )


def components_for(
    owner: str,
    transport: str | Mapping[str, Any] | Transport | None,
    serializer: str | Mapping[str, Any] | Serializer | None,
    components: ComponentSet | None,
    transport_options: Mapping[str, Any],
    *,
    instruments: Iterable[object],
    process: str,
) -> ComponentSet:
    """Return the components given to a node, or those made of its other arguments.

    Raises:
        ConfigurationError: `owner` (the kind of node) was given both, or an option is wrong.
        PluginError: the transport or the serializer can't be used.
    """
    if components is None:
        return build_component_set(
            transport or "in_process",
            serializer,
            instruments=instruments,
            process=process,
            is_primary=process == PRIMARY,
            **transport_options,
        )
    given = (transport, serializer, transport_options or None, instruments or None)
    if any(each is not None for each in given):
        raise ConfigurationError(
            f"{owner} takes either components, or a transport, a serializer and instruments; "
            f"build_component_set takes them all"
        )
    return components


def wire(
    plugin: LoadedTransport,
    options: Any,
    serializer: str | Mapping[str, Any] | Serializer | None = None,
    *,
    accept_serializers: Iterable[str | Serializer] = (),
    send_timeout: float = DEFAULT_SEND_TIMEOUT,
    signing: Signing = Signing(),  # noqa: B008 - it is frozen
    instruments: Instruments | None = None,
    origin: Origin | None = None,
    process: str = PRIMARY,
    is_primary: bool = True,
    where: Location | None = None,
) -> ComponentSet:
    """Wire a node's components around a transport plugin whose options are checked already.

    `options` is an instance of the plugin's model, None where it has none; `where` is the place in
    the topology that names the transport; `signing` says which frames are signed; `instruments` are
    made already, for the node of `origin`. The others are as for `build_component_set`.

    Raises:
        ConfigurationError: all frames are to be signed, and there is no key.
        PluginError: the plugin's factory fails, or makes something that is no transport.
    """
    config = ClusterConfig(
        process,
        capabilities_of(plugin, options, where),
        guard=partial(guard_start, plugin.candidate, _DATA_INSTANCE),
        guard_control=partial(guard_start, plugin.candidate, _CONTROL_INSTANCE),
    )
    signing.check(config.capabilities)
    dead_letters = DeadLetters(config.failed)

    def make(origin: Origin) -> Transport:
        context = _context(plugin, config, dead_letters, origin, is_primary=is_primary)
        if config.crosses_processes:
            config.make_control = partial(_make_control, plugin, options, context, where, signing)
        made: Transport = make_transport(plugin, options, context, Transport, where=where)
        return config.signed(made, signing, dead_letters.record)

    origin = origin or new_origin()
    return ComponentSet(
        make(origin),  # at once: a broken plugin is known before anything starts
        LocalRegistry(),
        serializer_of(serializer),
        accept=[serializer_of(each) for each in accept_serializers],
        send_timeout=send_timeout,
        origin=origin,
        dead_letters=dead_letters,
        config=config,
        make_transport=make,
        instruments=instruments or Instruments(),
    )


def _context(
    plugin: LoadedTransport,
    config: ClusterConfig,
    dead_letters: DeadLetters,
    origin: Origin,
    *,
    is_primary: bool,
) -> TransportContext:
    """Return what the node gives to the transport that carries its messages."""
    return TransportContext(
        process=config.process,
        is_primary=is_primary,
        node=origin.node.hex(),
        logger=logger_of(f"civitas.transport.{plugin.spec.name}"),
        dropped=lambda reason, frame: dead_letters.record(reason, unsigned(frame)),
        link_down=config.link_state.down,
        link_up=config.link_state.up,
        fenced=config.fenced,
        failed=config.failed,
    )


def _make_control(
    plugin: LoadedTransport,
    options: Any,
    data: TransportContext,
    where: Location | None,
    signing: Signing,
    link_down: Callable[[str], None],
    link_up: Callable[[], None],
    dropped: Callable[[str, bytes], None],
) -> Transport:
    """Make the control plane's transport: the same plugin, in a context of its own."""
    apart = replace(
        data,
        is_primary=False,
        control=True,
        node=platform.random_bytes(8).hex(),
        logger=logger_of(f"civitas.control.{plugin.spec.name}"),
        dropped=lambda *_: None,  # the data transport's drops are those that count
        link_down=link_down,
        link_up=link_up,
        fenced=frozenset(),  # the membership itself answers those: they must hear of it
    )
    control: Transport = make_transport(plugin, options, apart, Transport, where=where)
    return signed_control(control, signing, dropped)
