"""What the runtime does to an agent object, of which every public name is its author's."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final, TypeVar

from civitas._bus.binding import Binding, Place
from civitas._bus.sender import Sender
from civitas.process import AgentProcess

A = TypeVar("A", bound=AgentProcess)

SETTINGS: Final = (
    "mailbox_size",
    "max_retries",
    "shutdown_timeout",
    "handle_timeout",
    "concurrency",
    "retry_delay",
    "retry_backoff",
)
"""The arguments of AgentProcess that a topology may override."""

_binding: Final[Callable[[AgentProcess], Binding]] = attrgetter("_civitas_binding")
_all_attributes: Final = attrgetter("name", *SETTINGS, "_civitas_binding")


def is_complete(agent: AgentProcess) -> bool:
    """Return whether the constructors of AgentProcess have run."""
    try:
        _all_attributes(agent)
    except AttributeError:
        return False
    return True


def connect(agent: AgentProcess, sender: Sender, place: Place) -> None:
    """Connect an agent's verbs, its `stop` and its `status`; the slot does so before `on_start`."""
    binding = _binding(agent)
    binding.sender = sender
    binding.place = place


def respawn(agent: A) -> A:
    """Return a fresh object from the captured constructor arguments, with the same settings."""
    args, kwargs = _binding(agent).arguments
    fresh = type(agent)(*args, **kwargs)
    configure(fresh, agent)
    return fresh


def configure(agent: AgentProcess, settings: object) -> None:
    """Override settings from outside the constructor, as a topology does; None keeps one.

    `settings` has them as attributes, of the names in `SETTINGS`.
    """
    for name in SETTINGS:
        value = getattr(settings, name)
        if value is not None:
            setattr(agent, name, value)


def leave(agent: AgentProcess) -> None:
    """End an agent after the message in hand, as its own `stop` does, whatever it made of that."""
    _binding(agent).place.leave()
