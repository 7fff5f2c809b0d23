"""Binding: what connects an agent object with the runtime that it is in, behind one attribute."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from enum import Enum
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

from civitas._bus.sender import Sender
from civitas._bus.timers import Timer
from civitas._typed.shapes import Payload
from civitas.errors import NotConnectedError

T = TypeVar("T")

_Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]


class ProcessStatus(Enum):
    """Where an agent is in its life."""

    INITIALIZING = "INITIALIZING"
    """Not started yet, or in `on_start`."""
    RUNNING = "RUNNING"
    """Handling messages, or waiting for one."""
    CRASHED = "CRASHED"
    """Down, until its supervisor starts it again."""
    STOPPING = "STOPPING"
    """Told to stop, and not yet done with it."""
    STOPPED = "STOPPED"
    """Ended for good."""


class Place(Protocol):
    """Where an agent object is in a runtime."""

    def leave(self) -> None:
        """End the agent after the message in hand: it is done."""
        ...

    def status(self) -> ProcessStatus:
        """Return where the agent is in its life."""
        ...

    def after(self, seconds: float, payload: Payload, message_type: str) -> Timer:
        """Let the agent have a message later."""
        ...

    def every(self, seconds: float, payload: Payload, message_type: str) -> Timer:
        """Let the agent have a message again and again."""
        ...

    def background(self, work: Coroutine[Any, Any, T], name: str | None) -> asyncio.Task[T]:
        """Start a task of the agent's own."""
        ...


class Unconnected:
    """Stands for the sender, and for the place, of an agent that no runtime has started.

    `agent` is the agent, which may have no name yet.
    """

    __slots__ = ("_agent",)

    def __init__(self, agent: object) -> None:
        self._agent = agent

    def send(self, *_: object) -> NoReturn:
        name = getattr(self._agent, "name", type(self._agent).__name__)
        raise NotConnectedError(
            f"agent {name!r} is not running in a runtime yet; its verbs work inside its hooks"
        )

    ask = broadcast = reply = defer = check_loop = leave = after = every = send

    def background(self, work: object, name: str | None) -> NoReturn:
        if isinstance(work, Coroutine):
            work.close()  # nobody else will await it
        self.send(name)

    @staticmethod
    def status() -> ProcessStatus:
        return ProcessStatus.INITIALIZING


class Binding:
    """What the runtime keeps with one agent object."""

    __slots__ = ("arguments", "place", "sender")

    def __init__(self, agent: object, arguments: _Arguments) -> None:
        unconnected = Unconnected(agent)
        self.arguments = arguments
        """Those of the constructor."""
        self.sender: Sender | Unconnected = unconnected
        """What the verbs act through."""
        self.place: Place = unconnected
        """What `stop`, `status`, timers and background tasks act through."""
