"""What plugins hand over: small frozen values that describe a transport, or another kind."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from logging import Logger
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from civitas.errors import describe, logger_of
from civitas.messages import PRIMARY

if TYPE_CHECKING:
    from pydantic import BaseModel

    from civitas.serializer import Serializer


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a transport claims. Every claim is false until made, and the conformance kit proves it.

    Attributes:
        cross_process: carries messages between processes of one machine.
        cross_machine: carries messages between machines.
        at_least_once: a message is given again until the agent has processed it.
        survives_broker_restart: works again by itself when its broker comes back.
        max_message_bytes: largest frame in bytes; `None` where only memory limits it.
    """

    cross_process: bool = False
    cross_machine: bool = False
    at_least_once: bool = False
    survives_broker_restart: bool = False
    max_message_bytes: int | None = None


def _ignore(*_given: object) -> None:
    """Take the place of the node's own where a transport is used without a node."""


def log_failure(error: BaseException) -> None:
    """Take the place of the node that would end."""
    logger_of("civitas.transport").critical("%s", describe(error), exc_info=error)


@dataclass(frozen=True, slots=True)
class TransportContext:
    """What a node gives to the transport that it makes.

    Attributes:
        process: the node's process name.
        is_primary: whether this is the primary process; only the primary starts a proxy.
        node: the node's id, 16 hex digits; reply addresses are `_reply.<node>.<n>`.
        logger: where the transport logs.
        dropped: call it with (reason, frame) for each frame that can't be delivered.
        link_down: call it with a reason when the connection is lost.
        link_up: call it when the connection is back.
        fenced: nodes whose frames are refused, as the 12 bytes that a frame has for node id and
            generation. It grows while the node runs; the Dispatcher looks at it.
        control: whether this is the control plane's own instance, which carries only system
            addresses: nothing that it carries is to be kept.
        failed: call it, in any thread, when something that runs on its own (a task, a callback, a
            thread) has ended unexpectedly: the node ends with that error. `start_task` and
            `guard_callback` of `civitas.transport` call it.
    """

    process: str = PRIMARY
    is_primary: bool = True
    node: str = "0" * 16
    logger: Logger = field(default_factory=lambda: logger_of("civitas.transport"))
    dropped: Callable[[str, bytes], None] = _ignore
    link_down: Callable[[str], None] = _ignore
    link_up: Callable[[], None] = _ignore
    fenced: Set[bytes] = frozenset()
    control: bool = False
    failed: Callable[[BaseException], None] = log_failure


def _log_background_failure(error: BaseException) -> None:
    """Take the place of the node that would count it."""
    logger_of("civitas.instruments").error("%s", describe(error), exc_info=error)


@dataclass(frozen=True, slots=True)
class InstrumentContext:
    """What a node gives to an instrument that it makes.

    Attributes:
        process: the node's process name.
        is_primary: whether this is the primary process.
        node: the node's id, 16 hex digits.
        logger: where the instrument logs.
        failed: call it, in any thread, when something of the instrument that runs on its own (a
            task, a thread) has ended unexpectedly. It is logged once and counted, like an error of
            one of its methods; the node goes on.
    """

    process: str = PRIMARY
    is_primary: bool = True
    node: str = "0" * 16
    logger: Logger = field(default_factory=lambda: logger_of("civitas.instruments"))
    failed: Callable[[BaseException], None] = _log_background_failure


@dataclass(frozen=True, slots=True)
class TransportSpec:
    """A transport that a topology can name.

    Attributes:
        name: the name used in topologies; equals the entry point's name.
        summary: one line for `civitas plugins list`.
        factory: called with (options, context), gives an unstarted Transport.
        options: a pydantic model class for the keys of the `transport:` block (unknown keys
            forbidden, secrets as SecretStr, every field described); `None` for no options.
            `factory` gets an instance of it, or `None`.
        capabilities: the claims, or a function from the options to the claims.
        dead_letters: called with (options, context), gives an unstarted DeadLetterStore
            (`civitas.transport`), by which commands reach what an `at_least_once` transport keeps;
            `None` where it offers none. Of the context it needs `process`, `logger` and `failed`.
        apart: called with (options, name), gives an asynchronous context manager of options for a
            system apart from the one that these options are for: the same servers, logins and
            limits, but subjects, addresses or streams of its own, which `name` (letters, digits
            and hyphens) tells from all others. When it is left, nothing of that system remains at
            the broker. `civitas bench` needs it; `None` where there is none.
    """

    kind: ClassVar[str] = "transport"

    name: str
    summary: str
    factory: Callable[[Any, TransportContext], Any]
    options: type[BaseModel] | None = None
    capabilities: Capabilities | Callable[[Any], Capabilities] = Capabilities()
    dead_letters: Callable[[Any, TransportContext], Any] | None = None
    apart: Callable[[Any, str], AbstractAsyncContextManager[Any]] | None = None

    def capabilities_for(self, options: Any) -> Capabilities:
        """Return what the transport claims when it is made with these options."""
        if isinstance(self.capabilities, Capabilities):
            return self.capabilities
        return self.capabilities(options)


@dataclass(frozen=True, slots=True)
class SerializerSpec:
    """A serializer that a topology can name.

    Attributes:
        name: the name used in topologies and written into every frame; ASCII.
        summary: one line for `civitas plugins list`.
        factory: gives a Serializer; called without arguments, or with (options) where there are
            any.
        options: a pydantic model class for the keys of the `serializer:` block, as a transport's;
            `None` for no options. A process that only reads what others write with it, or names it
            without options, has the defaults.
    """

    kind: ClassVar[str] = "serializer"

    name: str
    summary: str
    factory: Callable[..., Serializer]
    options: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True)
class InstrumentSpec:
    """An instrument that a topology can name.

    Attributes:
        name: the name used in topologies; equals the entry point's name.
        summary: one line for `civitas plugins list`.
        factory: called with (options, context), gives an instrument that is not started:
            `civitas.instruments.Instrument` says which methods it may have.
        options: a pydantic model class for the keys of its item in the `instruments:` list, as a
            transport's; `None` for no options. `factory` gets an instance of it, or `None`.
    """

    kind: ClassVar[str] = "instrument"

    name: str
    summary: str
    factory: Callable[[Any, InstrumentContext], object]
    options: type[BaseModel] | None = None


PluginSpec: TypeAlias = TransportSpec | SerializerSpec | InstrumentSpec
"""What a plugin of any kind hands over."""
